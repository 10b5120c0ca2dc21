"""Handles Ctrl-C and SIGTERM between two frames, so that files can be finished."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK = 0.01  # seconds between two looks at the flag

SAME_WISH = 0.5
"""Seconds: a second signal within them says the same once more. Terminals, `timeout` and service managers send each
signal to the process and to its group."""


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

    The first signal sets the event. A repeat within half a second is taken for the same wish; a later one, and the
    third in any case, ends the process at once with the exit code 128 + signal.

    Yields:
        The event, and a list that receives the first signal's number.

    Example:
        >>> from rvm_studio import core
        >>> with core.stop_on_signal() as (stop, received):
        ...     stopped = stop.is_set()  # check this between two frames
    """
    stop, received, times, first = _Flag(), [], [], ["not yet"]

    def on_signal(number: int, _frame: object) -> None:
        # another signal may interrupt this function anywhere: each step is one that cannot be done by halves
        times.append(time.monotonic())
        if len(times) > 2 or times[-1] - times[0] > SAME_WISH:
            os._exit(128 + number)
        with contextlib.suppress(IndexError):
            first.pop()  # gives its entry to one call only
            received.append(number)
            stop.set()
            say("rvm-studio: stopping, finishing the files (press Ctrl-C again to end at once)")

    signals = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, on_signal) for number in signals]
    try:
        yield stop, received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """A context in which Ctrl-C is a KeyboardInterrupt, for work that cleans up after itself. Main thread only."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def end_on_interrupt() -> Iterator[None]:
    """A context in which Ctrl-C ends the process at once, with one line: for imports, in which a KeyboardInterrupt may
    become any other error or be lost. Does nothing outside the main thread, and where the program has a handler of its
    own."""
    try:
        own = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        before = None if own else signal.signal(signal.SIGINT, _end)
    except ValueError:  # not the main thread
        before = None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _end(number: int, _frame: object) -> None:
    say("rvm-studio: stopped.")
    os._exit(128 + number)


def say(line: str) -> None:
    """Writes a line on standard error, in a signal's handler: the signal may interrupt a print, and Python's streams
    are not reentrant."""
    with contextlib.suppress(OSError):
        os.write(2, (("\n" if sys.stderr.isatty() else "") + line + "\n").encode())
