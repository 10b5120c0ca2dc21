"""Composites, premultiplication and blurred backgrounds against arithmetic by hand."""

# T frames, C channels, H, W

import numpy as np
import pytest
import torch
from rvm_studio.core.alpha_ops import blurred_background, composite, gaussian_blur, hide_invisible, premultiply
from scipy.ndimage import gaussian_filter


def test_composite_is_over():
    fgr, bgr = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    pha = torch.rand(2, 1, 4, 5)
    assert torch.allclose(composite(fgr, pha, bgr), fgr * pha + bgr * (1 - pha), atol=1e-6)
    color = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert torch.equal(composite(fgr, torch.zeros_like(pha), color), color.expand_as(fgr))
    assert torch.equal(composite(fgr, torch.ones_like(pha), color), fgr)


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
