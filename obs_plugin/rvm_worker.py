"""The worker process, which computes the mattes for RVM Studio's filter in OBS. rvm_obs.py starts it.

    python rvm_worker.py ARENA      mattes the pictures in the shared memory of that name until standard input is closed
    python rvm_worker.py --check    prints, as one line of JSON, what it would run with or what is missing

This file manages the process: it starts quickly, sends heartbeats while the rest loads, reports its status, and exits
when OBS does. The mattes are computed in rvm_slots.py. The worker runs at a slightly lower priority than OBS and leaves
one core free (RVM_THREADS sets another number of threads). If it fails, the reason is in the status and, as JSON, in
the last line of its output.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn

import rvm_frame_protocol as protocol

BEAT = 0.05  # seconds
NICENESS = 5


class Reporter:
    """A thread that sends heartbeats and writes the status, even while the main thread is busy loading or matting. Ends
    the process when another worker has replaced it."""

    def __init__(self, arena: protocol.Arena):
        self._arena = arena
        self._lock = threading.Lock()
        self._state, self._texts = protocol.STARTING, {"message": "starting"}
        self._written = None
        threading.Thread(target=self._run, name="reporter", daemon=True).start()

    def set(self, state: int, **texts: str) -> None:
        """texts: device, engine, model, message, error, as shown in the panel."""
        with self._lock:
            self._state, self._texts = state, texts

    def publish(self) -> None:
        with self._lock:
            now = (self._state, self._texts)
            if now != self._written:
                self._arena.write_status(self._state, **fitted(self._texts))
                self._written = now

    def _run(self) -> None:
        while True:
            try:
                self._arena.beat()
                self.publish()
            except protocol.ProtocolError as error:
                leave(0, str(error))
            time.sleep(BEAT)


def fitted(texts: dict) -> dict:
    """The texts, with the longest ones shortened until all of them fit into the status."""
    texts, room = dict(texts), protocol.Header.status.size
    while len(json.dumps(texts).encode()) > room:
        longest = max(texts, key=lambda name: len(json.dumps(texts[name])))
        texts[longest] = texts[longest][: len(texts[longest]) * 3 // 4] + "…"
    return texts


def leave(code: int, text: str = "") -> NoReturn:
    """Ends the process immediately, without waiting for its threads and libraries."""
    if text:
        print(text, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def leave_with_obs() -> None:
    """Ends the process when standard input is closed: OBS holds the other end and has exited or stopped the worker."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    leave(0)


def lower_priority() -> None:
    """Gives OBS the higher priority; on Windows also makes short sleeps accurate."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # OBS handles Ctrl-C in the terminal that it runs in
    if sys.platform == "win32":  # the supervisor sets the priority when it starts the process
        ctypes.windll.winmm.timeBeginPeriod(1)  # ms; otherwise a sleep takes up to 16 ms
    else:
        os.nice(NICENESS)


def load():
    """Imports rvm_slots, and with it RVM Studio and torch. Raises RuntimeError with a message for the user."""
    try:
        from rvm_studio.core import tune_process

        tune_process()  # before torch is loaded
        import rvm_slots
    except Exception as error:  # a damaged library can raise anything
        raise RuntimeError(
            f"The Python at {sys.executable} cannot load RVM Studio: {error}. Run install.py --obs in its folder."
        ) from error
    return rvm_slots


def work(name: str) -> None:
    arena = protocol.Arena.attach(name)
    threading.Thread(target=leave_with_obs, name="input", daemon=True).start()
    reporter = Reporter(arena)
    try:
        lower_priority()
        reporter.set(protocol.STARTING, message="loading PyTorch")
        load().serve(arena, reporter)
    except Exception as error:
        reporter.set(protocol.FAILED, error=str(error) or repr(error))
        reporter.publish()
        raise


def main(arguments: list) -> None:
    if len(arguments) != 1:
        leave(2, __doc__ or "")
    try:
        if arguments == ["--check"]:
            print(json.dumps(load().check()))
        else:
            work(arguments[0])
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": str(error) or repr(error)}))
        leave(1)


if __name__ == "__main__":
    main(sys.argv[1:])
