"""Keeps one worker process running: starts it, watches it, restarts it when it ends, and reports why it ended.

All of this happens in one Python thread that sleeps nearly all the time: nothing here runs on OBS's graphics thread or
blocks its window. Uses only the standard library; works with Python 3.6 and later.
"""

import contextlib
import json
import re
import subprocess
import tempfile
import threading
import time

import rvm_frame_protocol as protocol

LOOK = 0.1  # seconds between two checks of the process
SILENCE = 20.0  # seconds without a heartbeat after which a worker counts as hung
STOP_TIMEOUT = 2.0  # seconds that a worker has to exit by itself
LONGEST_WAIT = 60.0
CRASH_WINDOW = 300.0  # seconds; a worker that crashed more than CRASH_LIMIT times in them is restarted less often
CRASH_LIMIT = 15


def restart_delay(was_ready, failures, recent_crashes):
    """Seconds until a worker that ended is restarted. was_ready: it had become ready; then it is restarted at once,
    unless there were many recent crashes. failures: how many workers in a row did not become ready."""
    if was_ready:
        return 0.1 if recent_crashes <= CRASH_LIMIT else 10.0
    return min(2.0 ** (failures - 1), LONGEST_WAIT)


class Supervisor:
    """make_command(arena_name) -> (argv, env, popen_kwargs); raises RuntimeError with a message for the user.
    log(text): called in the supervisor's thread."""

    def __init__(self, arena, make_command, log):
        self._arena, self._make_command, self._log = arena, make_command, log
        self._thread = threading.Thread(target=self._run, name="rvm-supervisor", daemon=True)
        self._wake = threading.Event()
        self._stopping = self._restarting = False
        self.error = ""  # why no worker is running, or why the last one ended
        self.pid = 0

    def start(self):
        self._thread.start()

    def restart(self):
        """Stops the worker, if there is one, and starts a new one at once."""
        self._restarting = True
        self._wake.set()

    def stop(self):
        """Stops the worker and the thread; takes at most STOP_TIMEOUT seconds."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self):
        failures, crashes = 0, []
        while not self._stopping:
            was_ready, requested = self._one_worker()
            self.pid = 0
            self._arena.header.worker_state = protocol.ABSENT
            if requested:
                failures, crashes = 0, []
                continue
            now = time.monotonic()
            crashes = [moment for moment in crashes if now - moment < CRASH_WINDOW] + [now]
            failures = 0 if was_ready else failures + 1
            self._pause(restart_delay(was_ready, failures, len(crashes)))

    def _pause(self, seconds):
        if not (self._stopping or self._restarting):
            self._wake.wait(seconds)
        self._wake.clear()

    def _one_worker(self):
        """Runs a worker until it ends or is stopped. Returns whether it became ready and whether it was stopped on
        request."""
        self._restarting = False
        with tempfile.TemporaryFile() as output:
            try:
                argv, env, options = self._make_command(self._arena.prepare_worker())
                worker = subprocess.Popen(
                    argv,
                    env=env,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    **dict(options, **self._inheritance()),
                )
            except Exception as error:  # any error: this thread continues, and the panel shows the reason
                self.error = str(error) or repr(error)
                self._log(self.error)
                return False, False
            self.pid = worker.pid
            was_ready, reason = self._watch(worker)
            _end(worker)
            if reason != "requested":
                cause = self._arena.read_status().get("error") or _last_error(output)
                self.error = reason or f"The worker ended with code {worker.returncode}{': ' + cause if cause else '.'}"
                self._log(self.error)
            return was_ready, reason == "requested"

    def _inheritance(self):
        return {"pass_fds": self._arena.inherited} if self._arena.inherited else {}

    def _watch(self, worker):
        header, was_ready = self._arena.header, False
        beat, heard = header.worker_beat, time.monotonic()
        while worker.poll() is None:
            self._pause(LOOK)
            if self._stopping or self._restarting:
                return was_ready, "requested"
            now = time.monotonic()
            if header.worker_state == protocol.READY and not was_ready:
                was_ready, self.error = True, ""
            if header.worker_beat != beat:
                beat, heard = header.worker_beat, now
            elif now - heard > SILENCE:
                return was_ready, f"The worker has not answered for {SILENCE:.0f} seconds."
        return was_ready, ""


def _end(worker):
    """Closes the worker's standard input, which makes it exit, and kills it if it does not."""
    with contextlib.suppress(OSError):
        worker.stdin.close()
    try:
        worker.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _last_error(output):
    """The last error that the worker printed; otherwise the last line that it printed."""
    output.seek(0, 2)
    output.seek(max(0, output.tell() - 4096))
    lines = [line.strip() for line in output.read().decode("utf-8", "replace").splitlines() if line.strip()]
    with contextlib.suppress(ValueError, TypeError, IndexError, KeyError):
        return str(json.loads(lines[-1])["error"])[:300]  # as rvm_worker.py prints it
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or [""])[-1][:300]
