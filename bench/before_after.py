"""The command `rvm-studio matte` of two checkouts in turns: is a change slower than the commit before it?

    python bench/before_after.py PYTHON_BEFORE [--size 1080p] [--frames 72] [--rounds 5] [--outputs a.mov a.mp4 ...]

PYTHON_BEFORE is the Python of an environment in which the earlier commit is installed (`git worktree add ../before
COMMIT`, then `pip install -e` there). Each round runs both, one after the other, in processes of their own. Printed are
the medians of the seconds and of the processor time (user and system, which a busy machine changes less), and the
median of the ratios of the rounds, after : before. Below 1 is faster.
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

OUTPUTS = ("a.mov", "a.mkv", "a.webm", "a.mp4", "a.png")


def seconds_of(python: str, clip: Path, output: Path) -> tuple[float, float]:
    """(wall-clock time, processor time) of the whole process."""
    command = [python, "-m", "rvm_studio", "matte", str(clip), "-o", str(output), "--overwrite", "--quiet"]
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=output.parent)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="PYTHON_BEFORE")
    parser.add_argument("--size", choices=SIZES, default="1080p")
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--outputs", nargs="+", default=list(OUTPUTS), metavar="NAME")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clip = make_clip(Path(name) / "clip.mp4", SIZES[arguments.size], arguments.frames)
        pythons = (str(Path(arguments.before).absolute()), sys.executable)
        print(f"{arguments.size}, {arguments.frames} frames, {arguments.rounds} rounds; after : before")
        for output in arguments.outputs:
            for python in pythons:  # caches
                seconds_of(python, clip, Path(name) / output)
            rounds = [
                [seconds_of(python, clip, Path(name) / output) for python in pythons] for _ in range(arguments.rounds)
            ]
            parts = []
            for index, what in enumerate(("s", "s of processor time")):
                before, after = ([one[index] for one in times] for times in zip(*rounds, strict=True))
                ratio = median(a / b for a, b in zip(after, before, strict=True))
                parts.append(f"{median(before):.2f} -> {median(after):.2f} {what} ({ratio:.3f})")
            print(f"  {output}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
