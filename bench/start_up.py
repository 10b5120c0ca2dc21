"""Seconds that `rvm-studio matte` spends outside matting: start of the process, weights, compiled networks, files.

    python bench/start_up.py [--size 1080p] [--rounds 5]

A clip of one second (24 frames) and one of three are matted in turns, each in a process of its own, with warm caches (a
first run is not counted). What a frame takes follows from the difference, and what is left of the short run without
its 24 frames is the start-up. Medians. Then where the time of one start goes: modules, weights, engine, first frame.
"""

import argparse
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
import sys, time
clock = [("", time.perf_counter())]
mark = lambda name: clock.append((name, time.perf_counter()))
from rvm_studio.core import cli, cli_matte
from rvm_studio.core.process_tuning import tune_process
tune_process()
mark("command line")
import torch
mark("torch")
import rvm_studio.core.video_matting
mark("pipeline's modules")
from rvm_studio.core.cli_model import find_network, load_engine
parsed = cli.make_parser().parse_args(["matte", sys.argv[1], "-o", "a.mp4"])
find_network(parsed)
mark("network and weights")
engine = load_engine(parsed)
mark("engine (and the weights again)")
frames = torch.zeros(1, 3, int(sys.argv[3]), int(sys.argv[2]), dtype=torch.uint8)
ratio = 512 / max(frames.shape)
state = engine.run(frames, None, ratio, out=torch.uint8, foreground=True).rec
mark("first frame")
engine.run(frames, state, ratio, out=torch.uint8, foreground=True)
mark("second frame")
for (_, before), (name, after) in zip(clock, clock[1:]):
    print(f"  {name:<32} {1000 * (after - before):6.0f} ms")
"""


def seconds_of(clip: Path, output: Path) -> tuple[float, float]:
    """Of the whole process: by the clock, and of the processor."""
    command = [sys.executable, "-m", "rvm_studio.core.cli", "matte", str(clip), "-o", str(output), "--overwrite"]
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
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


if __name__ == "__main__":
    main()
