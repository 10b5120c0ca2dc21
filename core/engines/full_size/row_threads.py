"""Divides the rows of a picture among threads.

For kernels that release the interpreter's lock. A pool of our own rather than a second OpenMP runtime beside
PyTorch's: its threads sleep while they wait, any number of streams may call at once, and the number of threads is
PyTorch's (`torch.set_num_threads`, `--threads`).
"""

import functools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

BANDS_A_THREAD = 4  # so that the others take over the share of a thread whose core is busy
FEWEST_ROWS = 16  # in a band; with fewer, dividing the work costs more than it gains


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "rvm-rows")


def over_rows(rows: int, work: Callable[[int, int], object]) -> None:
    """Calls work(begin, end) for bands that cover range(rows), on this thread and others at once."""
    threads = torch.get_num_threads()
    height = max(FEWEST_ROWS, -(-rows // (threads * BANDS_A_THREAD)))
    bands = deque((begin, min(begin + height, rows)) for begin in range(0, rows, height))

    def drain() -> None:
        while True:
            try:
                begin, end = bands.popleft()
            except IndexError:
                return
            work(begin, end)

    helpers = [_pool().submit(drain) for _ in range(min(threads, len(bands)) - 1)]
    try:
        drain()
    finally:
        bands.clear()  # after an error no new band is started
        for helper in helpers:
            if not helper.cancel():  # one that has not started has nothing left to do
                helper.result()
