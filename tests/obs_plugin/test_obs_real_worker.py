"""The whole chain with the real network: what OBS records is what the core computes from the same frames."""

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import PLUGIN
from headless_obs import color, matte, media
from rvm_studio.core.pictures.alpha_ops import composite
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.weights import network_weights as weights

SAMPLE = PLUGIN.parent / "assets" / "sample.mp4"
FRAMES, RATE = 12, 2  # of the clip: slow enough for a busy processor to matte every one
BACK = (0xA0, 0x48, 0xB0)
MATTES = "import sys; result = sys.modules['rvm_obs'].running.arena.slots[0].control.matte_count"
LOSSLESS = {"quality": "Lossless", "color_format": "RGB", "color_range": "Full"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Frames of the sample to and fro, without loss, and the same as [T, H, W, 3]."""
    with av.open(str(SAMPLE)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    half = frames[:: len(frames) // (FRAMES // 2 + 1)][: FRAMES // 2 + 1]
    pictures = np.stack(half + half[-2:0:-1])
    path = tmp_path_factory.mktemp("clip") / "sample.mkv"
    height, width = pictures.shape[1:3]
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", str(RATE), "-i", "-", "-c:v", "ffv1", "-pix_fmt", "bgr0", str(path)]
    subprocess.run(command, input=pictures.tobytes(), check=True)
    return path, pictures


def recorded(path: Path, height: int, width: int) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.slow
def test_a_recording_is_the_cores_own_composite(start_obs, clip, reference_weights, monkeypatch, tmp_path):
    path, pictures = clip
    height, width = pictures.shape[1:3]
    monkeypatch.setenv("RVM_WEIGHTS", str(reference_weights))
    filters = [matte(decontaminate=0, scene_cuts=False, skip="1", freeze=10000)]
    back = color("back", 0xFF000000 | BACK[2] << 16 | BACK[1] << 8 | BACK[0], width, height)
    obs = start_obs([back, media("cam", path, filters)], control=True, size=(width, height), fps=RATE, **LOSSLESS)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any(), "the first matte")
    enough = obs.control(MATTES) + 2 * FRAMES + 4
    frames = recorded(obs.record_and_kill(2 * FRAMES, lambda: obs.control(MATTES) >= enough), height, width)
    # A frame that is the one before to the last pixel was shown twice, for want of a new one; it was not matted twice,
    # as the network remembers and would have answered a little differently.
    frames = [
        frame
        for before, frame in zip([None, *frames], frames, strict=False)
        if before is None or (before != frame).any()
    ]
    assert len(frames) >= 2 * FRAMES

    session = MattingSession(weights.load_network(reference_weights), device="cpu", dtype="fp32")
    cut_out = Truth(session, pictures)
    cut_out.follow(range(FRAMES))
    likely = [cut_out.of(t) for t in range(FRAMES)]
    numbers = [int(np.argmin([np.abs(frame - one).mean() for one in likely])) for frame in frames]
    assert len(set(numbers)) >= FRAMES // 2
    session.reset()
    cut_out.follow(numbers)
    places = range(FRAMES, len(frames))  # until then it also remembers what was shown before the recording
    differences = [np.abs(frames[place] - cut_out.of(numbers[place], place)) for place in places]
    means, ends = [[round(float(f(d)), 4) for d in differences] for f in (np.mean, lambda d: np.percentile(d, 99.9))]
    assert max(means) < 0.3, means  # after a second without a frame the worker forgets, on a busy machine
    assert np.percentile(means, 75) < 0.02, means
    assert np.percentile(ends, 75) < 2, ends


class Truth:
    """The core's composites of pictures [T, H, W, 3] in an order in which they are shown."""

    def __init__(self, session, pictures):
        self.session, self.pictures = session, pictures

    def follow(self, order):
        _, self.pha = self.session.matte(self.pictures[list(order)], foreground=False)

    def of(self, number, place=None) -> np.ndarray:
        src = torch.from_numpy(self.pictures[number]).permute(2, 0, 1)[None].float() / 255
        back = (torch.tensor(BACK).float() / 255)[:, None, None].expand_as(src)
        mixed = composite(src, self.pha[[number if place is None else place]], back, linear_light=True)
        return (mixed[0] * 255).permute(1, 2, 0).numpy()
