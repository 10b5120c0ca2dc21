"""Hours of live frames through the frame protocol and the session: does anything grow?

    python bench/soak.py --minutes 60 [--sizes 640x360 320x240] [--weights FILE] [--samples 20]

The worker is the process that OBS would start; this script acts as the filter, over the real shared memory. Pictures
are sent one at a time, then as by a camera; the size, the source and the settings change again and again, filters come
and go. Prints the worker's and this process's memory, handles and threads, and the latency; ends with exit code 1 if
one of them has grown from the first third to the last. Needs the extra `test`.
"""

import argparse
import os
import sys
import time
from itertools import cycle
from typing import NamedTuple

import numpy as np
import psutil
from obs_latency import Bench
from rvm_studio.core import STARTER_PATH

STRETCH = 2.0  # seconds between two changes
FPS = 30
MOST_GROWTH = {"worker_mb": (1.05, 16), "own_mb": (1.05, 16), "handles": (1, 3), "threads": (1, 1), "p95_ms": (2, 20)}
"""By how much the largest value of the last third may exceed that of the first: times, and plus."""


class Sample(NamedTuple):
    """minutes: since the beginning. worker_mb, own_mb: memory. handles, threads: of both processes."""

    minutes: float
    mattes: int
    worker_mb: float
    own_mb: float
    handles: int
    threads: int
    p50_ms: float
    p95_ms: float


def grown(samples: list[Sample]) -> list[str]:
    """One line for everything that is larger in the last third than in the first."""
    third = max(1, len(samples) // 3)
    found = []
    for name, (times, plus) in MOST_GROWTH.items():
        before = max(getattr(sample, name) for sample in samples[:third])
        after = max(getattr(sample, name) for sample in samples[-third:])
        if after > before * times + plus:
            found.append(f"{name} has grown from {before:.1f} to {after:.1f}")
    return found


def handles(process: psutil.Process) -> int:
    return process.num_handles() if sys.platform == "win32" else process.num_fds()


def sample(bench: Bench, start: float) -> Sample:
    """What holds now, and the latencies since the last sample."""
    both = [psutil.Process(bench.process.pid), psutil.Process(os.getpid())]
    worker_mb, own_mb = (process.memory_info().rss / 2**20 for process in both)
    p50, p95 = 1000 * np.percentile(bench.latencies, (50, 95))
    found = Sample(
        (time.monotonic() - start) / 60,
        len(bench.latencies),
        worker_mb,
        own_mb,
        sum(map(handles, both)),
        sum(process.num_threads() for process in both),
        p50,
        p95,
    )
    bench.latencies.clear()
    bench.sent = {number: at for number, at in bench.sent.items() if number > bench.number - 100}  # some are skipped
    return found


def changes(model: str):
    """Settings, again and again."""
    common = {"model": model, "downsample": "auto", "edge_shift": 0, "edge_feather": 0, "scene_cuts": True}
    others = ({}, {"decontaminate": 0.5}, {"edge_feather": 2, "edge_shift": -1}, {"scene_cuts": False})
    return cycle([{**common, "decontaminate": 0, **other} for other in others])


def soak(minutes: float, sizes: list[tuple[int, int]], model: str, count: int) -> list[Sample]:
    settings = changes(model)
    bench = Bench(next(settings))
    samples: list[Sample] = []
    turns = cycle(sizes)
    try:
        for size in sizes:  # loads everything
            bench.claim(size)
        bench.latencies.clear()
        start = time.monotonic()
        print(" ".join(f"{name:>9}" for name in Sample._fields), flush=True)
        kept: list[float] = []
        while len(samples) < count:
            until = start + 60 * minutes * (len(samples) + 1) / count
            while not kept or time.monotonic() < until:
                bench.settings = next(settings)
                bench.claim(next(turns))  # the first matte at a new size is late
                stretch = min(STRETCH, max(0.1, until - time.monotonic()) / 2)
                bench.latencies.clear()
                bench.one_at_a_time(stretch)
                bench.as_a_camera(stretch, FPS)
                kept += bench.latencies
            bench.latencies, kept = kept, []
            samples.append(sample(bench, start))
            print(" ".join(f"{value:>9.1f}" for value in samples[-1]), flush=True)
    finally:
        bench.stop()
    return samples


def main() -> int:
    def size(text: str) -> tuple[int, int]:
        width, height = text.split("x")
        return int(width), int(height)

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--sizes", type=size, nargs="+", default=[(640, 360), (320, 240)])
    parser.add_argument("--weights", default=str(STARTER_PATH), help="mobilenetv3, resnet50 or a file")
    parser.add_argument("--samples", type=int, default=20)
    arguments = parser.parse_args()
    found = grown(soak(arguments.minutes, arguments.sizes, arguments.weights, arguments.samples))
    print("\n".join(found) or "nothing has grown")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
