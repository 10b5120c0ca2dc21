"""Latency of the OBS filter's worker with the real network: milliseconds from sending a picture until its matte is
there, and mattes per second.

    python bench/obs_latency.py [--sizes 640x360 1280x720] [--fps 30] [--seconds 10] [--clean-colours 50] [--obs]

The worker is the process that OBS would start, on the device that it chooses; this script acts as the filter, over the
real shared memory. "one at a time": each picture is sent when the previous matte has arrived, so nothing waits. "at 30
fps": pictures are sent as by a camera; a slow worker skips some, and a picture may wait for the previous one. --obs:
then the same clip in OBS without a screen (see obs_overhead.py), as measured by the filter: from the video frame in
which a picture was captured to that in which its matte is there, which is two video frames longer.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import av
import numpy as np

BENCH = Path(__file__).resolve().parent
TESTS = BENCH.parent / "tests" / "obs_plugin"
sys.path[:0] = [str(BENCH.parent / "obs_plugin"), str(TESTS), str(TESTS.parent / "patience")]
import rvm_environment  # noqa: E402
import rvm_frame_protocol as protocol  # noqa: E402
from clips import SAMPLE, make_clip  # noqa: E402
from filter_side import FilterSide  # noqa: E402

WARM_UP = 2.0  # seconds that do not count
LONGEST_WAIT = 120.0
PICTURES = 12


def pictures(width: int, height: int) -> list[bytes]:
    """The sample's first pictures as RGBA, forwards and backwards."""
    with av.open(str(SAMPLE)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(PICTURES), strict=False)]
    there = [frame.reformat(width, height, format="rgba", interpolation="BICUBIC").to_ndarray() for frame in frames]
    return [picture.tobytes() for picture in there + there[-2:0:-1]]


class Bench:
    """A worker and a filter that communicates with it."""

    def __init__(self, settings: dict):
        self.arena, self.settings, self.number = protocol.Arena.create(1), settings, 0
        argv, env, options = rvm_environment.worker_command(sys.executable, self.arena.prepare_worker())
        self.process = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=self.arena.inherited, **options
        )

    def claim(self, size: tuple[int, int]) -> None:
        self.size, self.stream = size, cycle(pictures(*size))
        self.arena.slots[0].control.instance = 0
        self.filter = FilterSide(self.arena.slots[0], self.number + 1)
        self.filter.write_settings(**self.settings)
        self.sent = {}
        self.latencies = []
        self.send()
        self.wait_for_matte()

    def send(self) -> None:
        self.number += 1
        self.filter.write_picture(self.number, *self.size, next(self.stream), time_ns=time.monotonic_ns())
        self.sent[self.number] = time.perf_counter()  # from now on the worker can read it

    def receive(self) -> bool:
        now, mattes = time.perf_counter(), self.filter.read_mattes()
        self.latencies += [now - self.sent.pop(matte.number) for matte in mattes]
        return bool(mattes)

    def wait_for_matte(self) -> None:
        end = time.monotonic() + LONGEST_WAIT
        while not self.receive():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"no matte arrived: {self.arena.read_status() or self.process.stderr.read().decode()}")
            time.sleep(0.0002)

    def one_at_a_time(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.send()
            self.wait_for_matte()

    def as_a_camera(self, seconds: float, fps: float) -> None:
        start = time.perf_counter()
        due = start
        while due < start + seconds:
            self.receive()
            if time.perf_counter() >= due:
                self.send()
                due += 1 / fps
            time.sleep(0.0002)

    def measure(self, run, seconds: float, *arguments) -> tuple[float, float, float]:
        """(mattes per second, 50th and 95th percentile of the latency in milliseconds)."""
        run(WARM_UP, *arguments)
        self.latencies.clear()
        start = time.perf_counter()
        run(seconds, *arguments)
        rate = len(self.latencies) / (time.perf_counter() - start)
        return rate, *(1000 * np.percentile(self.latencies, (50, 95)))

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.arena.close()


def bench_worker(arguments, settings: dict) -> None:
    bench = Bench(settings)
    try:
        for size in arguments.sizes:
            bench.claim(size)
            if size == arguments.sizes[0]:
                time.sleep(0.2)  # until the status has been written
                status = bench.arena.read_status()
                print("{model}, {engine}, on {device}; decontaminate: ".format(**status), end="")
                print(f"{settings['decontaminate']:.0%}")
                print(f"{'':12}{'one at a time':^34}{f'at {arguments.fps:g} fps':^34}")
                print(f"{'':12}" + f"{'mattes/s':>10}{'p50 ms':>10}{'p95 ms':>10}    " * 2, flush=True)
            alone = bench.measure(bench.one_at_a_time, arguments.seconds)
            camera = bench.measure(bench.as_a_camera, arguments.seconds, arguments.fps)
            row = "".join("{:>10.1f}{:>10.1f}{:>10.1f}    ".format(*found) for found in (alone, camera))
            print(f"{size[0]}x{size[1]:<{11 - len(str(size[0]))}}{row}".rstrip(), flush=True)
    finally:
        bench.stop()


FIGURES = """
import sys
control = sys.modules["rvm_obs"].running.arena.slots[0].control
result = [control.rate_milli / 1000, control.latency_ns / 1e6, control.delay_ns / 1e6]
"""


def bench_obs(arguments, settings: dict) -> None:
    from conftest import Control, copy_plugin
    from headless_obs import HeadlessObs, matte, media, missing

    if missing():
        sys.exit(missing())
    print(
        f"\nin OBS at {arguments.fps:g} fps: {'mattes/s':>10}{'p50 ms':>10}{'p95 ms':>10}{'delay ms':>10}", flush=True
    )
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            clip = make_clip(folder / "clip.mp4", size, 48)
            environment = {"RVM_CONTROL": str(folder / "control"), "RVM_CONTROL_LOADS": str(copy_plugin(folder))}
            percent = round(100 * settings["decontaminate"])
            sources = [media("cam", clip, [matte(**{**settings, "decontaminate": percent})])]
            scripts = [TESTS / "obs_control.py"]
            with HeadlessObs(folder, sources, scripts, (640, 360), arguments.fps, environment) as obs:
                control = Control(folder)
                obs.wait_until(lambda control=control: control(FIGURES)[1] > 0, "the first matte")
                time.sleep(WARM_UP)
                found = []
                for _ in range(round(arguments.seconds / 0.2)):
                    time.sleep(0.2)
                    found.append(control(FIGURES))
                rate, latency, delay = np.array(found).T
                figures = rate.mean(), *np.percentile(latency, (50, 95)), np.median(delay)
                row = "{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}".format(*figures)
                print(f"{size[0]}x{size[1]:<{len(f'in OBS at {arguments.fps:g} fps: ') - 1 - len(str(size[0]))}}{row}")
                obs.quit()


def size_of(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [(640, 360), (1280, 720), (1920, 1080)]
    parser.add_argument("--sizes", nargs="+", type=size_of, default=sizes, metavar="WIDTHxHEIGHT")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--model", default="mobilenetv3")
    parser.add_argument("--downsample", default="auto", choices=("auto", "portrait", "full_body"))
    parser.add_argument("--clean-colours", type=int, default=50, metavar="PERCENT", help="the setting Decontaminate")
    parser.add_argument("--obs", action="store_true", help="then also measure in OBS")
    arguments = parser.parse_args()
    settings = {"model": arguments.model, "downsample": arguments.downsample}
    settings |= {"decontaminate": arguments.clean_colours / 100}
    bench_worker(arguments, settings)
    if arguments.obs:
        bench_obs(arguments, settings)


if __name__ == "__main__":
    main()
