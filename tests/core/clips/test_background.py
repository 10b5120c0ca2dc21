"""What stands behind the person: colours, pictures, videos, folders, blur; scaled to cover, cut around the centre."""

# T frames, H, W

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips.background import Background, cover
from rvm_studio.core.errors import StudioError

PHA = torch.zeros(1, 1, 20, 30)


def levels(background: Background, *seconds: float) -> list[float]:
    """The red level (0..255) of a flat background at each time."""
    bgr = background.frames(None, PHA.expand(len(seconds), -1, -1, -1), list(seconds))
    return [round(255 * frame[0].mean().item()) for frame in bgr]


def flat_video(path, reds, rate=Fraction(10), pts=None):
    """A lossless video of one flat frame for each red level."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 30, 20, "bgr0"
        for index, red in enumerate(reds):
            pixels = np.zeros((20, 30, 3), np.uint8)
            pixels[..., 0] = red
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index if pts is None else pts[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("green", (0, 128, 0)),
        ("#00b140", (0, 177, 64)),
        ("#fff", (255, 255, 255)),
        ("#10203080", (16, 32, 48)),  # its own transparency means nothing here
        ("rgb(1,2,3)", (1, 2, 3)),
        ("hsl(0,100%,50%)", (255, 0, 0)),
        ("White", (255, 255, 255)),
    ],
)
def test_colours(text, color):
    background = Background(text)
    assert not background.needs_source
    bgr = background.frames(None, PHA, [0.0])
    assert bgr.shape == (1, 3, 1, 1)
    assert (bgr.flatten() * 255).round().int().tolist() == list(color)


def test_a_picture_covers_the_frame_around_its_centre(tmp_path):
    """40x20 behind 30x20: 5 columns fall off at each side, none at top and bottom."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 5:35, 1] = np.arange(30) * 8
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    bgr = Background(str(tmp_path / "wide.png")).frames(None, PHA, [0.0])
    assert bgr.shape == (1, 3, 20, 30)
    assert (bgr[0, 1, 7] * 255).round().int().tolist() == [x * 8 for x in range(30)]


@pytest.mark.parametrize("size", [(1, 1), (200, 7), (7, 200), (30, 20), (31, 21)])
def test_cover_always_fills_the_frame(size):
    bgr = torch.full((1, 3, size[1], size[0]), 0.5)
    covered = cover(bgr, 20, 30)
    assert covered.shape == (1, 3, 20, 30)
    torch.testing.assert_close(covered, torch.full((1, 3, 20, 30), 0.5))


def test_cover_keeps_the_shape():
    """A circle of a tall picture stays a circle."""
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(60.0), indexing="ij")
    disc = (((y - 59.5) ** 2 + (x - 29.5) ** 2) < 15**2).float().expand(1, 3, -1, -1)
    covered = cover(disc, 90, 120)[0, 0] > 0.5
    assert covered.any(0).sum() == pytest.approx(60, abs=2)  # the circle of 30 is twice as large
    assert covered.any(1).sum() == pytest.approx(60, abs=2)


def test_a_video_plays_at_its_own_speed_and_loops(tmp_path):
    background = Background(flat_video(tmp_path / "b.mkv", [10, 20, 30]))
    # ten frames a second, asked for 25 times a second: each is held 2 or 3 times, then it begins anew
    times = [t / 25 for t in range(16)]
    expected = [(10, 20, 30)[int(t * 10 + 1e-9) % 3] for t in times]
    assert levels(background, *times) == expected
    assert levels(background, 3.05) == [10]  # many rounds later


def test_a_video_of_varying_rate_and_a_late_start(tmp_path):
    """Times count from the background's own first frame on."""
    background = Background(flat_video(tmp_path / "b.mkv", [10, 20, 30], pts=[7, 8, 12]))
    assert levels(background, 0.0, 0.09, 0.11, 0.49, 0.51) == [10, 10, 20, 20, 30]


def test_a_video_of_one_frame(tmp_path):
    assert levels(Background(flat_video(tmp_path / "b.mkv", [77])), 0.0, 0.5, 1.0) == [77, 77, 77]


def test_a_folder_of_pictures_moves(tmp_path):
    for number, red in enumerate((10, 20)):
        Image.new("RGB", (30, 20), (red, 0, 0)).save(tmp_path / f"b_{number}.png")
    assert levels(Background(str(tmp_path)), 0, 0.05, 0.09, 0.13) == [10, 20, 10, 20]


def test_sixteen_bits(tmp_path):
    pixels = np.full((20, 30), 257 * 99, np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert levels(Background(str(tmp_path / "deep.png")), 0.0) == [99]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_frames_in_memory_are_one_for_each_of_the_clip(dtype):
    scale = {torch.uint8: 1, torch.uint16: 257, torch.float32: 1 / 255}[dtype]
    reds = torch.tensor([10.0, 20.0, 30.0]) * scale
    frames = reds.view(3, 1, 1, 1).expand(3, 3, 40, 60).to(dtype)
    background = Background(frames)
    assert not background.needs_source
    bgr = background.frames(None, PHA.expand(5, -1, -1, -1), [9.0] * 5, first=2)
    assert bgr.shape == (5, 3, 20, 30)
    assert [round(255 * frame.mean().item()) for frame in bgr] == [30, 10, 20, 30, 10]
    still = Background(frames[1:2]).frames(None, PHA, [0.0], first=7)
    assert still.shape == (1, 3, 20, 30)
    assert round(255 * still.mean().item()) == 20
    background.close()


@pytest.mark.parametrize(
    "frames",
    [torch.rand(0, 3, 4, 4), torch.rand(3, 4, 4), torch.rand(2, 4, 4, 3), torch.zeros(1, 3, 4, 4, dtype=torch.int64)],
)
def test_tensors_that_are_no_frames(frames):
    with pytest.raises(StudioError, match=r"The background is torch\..* expected at least one frame"):
        Background(frames)


def test_blur_needs_the_source_and_keeps_its_mean():
    background = Background("blur")
    assert background.needs_source
    src = torch.rand(2, 3, 40, 60, generator=torch.Generator().manual_seed(1))
    bgr = background.frames(src, torch.zeros(2, 1, 40, 60), [0.0, 0.04])
    assert bgr.shape == src.shape
    assert bgr.std() < src.std() / 4
    assert bgr.mean() == pytest.approx(src.mean().item(), abs=0.02)


@pytest.mark.parametrize("text", ["grren", "#00b14", "rgb(1,2)", "", "nowhere/beach.jpg"])
def test_what_is_no_background_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudioError, match=r"is neither a colour nor a file.*#00b140.*blur"):
        Background(text)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(StudioError, match=r"words\.mp4 cannot be opened as a video"):
        Background(str(tmp_path / "words.mp4"))
    (tmp_path / "words.png").write_text("no picture")
    with pytest.raises(StudioError, match=r"words\.png has no readable picture"):
        Background(str(tmp_path / "words.png"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudioError, match="contains no pictures"):
        Background(str(tmp_path / "empty"))
