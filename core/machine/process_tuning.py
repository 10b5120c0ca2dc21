"""Process-wide settings that make video processing faster. Only for our own processes (command line, workers), never
inside a host program.

Allocator. By default, glibc returns each large buffer to the kernel when it is freed, and the kernel clears every page
again for the next frame, which takes half of the CPU time. The settings make it keep the buffers.

Waiting threads. By default, OpenMP's threads spin while they wait for each other. With a decoder, an encoder or another
program on the same cores, that takes CPU time from the working threads: on 2 cores, a busy machine mattes 3 to 10 times
slower. The setting makes them sleep, which costs about a tenth of the speed on an idle machine.

Garbage collection. Python searches all objects for garbage as their number grows. During start-up that number grows by
half a million (PyTorch, numba and so on), of which almost none is garbage.
"""

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGEST = 2**31 - 1

LARGE_PICTURE = 4_000_000  # pixels; above this, memory matters more than a few per cent of speed or file size


def tune_process() -> None:
    """Makes this process keep freed memory, and waiting OpenMP threads sleep, for faster video processing.

    The command line does this itself. In your own script, call it before torch is imported, which reads the second
    setting when it loads. The process then keeps up to some hundred MB more memory.

    Example:
        >>> import rvm_studio
        >>> rvm_studio.tune_process()
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """A context for imports and other loading, without garbage collection.

    This saves 0.4 s of a start. The loaded objects are also excluded from later collections, including the one at exit
    (0.2 s).

    Example:
        >>> from rvm_studio import core
        >>> with core.loading():
        ...     import torch
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def give_freed_memory_back() -> None:
    """Returns unused memory to the system: after a peak, or occasionally where each frame needs little memory, because
    unused gaps are kept otherwise. Takes 3 to 8 ms. Does nothing except on Linux with glibc."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory. Returns whether it did: False for other systems and allocators."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, 200 * 2**20))
    # One heap for all threads, so that the network can reuse memory that the decoder's thread frees.
    settings += ((_M_ARENA_MAX, 1),)
    return all([libc.mallopt(parameter, value) == 1 for parameter, value in settings])  # noqa: C419 - set them all
