"""Peak memory of `rvm-studio matte` for a short clip and one ten times as long. It must not grow.

    python bench/matte_memory.py [--size 1080p] [--frames 60 600]

The figure is the peak resident memory of the whole process (including weights, network and codecs) as reported by the
operating system. Linux and macOS only.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from clips import SIZES, make_clip


def peak_megabytes(command: list[str]) -> float:
    """Runs a command and returns its peak resident memory."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1080p")
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 600])
    parser.add_argument("--format", default="mov")
    arguments = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        for frames in arguments.frames:
            clip = Path(name) / f"{frames}.mp4"
            # In a separate process, because a child's peak includes its parent's memory at its start.
            maker = multiprocessing.get_context("spawn").Process(
                target=make_clip, args=(clip, SIZES[arguments.size], frames)
            )
            maker.start()
            maker.join()
            command = [sys.executable, "-m", "rvm_studio", "matte", str(clip), "--quiet"]
            peaks.append(peak_megabytes([*command, "-o", str(Path(name) / f"matte{frames}.{arguments.format}")]))
            print(f"{arguments.size} -> .{arguments.format}, {frames:4} frames: peak {peaks[-1]:.0f} MB", flush=True)
    print(f"longest / shortest: {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
