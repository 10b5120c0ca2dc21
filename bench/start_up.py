"""Seconds that `rvm-studio matte` spends on other things than matting: process start, weights, networks, files.

    python bench/start_up.py [--size 1080p] [--rounds 5]

A clip of one second (24 frames) and one of three seconds are matted alternately, each in its own process, with warm
caches (the first run does not count). The difference gives the time per frame; the time of the short run minus that of
its 24 frames is the start-up time. The results are medians. Then the parts of one start are listed: modules, weights,
engine, first frame.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from clips import SIZES, make_clip

PARTS = """
import os, sys, time
clock = [("", float(sys.argv[4])), ("interpreter", time.time())]
mark = lambda name: clock.append((name, time.time()))
from rvm_studio.core import cli, loading, tune_process
tune_process()
parsed = cli.make_parser().parse_args(["matte", sys.argv[1], "-o", "a.mp4"])
mark("command line")
with loading():
    import torch
    mark("torch")
    from rvm_studio.core import Drawing, build_engine, choose_device, choose_engine, find_network, matte_clip
    mark("pipeline's modules")
    from rvm_studio.core.engines.full_size.kernel_runner import compiled_kernels
    choice = choose_engine(choose_device())
    mark("choice of the engine, OpenVINO")
    network = find_network()
    mark("network and weights")
    engine = build_engine(network, choice)
    mark("engine")
    compiled_kernels()
    mark("numba (the command: in a thread)")
width, height = map(int, sys.argv[2:4])
frames = torch.zeros(1, height, width, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
drawing = {"drawing": Drawing("composite", torch.zeros(1, 3, 1, 1))} if getattr(engine, "draws", False) else {}
ratio, state = 512 / max(width, height), None
for name in ("first frame", "second frame"):
    state = engine.run(frames, state, ratio, out=torch.uint8, foreground=not drawing, **drawing).rec
    mark(name)
for (_, before), (name, after) in zip(clock, clock[1:]):
    print(f"  {name:<32} {1000 * (after - before):6.0f} ms")
sys.stdout.flush()
os._exit(0)
"""


def seconds_of(clip: Path, output: Path) -> tuple[float, float]:
    """Seconds of the whole process: (wall-clock time, processor time)."""
    command = [sys.executable, "-m", "rvm_studio", "matte", str(clip), "-o", str(output), "--overwrite"]
    started, before = time.perf_counter(), os.times()
    subprocess.run([*command, "--warm-up", "0", "--quiet"], check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1080p")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [make_clip(folder / f"{frames}.mp4", SIZES[arguments.size], frames) for frames in (24, 72)]
        output = folder / "out.mp4"
        seconds_of(clips[0], output)
        rounds = [[seconds_of(clip, output) for clip in clips] for _ in range(arguments.rounds)]
        short, long = (median(times[0] for times in clip) for clip in zip(*rounds, strict=True))
        outside, used = (median(one[k] - 24 * (three[k] - one[k]) / 48 for one, three in rounds) for k in (0, 1))
        print(
            f"{arguments.size}, {arguments.rounds} rounds: one second of video in {short:.2f} s, three in {long:.2f} s"
        )
        print(f"outside matting: {outside:.2f} s ({used:.2f} s of processor time, which a busy machine changes less)")
        command = [sys.executable, "-c", PARTS, str(clips[0]), *map(str, SIZES[arguments.size])]
        for _ in range(2):  # the first run may have to compile
            done = subprocess.run([*command, str(time.time())], check=True, capture_output=True, text=True)
        print(done.stdout, end="")
        if importlib.util.find_spec("scipy"):
            print("scipy is installed here, which users may not have; numba loads it (about 0.1 s)")


if __name__ == "__main__":
    main()
