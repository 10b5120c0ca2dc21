"""Stored pictures made upright: display matrices and EXIF, against turning an array."""

import math
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from rvm_studio.core.video.orientation import Orientation, _matrix_orientation, upright
from rvm_studio.core.video.reader import open_reader

# EXIF's eight values, by where the stored first row and first column are in the upright picture (EXIF 2.3, 4.6.4)
EXIF = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x.T, 2),
    8: lambda x: np.rot90(x, 1),
}
STORED = np.arange(6).reshape(2, 3)


def stored_picture() -> Image.Image:
    """STORED as greys, eight pixels each, so that JPEG's blocks do not mix them."""
    return Image.fromarray(np.kron(np.uint8(40 * STORED), np.ones((8, 8), np.uint8))).convert("RGB")


def seen(path) -> np.ndarray:
    """STORED as the reader shows it."""
    with open_reader(path) as reader:
        (frame,) = reader
    return np.rint(frame.image[4::8, 4::8, 0] / 40).astype(int)


@pytest.mark.parametrize("value", EXIF)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif(tmp_path, value, suffix):
    exif = Image.Exif()
    exif[0x0112] = value
    stored_picture().save(tmp_path / f"a{suffix}", exif=exif)
    assert np.array_equal(seen(tmp_path / f"a{suffix}"), EXIF[value](STORED))


@pytest.mark.parametrize("value", [0, 9, None])
def test_a_value_that_says_nothing(tmp_path, value):
    exif = Image.Exif()
    if value is not None:
        exif[0x0112] = value
    stored_picture().save(tmp_path / "a.jpg", exif=exif)
    assert np.array_equal(seen(tmp_path / "a.jpg"), STORED)


def test_what_pillow_does_not_read(tmp_path, monkeypatch):
    stored_picture().save(tmp_path / "a.png")

    def refuses(path):
        raise UnidentifiedImageError("cannot identify image file")

    monkeypatch.setattr(Image, "open", refuses)
    assert np.array_equal(seen(tmp_path / "a.png"), STORED)


def matrix(a: float, b: float, c: float, d: float) -> np.ndarray:
    """ISO 14496-12's matrix: fixed point, 16.16 and 2.30."""
    return np.array([a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30], np.int32)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 7, 94, 172])
def test_a_display_matrix(degrees, mirrored):
    """It sends a point (x, y), y downwards, to (a x + c y, b x + d y): here a flip, then a turn clockwise. What is
    no quarter turn counts as the nearest."""
    turn = math.radians(degrees)
    flip = -1 if mirrored else 1
    found = _matrix_orientation(matrix(flip * math.cos(turn), flip * math.sin(turn), -math.sin(turn), math.cos(turn)))
    assert found == Orientation(round(degrees / 90) * 90, mirrored)


@pytest.mark.parametrize(
    ("rotation", "aspect", "found"),
    [
        (0, Fraction(4, 3), (4, 6, Fraction(4, 3))),
        (180, Fraction(4, 3), (4, 6, Fraction(4, 3))),
        (90, Fraction(4, 3), (6, 4, Fraction(3, 4))),
        (270, Fraction(4, 3), (6, 4, Fraction(3, 4))),
        (90, None, (6, 4, Fraction(1))),
        (0, None, (4, 6, Fraction(1))),
        (0, Fraction(0), (4, 6, Fraction(1))),
    ],
)
def test_size_and_pixel_shape_of_the_upright_picture(rotation, aspect, found):
    assert upright(av.VideoFrame(6, 4, "rgb24"), Orientation(rotation, True), aspect) == found
