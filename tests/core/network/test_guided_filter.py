"""The refiners against the filter written out pixel by pixel, and against mattes whose coefficients are known."""

import numpy as np
import pytest
import torch
from rvm_studio.core.network.guided_filter import (
    REFINERS,
    DeepGuidedFilterRefiner,
    FastGuidedFilterRefiner,
    with_mean,
)


def random_inputs(dtype=torch.float64, size=(5, 6)):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, *size), (2, 3, *size), (2, 1, *size), (2, 16, *size)]
    return [torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def box_by_hand(x: np.ndarray) -> np.ndarray:
    """The 3x3 mean; what lies outside counts as zero."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    found = np.zeros_like(x)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            found[:, :, row, column] = padded[:, :, row : row + 3, column : column + 3].sum((2, 3)) / 9
    return found


def test_the_guide_of_alpha_is_the_mean_colour():
    src = torch.tensor([0.0, 0.3, 0.9]).view(1, 3, 1, 1)
    assert torch.allclose(with_mean(src).flatten(), torch.tensor([0.0, 0.3, 0.9, 0.4]))


def test_fast_coefficients_are_those_of_least_squares():
    src, fgr, pha, hid = random_inputs()
    A, b = FastGuidedFilterRefiner().coefficients(src, fgr, pha, hid)  # noqa: N806
    x = np.concatenate([src.numpy(), src.numpy().mean(1, keepdims=True)], 1)
    y = np.concatenate([fgr.numpy(), pha.numpy()], 1)
    mean_x, mean_y = box_by_hand(x), box_by_hand(y)
    slope = (box_by_hand(x * y) - mean_x * mean_y) / (box_by_hand(x * x) - mean_x**2 + 1e-5)
    assert np.allclose(A, slope, rtol=0, atol=1e-10)
    assert np.allclose(b, mean_y - slope * mean_x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", REFINERS)
def test_the_first_box_filter_is_the_mean(name):
    refiner = REFINERS[name]().double()
    x = torch.rand(1, 4, 5, 6, dtype=torch.float64)
    assert np.allclose(refiner.box(x).detach(), box_by_hand(x.numpy()), rtol=0, atol=1e-7)


def test_constant_coefficients_are_applied_exactly():
    refiner = FastGuidedFilterRefiner()
    src = torch.rand(1, 3, 9, 11, dtype=torch.float64)
    A = torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64).view(1, 4, 1, 1).expand(1, 4, 3, 4)  # noqa: N806
    b = torch.tensor([0.1, 0.2, 0.3, -0.4], dtype=torch.float64).view(1, 4, 1, 1).expand(1, 4, 3, 4)
    fgr, pha = refiner.apply_coefficients(A, b, src)
    slope, offset = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([2.0, -1.0, 0.5], [0.1, 0.2, 0.3]))
    assert torch.allclose(fgr, slope * src + offset)
    assert torch.allclose(pha, 3 * src.mean(1, keepdim=True) - 0.4)


def test_a_matte_that_follows_the_picture_comes_back_at_full_size():
    """Where the matte is a linear function of the picture, the filter finds that function, but for its epsilon."""
    generator = torch.Generator().manual_seed(1)
    full = torch.rand(1, 3, 32, 32, generator=generator, dtype=torch.float64) * 4
    small = full[:, :, ::2, ::2].contiguous()
    fgr, pha = 0.5 * small + 0.25, 0.75 * small.mean(1, keepdim=True) - 0.1
    out_fgr, out_pha = FastGuidedFilterRefiner()(full, small, fgr, pha, torch.zeros(1, 16, 16, 16))
    inside = (..., slice(4, -4), slice(4, -4))  # zeros beyond the border count as picture
    assert (out_fgr - (0.5 * full + 0.25))[inside].abs().max() < 1e-3
    assert (out_pha - (0.75 * full.mean(1, keepdim=True) - 0.1))[inside].abs().max() < 1e-3


@pytest.mark.parametrize("kind", [DeepGuidedFilterRefiner, FastGuidedFilterRefiner])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(kind, dtype):
    torch.manual_seed(0)
    refiner = kind().eval().to(dtype)
    src, fgr, pha, hid = random_inputs(dtype)
    with torch.inference_mode():
        A, b = refiner.coefficients(src, fgr, pha, hid)  # noqa: N806
        found_fgr, found_pha = refiner.apply_coefficients(A, b, src)
    assert (A.dtype, b.dtype) == (torch.float32, torch.float32)
    assert (found_fgr.dtype, found_pha.dtype) == (dtype, dtype)
