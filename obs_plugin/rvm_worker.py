"""The process that computes the mattes for RVM Studio's filter in OBS. rvm_obs.py starts it; nobody types this.

    python rvm_worker.py ARENA      mattes the pictures in the shared memory of that name until standard input ends
    python rvm_worker.py --check    says in one line of JSON what it would run with, or what is missing

This file is what the process does besides: it starts at once, beats while the rest loads, tells how it is, and ends
with OBS. The work is in rvm_slots.py. It runs a little below OBS's priority and leaves a core to it (RVM_THREADS sets
another number of threads). When it cannot go on, the reason is in the status and, as JSON, in the last line printed.
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
    """Beats and writes the status, in a thread: also while the main thread loads, or mattes for long. Ends the process
    when another worker has taken its place."""

    def __init__(self, arena: protocol.Arena):
        self._arena = arena
        self._lock = threading.Lock()
        self._state, self._texts = protocol.STARTING, {"message": "starting"}
        self._written = None
        threading.Thread(target=self._run, name="reporter", daemon=True).start()

    def set(self, state: int, **texts: str) -> None:
        """device, engine, model, message, error: what the panel shows."""
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
    """The texts, the longest of them cut as long as they do not fit into the status together."""
    texts, room = dict(texts), protocol.Header.status.size
    while len(json.dumps(texts).encode()) > room:
        longest = max(texts, key=lambda name: len(json.dumps(texts[name])))
        texts[longest] = texts[longest][: len(texts[longest]) * 3 // 4] + "…"
    return texts


def leave(code: int, text: str = "") -> NoReturn:
    """Ends the process now, whatever its threads and libraries are at."""
    if text:
        print(text, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def leave_with_input() -> None:
    """OBS holds the other end of standard input: when that is gone, so is OBS, or it wants no more."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    leave(0)


def give_way() -> None:
    """Lets OBS go first, and has short waits be short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal that OBS runs in is OBS's matter
    if sys.platform == "win32":  # the priority is set at the start of the process
        ctypes.windll.winmm.timeBeginPeriod(1)  # ms; else a wait lasts 16
    else:
        os.nice(NICENESS)


def load():
    """rvm_slots, with RVM Studio and torch behind it. Raises RuntimeError with a sentence for the user."""
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
    threading.Thread(target=leave_with_input, name="input", daemon=True).start()
    reporter = Reporter(arena)
    try:
        give_way()
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
            print(json.dumps(load().what_is_there()))
        else:
            work(arguments[0])
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": str(error) or repr(error)}))
        leave(1)


if __name__ == "__main__":
    main(sys.argv[1:])
