"""Colour spaces, against published numbers."""

import numpy as np
import pytest
from rvm_studio.core.video.color_spaces import (
    ADOBE_RGB,
    PRIMARIES,
    convert_to_srgb,
    linear_to_srgb,
    srgb_to_linear,
    to_bt709,
    to_linear,
    to_xyz,
)


def test_the_luminance_of_bt709_and_bt2020():
    """The standards' own weights of red, green and blue."""
    assert to_xyz(PRIMARIES[1])[1] == pytest.approx([0.2126, 0.7152, 0.0722], abs=1e-4)
    assert to_xyz(PRIMARIES[9])[1] == pytest.approx([0.2627, 0.6780, 0.0593], abs=1e-4)


@pytest.mark.parametrize("space", [*PRIMARIES.values(), ADOBE_RGB])
def test_white_stays_white(space):
    assert to_bt709(space) @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-6)


def test_bt709_stays_itself():
    assert to_bt709(PRIMARIES[1]) == pytest.approx(np.eye(3), abs=1e-9)


def test_srgb():
    signal = np.array([-0.5, 0, 0.02, 0.5, 1, 1.5])
    light = srgb_to_linear(signal)
    assert light[1:5] == pytest.approx([0, 0.02 / 12.92, 0.21404, 1], abs=1e-5)
    assert linear_to_srgb(light) == pytest.approx(signal)


@pytest.mark.parametrize(
    ("code", "signal", "light"),
    [
        (1, 0.5, 0.25959),  # ITU-R BT.709: ((0.5 + 0.099) / 1.099) ** (1 / 0.45)
        (1, 0.045, 0.01),
        (4, 0.5, 0.21764),
        (8, 0.3, 0.3),
        (13, 0.5, 0.21404),
        (16, 0.5806889, 1.0),  # ITU-R BT.2408: 203 nits are the signal 58 %
        (16, 1.0, 10000 / 203),
        (18, 0.75, 1.0),
        (18, 0.5, (1 / 12) / 0.26496),
    ],
)
def test_curves(code, signal, light):
    curve = to_linear(code)
    assert curve is not None
    assert curve(np.array([signal]))[0] == pytest.approx(light, rel=2e-4)


def test_codes_without_a_curve():
    assert to_linear(2) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_srgb_to_srgb_changes_nothing(dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (300, 4, 3)).astype(dtype)
    white = np.iinfo(dtype).max
    curve = srgb_to_linear(np.arange(white + 1) / white)
    assert np.abs(convert_to_srgb(image, [curve], np.eye(3)).astype(int) - image).max() <= 1
