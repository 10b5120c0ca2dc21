"""Growing, feathering, levels and smoothing of mattes, against scipy and arithmetic by hand."""

# T frames, H, W

import math

import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges, smooth_over_time
from scipy.ndimage import gaussian_filter, grey_dilation, grey_erosion


def disc(radius: int) -> np.ndarray:
    steps = np.arange(-radius, radius + 1)
    return steps[:, None] ** 2 + steps**2 <= radius**2


def grown_by_brute_force(pha: np.ndarray, pixels: int) -> np.ndarray:
    """[H, W]; pixels outside the frame never win."""
    if pixels >= 0:
        return grey_dilation(pha, footprint=disc(pixels), mode="constant", cval=-np.inf)
    return grey_erosion(pha, footprint=disc(-pixels), mode="constant", cval=np.inf)


def soft_matte(frames: int, height: int, width: int) -> torch.Tensor:
    """[T, 1, H, W] float32: blurred noise, with a solid part and an empty one, another one in each frame."""
    rng = np.random.default_rng(frames * height + width)
    noise = [gaussian_filter(rng.random((height, width)), 1.5, mode="nearest") for _ in range(frames)]
    return torch.tensor(np.array(noise).reshape(frames, 1, height, width)).sub(0.4).mul(5).clamp(0, 1).float()


@pytest.mark.parametrize("pixels", [1, 2, 3, 7, 20, -1, -2, -5, -16])
@pytest.mark.parametrize("shape", [(37, 23), (1, 1), (1, 50), (64, 5)])
def test_growing_is_exactly_the_extreme_within_a_disc(pixels, shape):
    pha = soft_matte(2, *shape)
    grown = refine_edges(pha, EdgeOptions(grow=pixels))
    for t in range(2):
        assert np.array_equal(grown[t, 0].numpy(), grown_by_brute_force(pha[t, 0].numpy(), pixels))


@pytest.mark.parametrize("pixels", [0.5, 2.25, -3.75])
def test_a_fraction_of_a_pixel_mixes_the_two_radii_beside_it(pixels):
    pha = soft_matte(1, 21, 34)
    low, high = (grown_by_brute_force(pha[0, 0].numpy(), side) for side in (math.floor(pixels), math.ceil(pixels)))
    share = pixels - math.floor(pixels)
    grown = refine_edges(pha, EdgeOptions(grow=pixels))[0, 0].numpy()
    assert np.allclose(grown, (1 - share) * low + share * high, atol=1e-6)


@pytest.mark.parametrize(("radius", "count"), [(1, 5), (2, 13), (3, 29), (4, 49), (5, 81), (10, 317), (64, 12853)])
def test_one_pixel_grows_into_gauss_circle(radius, count):
    """The number of grid points within a circle (Gauss's circle problem)."""
    pha = torch.zeros(1, 1, 150, 140)
    pha[..., 70, 69] = 1
    grown = refine_edges(pha, EdgeOptions(grow=radius))
    assert grown.sum().item() == count
    assert torch.equal(refine_edges(grown, EdgeOptions(grow=-radius)), pha)


def test_shrinking_leaves_a_subject_cut_off_by_the_frame_alone_there():
    pha = torch.zeros(1, 1, 30, 40)
    pha[..., 10:, 10:30] = 1
    expected = torch.zeros_like(pha)
    expected[..., 14:, 14:26] = 1
    assert torch.equal(refine_edges(pha, EdgeOptions(grow=-4)), expected)


@pytest.mark.parametrize(("sigma", "within"), [(0.7, 1e-6), (4, 1e-6), (20, 0.003)])
def test_feather_is_a_gaussian(sigma, within):
    pha = soft_matte(2, 101, 67)
    feathered = refine_edges(pha, EdgeOptions(feather=sigma))
    for t in range(2):
        expected = gaussian_filter(pha[t, 0].double().numpy(), sigma, mode="nearest", radius=round(3 * sigma))
        assert np.abs(feathered[t, 0].numpy() - expected).max() < within


def test_levels_by_hand():
    pha = torch.tensor([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0]).view(1, 1, 1, 7)
    points = refine_edges(pha, EdgeOptions(black_point=0.2, white_point=0.8))
    assert points.flatten().tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1, 1], abs=1e-6)
    brighter = refine_edges(pha, EdgeOptions(gamma=2))
    assert brighter.flatten().tolist() == pytest.approx([math.sqrt(alpha) for alpha in pha.flatten().tolist()])
    both = refine_edges(pha, EdgeOptions(black_point=0.1, white_point=0.9, gamma=0.5))
    assert both.flatten().tolist() == pytest.approx([0, 0, 1 / 64, 1 / 4, 49 / 64, 1, 1], abs=1e-6)


def test_the_order_is_grow_feather_levels():
    pha = soft_matte(2, 45, 38)
    expected = pha
    for options in (EdgeOptions(grow=-2), EdgeOptions(feather=1.5), EdgeOptions(black_point=0.3, gamma=1.4)):
        expected = refine_edges(expected, options)
    all_at_once = refine_edges(pha, EdgeOptions(-2, 1.5, 0.3, 1, 1.4))
    assert torch.allclose(all_at_once, expected, atol=1e-6)


def test_options_that_do_nothing():
    pha = soft_matte(2, 9, 8)
    assert EdgeOptions().is_identity
    assert torch.equal(refine_edges(pha, EdgeOptions()), pha)
    for name, value in {"grow": -0.5, "feather": 1, "black_point": 0.1, "white_point": 0.9, "gamma": 1.1}.items():
        assert not EdgeOptions(**{name: value}).is_identity
        assert not torch.equal(refine_edges(pha, EdgeOptions(**{name: value})), pha)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_and_untouched_inputs(dtype):
    pha = soft_matte(3, 25, 19).to(dtype)
    before = pha.clone()
    options = EdgeOptions(3.5, 1.2, 0.1, 0.9, 1.5)
    refined, smoothed = refine_edges(pha, options), smooth_over_time(pha, 0.7)
    assert torch.equal(pha, before)
    assert refined.dtype == smoothed.dtype == dtype
    assert torch.allclose(refined.float(), refine_edges(before.float(), options), atol=0.01)
    assert torch.allclose(smoothed.float(), smooth_over_time(before.float(), 0.7), atol=0.01)
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_no_frames_and_one_pixel():
    options = EdgeOptions(3.5, 2, 0.1, 0.9, 1.5)
    assert refine_edges(torch.rand(0, 1, 4, 5), options).shape == (0, 1, 4, 5)
    assert smooth_over_time(torch.rand(0, 1, 4, 5), 0.5).shape == (0, 1, 4, 5)
    one = torch.full((1, 1, 1, 1), 0.5)
    assert refine_edges(one, EdgeOptions(grow=-9.5, feather=50)).item() == pytest.approx(0.5, abs=1e-6)
    assert smooth_over_time(one, 1).item() == 0.5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("grow", [257, -257, math.nan, None]),
        ("feather", [-1, 257, math.inf]),
        ("black_point", [-0.1, 2]),
        ("white_point", [1.1, -1]),
        ("gamma", [0, -1, 11, "high"]),
    ],
)
def test_wrong_options_are_named(name, values):
    for value in values:
        with pytest.raises(StudioError, match=rf"edge option {name} is .* expected a number from"):
            EdgeOptions(**{name: value})


@pytest.mark.parametrize(("black", "white"), [(0.5, 0.5), (0.6, 0.5), (0.5, 0.5005), (0, 1e-320)])
def test_the_white_point_must_be_above_the_black_point(black, white):
    with pytest.raises(StudioError, match=r"must be at least 0\.001 above the black point"):
        EdgeOptions(black_point=black, white_point=white)


def test_smoothing_over_time_by_hand():
    pha = torch.tensor([0.0, 0.9, 0.0, 0.6]).view(4, 1, 1, 1)
    assert smooth_over_time(pha, 1).flatten().tolist() == pytest.approx([0.3, 0.3, 0.5, 0.4])
    assert smooth_over_time(pha, 0.5).flatten().tolist() == pytest.approx([0.15, 0.6, 0.25, 0.5])
    assert torch.equal(smooth_over_time(pha, 0), pha)
    before, after = torch.full((1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1), 0.9)
    assert smooth_over_time(pha, 1, before, after).flatten().tolist() == pytest.approx([0.4, 0.3, 0.5, 0.5])


def test_smoothing_in_parts_is_smoothing_the_whole():
    pha = soft_matte(7, 13, 11)
    whole = smooth_over_time(pha, 0.8)
    parts = [(0, 3), (3, 4), (4, 7)]
    smoothed = [
        smooth_over_time(pha[i:j], 0.8, pha[i - 1 : i] if i else None, pha[j : j + 1] if j < 7 else None)
        for i, j in parts
    ]
    assert torch.equal(torch.cat(smoothed), whole)


def test_smoothing_does_not_lag():
    """Backwards in time it does the same, and a matte that stands still stays exactly as it is."""
    pha = soft_matte(5, 13, 11)
    assert torch.equal(smooth_over_time(pha.flip(0), 0.6).flip(0), smooth_over_time(pha, 0.6))
    still = pha[:1].repeat(4, 1, 1, 1)
    assert torch.equal(smooth_over_time(still, 0.6), still)


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan, None])
def test_wrong_strengths_of_smoothing(strength):
    with pytest.raises(StudioError, match=r"temporal smoothing is .* expected a number from 0 to 1"):
        smooth_over_time(torch.rand(2, 1, 4, 5), strength)
