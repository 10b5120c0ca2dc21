"""Makes glibc keep the memory of freed frames instead of returning it to the kernel after every frame.

By default each large buffer is mapped and unmapped, and the kernel clears every page of it anew; for video that is
half of the CPU time. Only for processes of our own (command line, workers), never inside a host program.
"""

import ctypes
import sys

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Whether it was done: True on Linux with glibc, False elsewhere (other allocators are left alone)."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, 200 * 2**20))
    return all([libc.mallopt(parameter, value) == 1 for parameter, value in settings])  # noqa: C419 - set them all
