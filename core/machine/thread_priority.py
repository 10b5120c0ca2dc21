"""Threads keep the priority that they have when native code raises it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """A context after which no thread of this process has a real-time priority that it did not have before.

    SVT-AV1, opened by root (in a container, say), gives one to every thread of the process, for good and also to the
    processes started later: the rest of the machine then gets hardly any CPU time. Does nothing on systems without
    Linux's threads.

    Example:
        >>> from rvm_studio.core.machine.thread_priority import usual_priority
        >>> with usual_priority():
        ...     pass  # open an encoder
    """
    if sys.platform != "linux" or not _THREADS.is_dir() or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    try:
        yield
    finally:
        for thread in _THREADS.iterdir():
            with contextlib.suppress(OSError):  # it has ended, or we may not
                if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                    os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
