"""Composites, premultiplication and blurred backgrounds against arithmetic by hand."""

# T frames, C channels, H, W

import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.alpha_ops import (
    blurred_background,
    checkerboard,
    composite,
    gaussian_blur,
    hide_invisible,
    linear_to_srgb,
    premultiply,
    srgb_to_linear,
)
from scipy.ndimage import gaussian_filter


def test_composite_is_over():
    fgr, bgr = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    pha = torch.rand(2, 1, 4, 5)
    assert torch.allclose(composite(fgr, pha, bgr), fgr * pha + bgr * (1 - pha), atol=1e-6)
    color = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert torch.equal(composite(fgr, torch.zeros_like(pha), color), color.expand_as(fgr))
    assert torch.equal(composite(fgr, torch.ones_like(pha), color), fgr)


def decoded(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 once more."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def test_the_curve_of_srgb_is_the_standards():
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert np.allclose(srgb_to_linear(x).numpy(), decoded(x.numpy()), atol=1e-12)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-7)  # the standard's two straight parts differ
    # Points known from tables: mid grey of 8 bits, and half the light.
    assert srgb_to_linear(torch.tensor(128 / 255)).item() == pytest.approx(0.21586, abs=1e-5)
    assert linear_to_srgb(torch.tensor(0.5)).item() == pytest.approx(0.735357, abs=1e-6)


def test_the_curve_beyond_its_range_is_finite_and_rises():
    x = torch.linspace(-1, 2, 301)
    for curve in (srgb_to_linear, linear_to_srgb):
        assert (curve(x).diff() > 0).all()


def test_composite_in_linear_light_mixes_light():
    rng = np.random.default_rng(0)
    fgr, bgr, pha = rng.random((2, 3, 7, 5)), rng.random((1, 3, 7, 5)), rng.random((2, 1, 7, 5))
    mixed = composite(torch.from_numpy(fgr), torch.from_numpy(pha), torch.from_numpy(bgr), linear_light=True)
    assert np.allclose(decoded(mixed.numpy()), pha * decoded(fgr) + (1 - pha) * decoded(bgr), atol=1e-7)
    white, black = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    half = composite(white, torch.full((1, 1, 1, 1), 0.5), black, linear_light=True)
    assert half[0, :, 0, 0].tolist() == pytest.approx([0.735357] * 3, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("linear_light", [False, True])
def test_composite_is_exact_where_nothing_mixes(dtype, linear_light):
    fgr, pha = torch.rand(2, 3, 33, 21).to(dtype), torch.rand(2, 1, 33, 21).round().to(dtype)
    for bgr in (torch.rand(2, 3, 33, 21).to(dtype), torch.rand(1, 3, 1, 1).to(dtype)):
        over = composite(fgr, pha, bgr, linear_light)
        assert over.dtype == dtype
        assert torch.equal(over, torch.where(pha == 1, fgr, bgr))


@pytest.mark.parametrize("linear_light", [False, True])
def test_composite_of_no_frames_and_of_one_pixel(linear_light):
    assert composite(torch.rand(0, 3, 4, 5), torch.rand(0, 1, 4, 5), torch.rand(1, 3, 1, 1), linear_light).shape[0] == 0
    one = torch.full((1, 3, 1, 1), 0.3)
    assert torch.allclose(composite(one, torch.full((1, 1, 1, 1), 0.4), one, linear_light), one, atol=1e-6)


def test_checkerboard_is_drawn_cell_by_cell():
    board = checkerboard(5, 7, cell=2, shades=(1.0, 0.25))
    assert board.shape == (1, 3, 5, 7)
    for y in range(5):
        for x in range(7):
            assert board[0, :, y, x].tolist() == [1.0 if (x // 2 + y // 2) % 2 == 0 else 0.25] * 3
    assert checkerboard(40, 40).unique().tolist() == pytest.approx([0.6, 0.8])
    assert checkerboard(1, 1).shape == (1, 3, 1, 1)


def test_premultiplied_over_equals_straight_over():
    fgr, pha, bgr = torch.rand(1, 3, 4, 5), torch.rand(1, 1, 4, 5), torch.rand(1, 3, 4, 5)
    assert torch.allclose(premultiply(fgr, pha) + bgr * (1 - pha), composite(fgr, pha, bgr), atol=1e-6)


@pytest.mark.parametrize(("dtype", "most"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_only_where_alpha_is_zero_colour_is_hidden(dtype, most):
    pha = torch.tensor([0, 1, most // 2 + 1, most]).to(dtype).view(1, 1, 1, 4)
    fgr = torch.full((1, 3, 1, 4), most).to(dtype)
    hidden = hide_invisible(fgr, pha)
    assert hidden.dtype == dtype
    assert hidden[0, 2, 0].tolist() == [0, most, most, most]


@pytest.mark.parametrize("shape", [(40, 60), (7, 5), (1, 1)])
def test_gaussian_blur_equals_scipy(shape):
    x = np.random.default_rng(0).random(shape)
    expected = gaussian_filter(x, 2.0, mode="nearest", radius=6)
    assert np.allclose(gaussian_blur(torch.from_numpy(x)[None, None], 2.0)[0, 0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("sigma", [12.0, 17.3, 40.0])
def test_a_wide_gaussian_blur_is_close_to_scipy(sigma):
    rng = np.random.default_rng(0)
    x = np.zeros((2, 1, 203, 331))
    x[0, 0, 60:, 90:170] = 1  # touches the border
    x[1, 0] = rng.random((203, 331))
    blurred = gaussian_blur(torch.from_numpy(x), sigma).numpy()
    for t in range(2):
        expected = gaussian_filter(x[t, 0], sigma, mode="nearest", radius=round(3 * sigma))
        assert np.abs(blurred[t, 0] - expected).max() < 0.003


def test_gaussian_blur_of_nothing_and_by_nothing():
    x = torch.rand(2, 1, 5, 6)
    for sigma in (0, 1e-30, 0.05):
        assert torch.equal(gaussian_blur(x, sigma), x)
    assert gaussian_blur(x[:0], 3).shape == (0, 1, 5, 6)
    for sigma in (0.5, 3, 100):
        assert gaussian_blur(torch.full((1, 1, 1, 1), 0.3), sigma).item() == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_blurred_in_float32(dtype):
    x = torch.rand(1, 1, 33, 21).to(dtype)
    for sigma in (2, 15):
        assert torch.equal(gaussian_blur(x, sigma), gaussian_blur(x.float(), sigma).to(dtype))
    src = torch.rand(1, 3, 33, 21).to(dtype)
    assert torch.equal(blurred_background(src, x), blurred_background(src.float(), x.float()).to(dtype))


def test_a_weak_blur_of_the_background_is_weak():
    """Nobody in the picture: the blur is a Gaussian of the documented deviation, not one of a small picture."""
    src = np.random.default_rng(0).random((3, 180, 320))
    blurred = blurred_background(torch.from_numpy(src)[None], torch.zeros(1, 1, 180, 320, dtype=torch.float64), 0.25)
    for c in range(3):
        assert np.abs(blurred[0, c].numpy() - gaussian_filter(src[c], 2, mode="nearest", radius=6)).max() < 1e-3


def test_strengths_of_the_background_blur():
    src, pha = torch.rand(1, 3, 20, 30), torch.rand(1, 1, 20, 30)
    assert torch.equal(blurred_background(src, pha, 0), src)
    assert blurred_background(src, pha, 10).isfinite().all()
    for wrong in (-0.1, 10.1, float("nan"), "much"):
        with pytest.raises(StudioError, match=r"background blur is .* expected a number from 0 to 10"):
            blurred_background(src, pha, wrong)


def test_the_person_leaves_no_halo_in_the_blurred_background():
    """A red person before a grey wall: the blurred wall stays grey, also right beside her and behind her."""
    src = torch.full((1, 3, 120, 200), 0.5)
    pha = torch.zeros(1, 1, 120, 200)
    pha[..., 30:, 70:130] = 1
    src = torch.where(pha > 0, torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1), src)
    blurred = blurred_background(src, pha)
    assert blurred.shape == src.shape
    outside = (pha == 0).expand_as(src)
    assert (blurred - 0.5).abs()[outside].max() < 0.03


@pytest.mark.parametrize("pha", [torch.ones(1, 1, 33, 21), torch.zeros(1, 1, 33, 21)])
def test_blur_of_nothing_and_of_everything_is_finite(pha):
    blurred = blurred_background(torch.rand(1, 3, 33, 21), pha)
    assert blurred.isfinite().all()
    assert blurred.min() >= 0
    assert blurred.max() <= 1
