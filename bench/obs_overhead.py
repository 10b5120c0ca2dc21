"""Time that the OBS filter adds to OBS's graphics thread, measured in one run of OBS: p50 and p95 per frame.

    python bench/obs_overhead.py [--sizes 64x36 1920x1080] [--rounds 6] [--seconds 3] [--fps 30] [--at-most MS]

OBS runs without a screen (Debian: obs-studio, xvfb, libgl1-mesa-dri). A still picture fills the canvas. The filter on
it is switched off and on alternately, and OBS's own profiler is read before and after each turn. The worker, in its own
process, answers immediately with a full matte, so only the filter is measured: capture, copy, upload, drawing. "whole
frame" is all work of the graphics thread for a frame; "drawing" is the part in which sources are drawn. With llvmpipe,
which does a GPU's work on the CPU, the filter's drawing counts in full.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests" / "obs_plugin"
sys.path.insert(0, str(TESTS))
from conftest import Control, copy_plugin  # noqa: E402
from headless_obs import HeadlessObs, color, matte, missing  # noqa: E402

SCOPES = {"whole frame": "obs_graphics_thread", "drawing": "render_main_texture"}
SETTLE = 0.7  # seconds after a switch that do not count

SNAPSHOT = """
import ctypes
libobs.profile_snapshot_create.restype = ctypes.c_void_p
libobs.profiler_snapshot_dump_csv.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
libobs.profile_snapshot_free.argtypes = (ctypes.c_void_p,)
snapshot = libobs.profile_snapshot_create()
libobs.profiler_snapshot_dump_csv(snapshot, {path!r}.encode())
libobs.profile_snapshot_free(snapshot)
"""


def read_profiler(obs) -> dict[str, Counter]:
    """For each scope, since the start of OBS: microseconds -> how often it took that long."""
    path = obs.folder / "profile.csv"
    obs.control(SNAPSHOT.format(path=str(path)))
    times = {scope: Counter() for scope in SCOPES}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for scope, name in SCOPES.items():
                if row["name"].startswith(name) and row["time_between_calls"] == "0":
                    times[scope][int(row["time_delta_µs"])] += int(row["count"])
    return times


def percentile(times: Counter, share: float) -> float:
    """A percentile of the times, in milliseconds."""
    wanted = share * times.total()
    for microseconds in sorted(times):
        wanted -= times[microseconds]
        if wanted <= 0:
            return microseconds / 1000
    return float("nan")


def measure(size: tuple[int, int], rounds: int, seconds: float, fps: int) -> dict[bool, dict[str, Counter]]:
    """Whether the filter is on -> scope -> times."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        script = copy_plugin(folder, (255, 0, ""))
        environment = {"RVM_CONTROL": str(folder / "control"), "RVM_CONTROL_LOADS": str(script)}
        sources = [color("cam", 0xFF806040, *size, [matte(sync="soon")])]
        found = {on: {scope: Counter() for scope in SCOPES} for on in (False, True)}
        with HeadlessObs(folder, sources, [TESTS / "obs_control.py"], size, fps, environment) as obs:
            obs.control = Control(folder)
            obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
            for turn in range(2 * rounds):
                on = turn % 2 == 1
                obs.request("SetSourceFilterEnabled", sourceName="cam", filterName="matte", filterEnabled=on)
                time.sleep(SETTLE)
                before = read_profiler(obs)
                time.sleep(seconds)
                after = read_profiler(obs)
                for scope in SCOPES:
                    found[on][scope] += after[scope] - before[scope]
            obs.quit()
    return found


def report(size: tuple[int, int], found) -> float:
    """Prints the results. Returns the milliseconds that the filter adds to a frame, at the median."""
    for scope in SCOPES:
        for on in (False, True):
            times = found[on][scope]
            name = "with the filter" if on else "no filter"
            print(
                f"{size[0]}x{size[1]:<6} {scope:12} {name:16} "
                f"p50 {percentile(times, 0.5):7.3f} ms   p95 {percentile(times, 0.95):7.3f} ms   {times.total()} frames"
            )
        extra = [percentile(found[True][scope], p) - percentile(found[False][scope], p) for p in (0.5, 0.95)]
        print(f"{'':29}{'difference':16} p50 {extra[0]:+7.3f} ms   p95 {extra[1]:+7.3f} ms")
    without, filtered = (percentile(found[on]["whole frame"], 0.5) for on in (False, True))
    return filtered - without


def exit_code(extras: list[float], at_most: float) -> int:
    """1 if the filter adds more than `at_most` milliseconds to a frame, otherwise 0."""
    return int(max(extras) > at_most)


def size_of(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=size_of, default=[(64, 36), (1920, 1080)], metavar="WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument(
        "--at-most", type=float, default=float("inf"), metavar="MS", help="exit 1 if the filter adds more to a frame"
    )
    options = parser.parse_args()
    if missing():
        parser.error(missing())
    turns = options.rounds, options.seconds, options.fps
    extras = [report(size, measure(size, *turns)) for size in options.sizes]
    sys.exit(exit_code(extras, options.at_most))


if __name__ == "__main__":
    main()
