"""Frames per second of `rvm-studio matte` compared with a plain loop (bench/plain_loop.py); H.264 in, composite out.

    python bench/matte_speed.py [--sizes 1080p 4K] [--frames 24] [--rounds 3]

Each run is a separate process. The three kinds take turns (A B C A B C ...); the results are medians, and the medians
of the ratios round by round. The plain loop runs with the default allocator and, through environment variables, with a
tuned one. Loading Python and the weights does not count; the warm-up is off, so that all kinds matte the same frames.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from clips import SIZES, make_clip

TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(kind: str, clip: Path, folder: Path) -> float:
    """Frames per second of one run."""
    output = str(folder / "out.mp4")
    if kind == "rvm-studio matte":
        command = [sys.executable, "-m", "rvm_studio", "matte", str(clip), "-o", output]
        command += ["--background", "#00b140", "--warm-up", "0", "--overwrite", "--json"]
    else:
        command = [sys.executable, str(Path(__file__).with_name("plain_loop.py")), str(clip), output]
    environment = {**os.environ, **(TUNED if "tuned" in kind else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{kind} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])["fps"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1080p", "4K"])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    kinds = ("rvm-studio matte", "plain loop", "plain loop, tuned allocator")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in arguments.sizes:
            clip = make_clip(folder / f"{size}.mp4", SIZES[size], arguments.frames)
            fps: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(arguments.rounds):
                for kind in kinds:
                    fps[kind].append(run(kind, clip, folder))
            print(f"{size}, {arguments.frames} frames, {arguments.rounds} rounds, frames per second (median)")
            for kind in kinds:
                ratios = [ours / theirs for ours, theirs in zip(fps[kinds[0]], fps[kind], strict=True)]
                ending = "" if kind == kinds[0] else f"   rvm-studio is {median(ratios):.2f}x"
                print(f"  {kind:<30} {median(fps[kind]):6.2f}{ending}", flush=True)


if __name__ == "__main__":
    main()
