"""Handles Ctrl-C and SIGTERM between two frames, so that files can be finished."""

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK = 0.01  # seconds between two looks at the flag


class _Flag(threading.Event):
    """An event without a lock: a signal handler that sets it may have interrupted the very code that holds the lock
    (`wait`, or an earlier signal's `set`), and would then wait for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._raised = False

    def is_set(self) -> bool:
        return self._raised

    def set(self) -> None:
        self._raised = True

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while not self._raised and (end is None or time.monotonic() < end):
            time.sleep(_LOOK)
        return self._raised


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
    stop, received = _Flag(), []
    signals_before = itertools.count()  # `next` cannot be interrupted half-way by another signal

    def on_signal(number: int, _frame: object) -> None:
        if next(signals_before):
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
