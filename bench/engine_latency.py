"""Latency of single frames, as from a camera: the time of the first frame, and how much the others vary.

    python bench/engine_latency.py [--sizes 720p 1080p] [--frames 200] [--engine auto] [--rate 30]

8-bit frame in, 8-bit alpha out. Frames come at `rate` per second, or when the previous one is done if that is later.
The pauses between frames let caches and clocks cool down, as in live use. The first frame is that of a process whose
compiled networks are on the disk. The second figure is the first frame after a warm-up (one blank frame at the start,
as in live use).
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clips import SIZES
from engine_speed import RATIOS, load_frames


def child(size: str, frames: int, engine: str, rate: float) -> None:
    from rvm_studio.core import tune_process

    tune_process()
    import torch
    from rvm_studio.core import build_engine, choose_device, choose_engine, find_weights, load_network

    device = choose_device("auto")
    runner = build_engine(load_network(find_weights()), choose_engine(device, engine))
    pictures, rec, times = load_frames(size), None, []

    def frame(picture, rec):
        started = time.perf_counter()
        output = runner.run(picture[None], rec, RATIOS[size], out=torch.uint8, foreground=False)
        output.pha.cpu()
        return 1000 * (time.perf_counter() - started), output.rec

    first, _ = frame(torch.zeros_like(pictures[0]), None)
    due = time.perf_counter()
    for number in range(frames):
        time.sleep(max(0.0, due - time.perf_counter()))
        took, rec = frame(pictures[number % len(pictures)], rec)
        times.append(took)
        due = max(due + 1 / rate, time.perf_counter())
    warm, ordered = times[0], sorted(times)
    parts = [ordered[min(len(ordered) - 1, round(share * len(ordered)))] for share in (0.5, 0.95, 0.99)]
    cells = [f"{size} ({RATIOS[size]:g})", f"{runner.name}", *(f"{x:.1f}" for x in (first, warm, *parts, ordered[-1]))]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["720p", "1080p"])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.sizes[0], arguments.frames, arguments.engine, arguments.rate)
        return
    print(f"{arguments.frames} frames at {arguments.rate:g} fps; milliseconds")
    print("| size (ratio) | engine | first | first after the warm-up | p50 | p95 | p99 | longest |")
    print("|---|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--child", "--sizes", size, "--frames", str(arguments.frames)]
        command += ["--engine", arguments.engine, "--rate", str(arguments.rate)]
        print(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
