"""Picture N is drawn with matte N: pixel by pixel, on a clip whose frames carry their number."""

import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import headless_obs
import numbered_clip
import numpy as np
import pytest
from headless_obs import color, matte, media, scene

W, H = numbered_clip.WIDTH, numbered_clip.HEIGHT
LENGTH = 200  # of the clips, in frames
FRAME = 1e8  # ns, at ten frames a second
LOSSLESS = {"quality": "Lossless", "color_format": "RGB", "color_range": "Full"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[int, Path]:
    """The same frames at 30 and at 10 a second."""
    folder = tmp_path_factory.mktemp("clips")
    return {rate: numbered_clip.write(folder / f"{rate}.mkv", LENGTH, rate) for rate in (30, 10)}


def record(obs, frames: int, enough=lambda: True) -> np.ndarray:
    """[N, H, W, 3], without loss: at least that many frames, and until it is enough."""
    recording, width = obs.record_and_kill(frames, enough), obs.size[0]
    command = ["ffmpeg", "-v", "error", "-i", str(recording), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, H, width, 3)


class Undisturbed:
    """Whether so many frames have been recorded, of `numbers`, each after ten for which OBS had the time: what is shown
    at which frame says something then. Where OBS leaves frames out, on a busy machine, it takes longer to get them."""

    def __init__(self, obs, count: int):
        self._obs, self._count, self.numbers = obs, count, []
        self._next, self._skipped = 10, obs.skipped()

    def __call__(self) -> bool:
        recorded, skipped = self._obs.recorded(), self._obs.skipped()
        if skipped != self._skipped:
            self._next, self._skipped = self._obs.recorded() + 10, skipped
        while len(self.numbers) < self._count and self._next < recorded:
            self.numbers.append(self._next)
            self._next += 1
        return len(self.numbers) == self._count and recorded > self.numbers[-1] + headless_obs.LOST_FRAMES


def mattes(obs) -> int:
    """How many the filter has been given so far."""
    return sum(slot["matte_count"] for slot in obs.report()["slots"])


def foreign_pixels(frame: np.ndarray) -> int:
    """How many pixels over black are not as frame and matte of the number in the strip make them."""
    number = numbered_clip.number_of(frame)
    expected = numbered_clip.picture(number) * (numbered_clip.matte(number)[..., None] > 0)
    return int((frame != expected).any(-1).sum())


def start_matting(start_obs, clip: Path, **settings):
    """OBS with the clip, cut out over black by a worker that takes 40 ms."""
    sources = [color("black", 0xFF000000, W, H), media("cam", clip, [matte(freeze=10000, **settings)])]
    obs = start_obs(sources, "pattern", 40, size=(W, H), **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
    return obs


@pytest.mark.parametrize("sync", ["steady", "soon"])
def test_no_pixel_comes_from_another_frame(start_obs, clips, sync):
    obs = start_matting(start_obs, clips[30], sync=sync)
    enough = mattes(obs) + 60
    frames = record(obs, 120, lambda: mattes(obs) >= enough)
    assert len(frames) >= 120
    assert sum(foreign_pixels(frame) for frame in frames) == 0
    assert len({numbered_clip.number_of(frame) for frame in frames}) >= 20  # it moves: 120 times one frame is no proof


def test_not_waiting_shows_the_room(start_obs, clips):
    """What the choice "lowest latency" says; and that the test above can fail."""
    frames = record(start_matting(start_obs, clips[30], sync="newest"), 60)
    assert sum(foreign_pixels(frame) for frame in frames) > 500 * len(frames)


@pytest.mark.slow
@pytest.mark.parametrize(("skip", "delay", "step"), [("3", 5, 3), ("auto", "2f", 2)])
def test_an_even_rhythm(start_obs, clips, skip, delay, step):
    """Every third frame where that was chosen; every second for a worker that takes two frames for each."""
    sources = [color("black", 0xFF000000, W, H), media("cam", clips[10], [matte(skip=skip, freeze=10000)])]
    obs = start_obs(sources, "pattern", delay, size=(W, H), fps=10, **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
    obs.wait_until(Rhythm(obs, step), f"a picture every {step} frames")
    undisturbed = Undisturbed(obs, 40)
    frames = record(obs, 40, undisturbed)
    shown = {number: numbered_clip.number_of(frames[number]) for number in undisturbed.numbers}
    pairs = [(shown[before], shown[after]) for before, after in pairwise(shown) if after == before + 1]
    steps = Counter((after - before) % LENGTH for before, after in pairs if after != before)
    assert steps[step] >= 0.8 * steps.total(), steps


class Rhythm:
    """Whether the filter has handed the worker every `step`-th of the last forty frames that it drew."""

    def __init__(self, obs, step: int):
        self._obs, self._step, self._seen = obs, step, []

    def __call__(self) -> bool:
        slot = self._obs.report()["slots"][0]
        self._seen.append((slot["shown_frames"] + slot["late_frames"], slot["picture_count"]))
        (frames, pictures), before = self._seen[-1], [one for one in self._seen if one[0] <= self._seen[-1][0] - 40]
        return bool(before) and abs(frames - before[-1][0] - self._step * (pictures - before[-1][1])) <= self._step


def drawn(obs) -> int:
    """By the filter, since the first matte."""
    slot = obs.report()["slots"][0]
    return slot["shown_frames"] + slot["late_frames"]


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
    settled = drawn(obs) + 80
    obs.wait_until(lambda: mattes(obs) >= 70 and drawn(obs) >= settled, "the automatic delay")
    undisturbed = Undisturbed(obs, 40)
    frames = record(obs, 40, undisturbed)[undisturbed.numbers]
    report = obs.report()
    shown = report["slots"][0]["delay_ns"] / FRAME
    delays = Counter(
        (numbered_clip.number_of(frame[:, :W]) - numbered_clip.number_of(frame[:, W:])) % LENGTH for frame in frames
    )
    usual, count = delays.most_common(1)[0]
    assert count >= 0.9 * len(frames), delays
    assert usual == round(shown)
    # A frame to the worker, one back; and no more than its slowest answer, shown at the next frame.
    assert usual == 4 if fixed else 2 <= usual <= report["oldest_ns"] / FRAME + 2
    assert sum(foreign_pixels(frame[:, W:]) for frame in frames) == 0
