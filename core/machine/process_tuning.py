"""Settings of the whole process that make video faster. Only for processes of our own (command line, workers), never
inside a host program.

Allocator. By default glibc returns each large buffer to the kernel as it is freed, which clears every page of it anew
for the next frame: half of the CPU time. It is told to keep them.

Waiting threads. By default OpenMP's threads spin while they wait for each other. With a decoder, an encoder or another
program on the same cores, that takes the cores from those who work: on 2 cores a busy machine mattes 3 to 10 times
slower. They are told to sleep, which costs about a tenth on an idle machine.

Garbage. Python looks through all its objects for garbage as they grow in number. At a start they do nothing else, and
nearly none of them is garbage: half a million of PyTorch, numba and their like.
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

LARGE_PICTURE = 4_000_000  # pixels, from which on memory counts more than a few per cent of speed or of a file's size


def tune_process() -> None:
    """Both settings; to be called before torch is imported, which reads the second one when it loads. The command line
    does it; a script of your own may, at its beginning. It keeps up to some hundred MB more memory.

    >>> import rvm_studio
    >>> rvm_studio.tune_process()
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around a command's imports and whatever else it loads: no garbage is looked for meanwhile (0.4 s of a start), and
    what was loaded is left out of later searches, the one at exit included (0.2 s)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def give_freed_memory_back() -> None:
    """For after much memory was needed for a moment, and now and then where little is needed for each frame: holes that
    fit nothing any more are kept otherwise. Takes 3 to 8 ms. Elsewhere than on Linux with glibc nothing happens."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def keep_freed_memory() -> bool:
    """Whether it was done: True on Linux with glibc, False elsewhere (other allocators are left alone)."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, 200 * 2**20))
    # One heap for all threads: what the decoder's thread frees, the network's can have.
    settings += ((_M_ARENA_MAX, 1),)
    return all([libc.mallopt(parameter, value) == 1 for parameter, value in settings])  # noqa: C419 - set them all
