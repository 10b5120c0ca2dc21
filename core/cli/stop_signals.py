"""Ctrl-C and SIGTERM, heeded between two frames so that files can be finished."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signal() -> Iterator[tuple[threading.Event, list[int]]]:
    """The first signal sets the event; a second one ends the process at once, with exit code 128 + signal.

    Gives the event and the list that receives the signal's number. Main thread only.
    """
    stop, received = threading.Event(), []

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        received.append(number)
        stop.set()
        line = "rvm-studio: stopping, the files are being finished (press Ctrl-C again to end at once)\n"
        # os.write: the signal may have come in the middle of a print, and Python's streams cannot be entered twice
        with contextlib.suppress(OSError):
            os.write(2, (("\n" if sys.stderr.isatty() else "") + line).encode())

    signals = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, on_signal) for number in signals]
    try:
        yield stop, received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
