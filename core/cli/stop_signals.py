"""Handles Ctrl-C and SIGTERM between two frames, so that files can be finished."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signal() -> Iterator[tuple[threading.Event, list[int]]]:
    """A context that turns Ctrl-C and SIGTERM into an event. Main thread only.

    The first signal sets the event; a second one ends the process at once with the exit code 128 + signal.

    Yields:
        The event, and a list that receives the signal's number.

    Example:
        >>> from rvm_studio import core
        >>> with core.stop_on_signal() as (stop, received):
        ...     stopped = stop.is_set()  # check this between two frames
    """
    stop, received = threading.Event(), []

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        received.append(number)
        stop.set()
        line = "rvm-studio: stopping, finishing the files (press Ctrl-C again to end at once)\n"
        # os.write, because the signal may interrupt a print, and Python's streams are not reentrant
        with contextlib.suppress(OSError):
            os.write(2, (("\n" if sys.stderr.isatty() else "") + line).encode())

    signals = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, on_signal) for number in signals]
    try:
        yield stop, received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
