"""Picture N is drawn with matte N: pixel by pixel, on a clip whose frames carry their number."""

import subprocess
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numbered_clip
import numpy as np
import pytest
from headless_obs import color, matte, media, scene

W, H = numbered_clip.WIDTH, numbered_clip.HEIGHT
LENGTH = 200  # of the clips, in frames
LOSSLESS = {"quality": "Lossless", "color_format": "RGB", "color_range": "Full"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[int, Path]:
    """The same frames at 30 and at 10 a second."""
    folder = tmp_path_factory.mktemp("clips")
    return {rate: numbered_clip.write(folder / f"{rate}.mkv", LENGTH, rate) for rate in (30, 10)}


def record(obs, seconds: float) -> np.ndarray:
    """[N, H, W, 3], without loss."""
    recording, width = obs.record_and_kill(seconds), obs.size[0]
    command = ["ffmpeg", "-v", "error", "-i", str(recording), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, H, width, 3)


def foreign_pixels(frame: np.ndarray) -> int:
    """How many pixels over black are not as frame and matte of the number in the strip make them."""
    number = numbered_clip.number_of(frame)
    expected = numbered_clip.picture(number) * (numbered_clip.matte(number)[..., None] > 0)
    return int((frame != expected).any(-1).sum())


def start_matting(start_obs, clip: Path, **settings):
    """OBS with the clip, cut out over black by a worker that takes 40 ms."""
    sources = [color("black", 0xFF000000, W, H), media("cam", clip, [matte(freeze=10000, **settings)])]
    obs = start_obs(sources, "pattern", 40, **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
    return obs


@pytest.mark.parametrize("sync", ["steady", "soon"])
def test_no_pixel_comes_from_another_frame(start_obs, clips, sync):
    frames = record(start_matting(start_obs, clips[30], sync=sync), 4.5)
    assert len(frames) >= 120
    assert sum(foreign_pixels(frame) for frame in frames) == 0
    assert len({numbered_clip.number_of(frame) for frame in frames}) >= 20  # it moves: 120 times one frame is no proof


def test_not_waiting_shows_the_room(start_obs, clips):
    """What the choice "lowest latency" says; and that the test above can fail."""
    frames = record(start_matting(start_obs, clips[30], sync="newest"), 2)
    assert sum(foreign_pixels(frame) for frame in frames) > 500 * len(frames)


@pytest.mark.slow
@pytest.mark.parametrize(("skip", "delay_ms", "step"), [("3", 5, 3), ("auto", 150, 2)])
def test_an_even_rhythm(start_obs, clips, skip, delay_ms, step):
    """Every third frame where that was chosen; every second for a worker that takes one and a half frames."""
    sources = [color("black", 0xFF000000, W, H), media("cam", clips[10], [matte(skip=skip, freeze=10000)])]
    obs = start_obs(sources, "pattern", delay_ms, fps=10, **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
    time.sleep(8)
    numbers = [numbered_clip.number_of(frame) for frame in record(obs, 4)]
    steps = Counter((after - before) % LENGTH for before, after in pairwise(numbers) if after != before)
    assert steps[step] >= 0.8 * steps.total(), steps


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [0, 400])
def test_the_delay_is_constant_and_as_shown(start_obs, clips, fixed):
    """On the left the clip itself, on the right the same moment with the filter."""
    scenes = [
        scene("Scene", ["black", "cam", ("Cut out", {"pos": {"x": float(W), "y": 0.0}})]),
        scene("Cut out", ["cam"], [matte(fixed_delay=fixed)]),
    ]
    sources = [*scenes, color("black", 0xFF000000, 2 * W, H), media("cam", clips[10])]
    obs = start_obs(sources, "pattern", 8, size=(2 * W, H), fps=10, **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("Cut out")[..., 3].any(), "the first matte")
    time.sleep(8)  # the automatic delay has settled
    shown = obs.report()["slots"][0]["delay_ns"] / 1e8  # in frames
    frames = record(obs, 4)
    delays = Counter(
        (numbered_clip.number_of(frame[:, :W]) - numbered_clip.number_of(frame[:, W:])) % LENGTH for frame in frames
    )
    usual, count = delays.most_common(1)[0]
    assert count >= 0.9 * len(frames), delays
    assert usual == round(shown)
    assert usual == 4 if fixed else 2 <= usual <= 3  # a frame to the worker, one back; more where the machine is busy
    assert sum(foreign_pixels(frame[:, W:]) for frame in frames) == 0
