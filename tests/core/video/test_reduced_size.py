"""Frames that are reduced to a largest side: their sizes and pixels, in every kind of clip."""

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ToRGB
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.reduced_size import reduced_picture, reduced_size


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("size", "longest", "reduced"),
    [
        ((2160, 3840), 1920, (1080, 1920)),
        ((3840, 2160), 1920, (1920, 1080)),
        ((1080, 1920), 1920, (1080, 1920)),
        ((1080, 1920), 4000, (1080, 1920)),
        ((1080, 1920), None, (1080, 1920)),
        ((1080, 1920), 1000, (562, 1000)),
        ((1000, 1000), 333, (332, 333)),
        ((1, 5000), 100, (2, 100)),
    ],
)
def test_sizes(size, longest, reduced):
    assert reduced_size(*size, longest) == reduced


def gradient(height: int, width: int, dtype=np.uint8) -> np.ndarray:
    """Red rises to the right, green downwards, in steps that a reduced picture has, too."""
    most = np.iinfo(dtype).max
    image = np.zeros((height, width, 3), dtype)
    image[..., 0] = np.linspace(0, most, width)
    image[..., 1] = np.linspace(0, most, height)[:, None]
    image[..., 2] = most
    return image


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 3), (np.uint16, 600)])
def test_pixels_stay_in_their_places(dtype, tolerance):
    small = reduced_picture(gradient(300, 400, dtype), 100, ToRGB())
    assert (small.shape, small.dtype) == ((76, 100, 3), dtype)
    expected = gradient(76, 100, dtype).astype(int)
    assert np.abs(small[2:-2, 2:-2].astype(int) - expected[2:-2, 2:-2]).max() <= tolerance
    white = np.iinfo(dtype).max
    assert small[..., 2].min() >= white - white // 1000  # swscale loses a little of 16 bits


def test_fine_stripes_become_grey():
    """A scaler that only picks pixels would make them black or white."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    small = reduced_picture(stripes, 32, ToRGB())
    assert np.abs(small[4:-4, 4:-4].astype(int) - 128).max() <= 6


def read(path, **options):
    with open_reader(path, **options) as reader:
        frames = list(reader)
        return reader.info, frames


def test_a_video(make_clip):
    make_clip("clip.mp4", size=(320, 180), frames=3)
    whole, frames = read("clip.mp4")
    info, small = read("clip.mp4", max_size=160)
    assert (info.height, info.width) == (90, 160)
    assert [frame.pts for frame in small] == [frame.pts for frame in frames]
    for frame, original in zip(small, frames, strict=True):
        assert frame.image.shape == (90, 160, 3)
        expected = np.asarray(Image.fromarray(original.image).resize((160, 90), Image.Resampling.BOX)).astype(int)
        assert np.abs(frame.image.astype(int) - expected)[2:-2, 2:-2].mean() < 2
    assert read("clip.mp4", max_size=320)[0] == whole


def test_a_size_without_a_common_divisor_is_filled(make_clip):
    make_clip("clip.mp4", size=(318, 178), frames=2)
    info, frames = read("clip.mp4", max_size=101)
    assert (info.height, info.width) == (56, 101)
    assert frames[0].image[-1].max() > 40  # no black rim
    assert frames[0].image[:, -1].max() > 40


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp"])
def test_pictures_and_animations(name):
    pictures = [Image.fromarray(gradient(90, 160)), Image.fromarray(gradient(90, 160)[::-1])]
    pictures[0].save(name, **({"save_all": True, "append_images": pictures[1:]} if name[-1] in "fp" else {}))
    info, frames = read(name, max_size=80)
    assert (info.height, info.width) == (44, 80)  # 45 would be odd
    assert all(frame.image.shape == (44, 80, 3) for frame in frames)


def test_a_size_that_is_too_small(make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=2)
    with pytest.raises(StudioError, match=r"The largest size is 8\. Expected at least 16 pixels"):
        open_reader("clip.mp4", max_size=8)


def test_the_outputs_are_reduced(red_studio, make_clip):
    make_clip("clip.mp4", size=(320, 180), frames=3)
    ran = red_studio("matte", "clip.mp4", "-o", "cut.mov", "--alpha", "a.mkv", "--max-size", "160")
    assert ran.code == 0, ran.err
    for path in ("cut.mov", "a.mkv"):
        info, frames = read(path)
        assert (info.height, info.width, len(frames)) == (90, 160, 3)
    small = read("clip.mp4", max_size=160)[1]
    assert np.array_equal(read("a.mkv")[1][1].image[..., 0], small[1].image[..., 0])
