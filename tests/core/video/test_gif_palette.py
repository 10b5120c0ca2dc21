"""Animated GIFs, read back by Pillow."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.gif_palette import palette_frame
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

NOTE = "GIF has 256 colours a frame, hard edges and times in 0.01 s; .webp and .apng keep colours and edges"


def spec(rate=Fraction(25), time_base=Fraction(1, 1000), depth=8) -> PictureSpec:
    tags = ColorTags(1, 1, 1, 1)
    return PictureSpec(height=30, width=44, frame_rate=rate, time_base=time_base, tags=tags, bit_depth=depth)


def picture(step: int, channels: int) -> np.ndarray:
    """A square that moves, on smooth colours; alpha is soft at the left and right of it."""
    image = np.zeros((30, 44, 4), np.uint8)
    image[..., 0] = np.linspace(0, 255, 44)
    image[..., 1] = np.linspace(0, 255, 30)[:, None]
    image[5:20, 4 + 3 * step : 20 + 3 * step] = (250, 40 * step, 90, 255)
    image[5:20, [3 + 3 * step, 20 + 3 * step], 3] = 127, 128
    return image[..., :channels].copy()


def write(path, images, times, **options):
    channels = {4: "rgba", 3: "rgb", 1: "gray"}[images[0].shape[2]]
    writer = FrameWriter(path, spec(), content=channels, **options)
    for number, (image, time) in enumerate(zip(images, times, strict=True)):
        writer.write(image, time, number)
    assert writer.notes[:1] == [NOTE]
    return writer.finish()


def frames_of(path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append((np.array(image.convert("RGBA")), image.info["duration"]))
        assert image.info["loop"] == 0
    return [pixels for pixels, _ in shown], [time for _, time in shown]


def test_a_cut_out(tmp_path):
    images = [picture(step, 4) for step in range(4)]
    frames, times = frames_of(write(tmp_path / "a.gif", images, [500, 540, 660, 700]))
    assert times[:3] == [40, 120, 40]
    for frame, image in zip(frames, images, strict=True):
        opaque = image[..., 3] >= 128
        assert np.array_equal(frame[..., 3] > 0, opaque)
        assert np.abs(frame[opaque][:, :3].astype(int) - image[opaque][:, :3]).max() <= 20
    with open_reader(tmp_path / "a.gif") as reader:
        assert [frame.pts * reader.info.time_base for frame in reader][:3] == [0, Fraction(4, 100), Fraction(16, 100)]


def test_colours(tmp_path):
    images = [picture(step, 3) for step in range(3)]
    frames, _ = frames_of(write(tmp_path / "a.gif", images, [0, 40, 80]))
    for frame, image in zip(frames, images, strict=True):
        differences = np.abs(frame[..., :3].astype(int) - image)
        assert differences.mean() < 4
        assert (frame[..., 3] == 255).all()


def test_greys_are_exact(tmp_path):
    images = [picture(step, 1) for step in range(3)]
    frames, _ = frames_of(write(tmp_path / "a.gif", images, [0, 40, 80]))
    for frame, image in zip(frames, images, strict=True):
        assert np.array_equal(frame[..., :3], np.repeat(image, 3, 2))


@pytest.mark.parametrize("width", [1, 7, 64])
def test_sizes(width):
    frame = palette_frame(np.full((3, width, 4), 200, np.uint8))
    assert (frame.width, frame.height, frame.format.name) == (width, 3, "pal8")
