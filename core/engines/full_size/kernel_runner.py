"""Runs the kernels of kernels.py on all threads; compiles them or loads them from disk, and replaces broken files."""

import functools
import logging
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .bilinear import reducing_taps
from .row_threads import over_rows

log = logging.getLogger(__name__)


_loading = threading.Lock()


def compiled_kernels() -> ModuleType | None:
    """The module kernels; None if numba is missing or does not work."""
    with _loading:  # so that other threads wait while one thread loads them
        return _loaded()


def load_kernels_ahead() -> None:
    """Starts loading the kernels in a thread: numba takes half a second, during which the weights can be read."""
    threading.Thread(target=compiled_kernels, name="rvm-kernels", daemon=True).start()


@functools.cache
def _loaded() -> ModuleType | None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    try:
        from . import kernels

        tap = reducing_taps(1, 1, 1.0)
        nothing = np.zeros((1, 3), np.uint8), tuple(tap), tuple(tap), np.float32(1), np.zeros((3, 1, 1), np.float32)
        _prepare(kernels.reduce_interleaved, nothing)
    except ModuleNotFoundError:
        return None
    except Exception as error:  # a numba that does not fit the installed numpy, a damaged installation
        log.warning("numba does not work here (%s: %s): falling back to plain PyTorch", type(error).__name__, error)
        return None
    return kernels


_ready: set[tuple] = set()


def run_rows(kernel: Any, rows: int, *arguments) -> None:
    """Runs a kernel, whose last arguments are the first row and the one after the last, over all rows."""
    key = (kernel.__name__, *(array.dtype for array in arguments if isinstance(array, np.ndarray)))
    if key not in _ready:
        _prepare(kernel, arguments)
        _ready.add(key)
    over_rows(rows, lambda begin, end: kernel(*arguments, begin, end))


def _prepare(kernel: Any, arguments: tuple) -> None:
    """Compiles a kernel for these types, or loads it from disk; a broken file is removed and compiled again."""
    try:
        kernel(*arguments, 0, 0)
    except Exception as error:
        log.warning("the compiled %s on disk cannot be used (%s); compiling it again", kernel.__name__, error)
        for file in Path(kernel.stats.cache_path).glob(f"kernels.{kernel.__name__}-*"):
            file.unlink(missing_ok=True)
        kernel(*arguments, 0, 0)
