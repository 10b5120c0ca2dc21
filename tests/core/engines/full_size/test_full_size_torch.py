"""The full-size pass without numba, in bands of rows: against float64, and the same whatever the bands.

`full_size` calls it: more of it is tested there, side by side with the kernels.
"""

# T frames, C channels, H, W full size, h, w small size

import pytest
import torch
from rvm_studio.core.engines.full_size import full_size_torch
from rvm_studio.core.engines.full_size.bilinear import enlarging_taps, reducing_taps
from rvm_studio.core.engines.full_size.full_size_torch import BAND
from rvm_studio.core.network import small_size
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from torch.nn import functional as F

DTYPES = [torch.uint8, torch.uint16, torch.float32]
PLACES = 3e-5  # float32 places are exact to about 1e-5 here, along each axis, and neighbours differ by up to 1.4


def make_frames(height, width, dtype, count=1) -> torch.Tensor:
    pictures = torch.rand(count, height, width, 3, generator=torch.manual_seed(height))
    return quantise(pictures, dtype).permute(0, 3, 1, 2)


def applied(coefficients, frame, out, foreground=True):
    """(fgr or None, pha [H, W]), in memory that held something else before."""
    H, W = frame.shape[1:]  # noqa: N806
    pha, fgr = torch.full((H, W), 77, dtype=out), torch.full((3, H, W), 77, dtype=out) if foreground else None
    full_size_torch.apply(coefficients, frame, enlarging_taps(coefficients.shape[1], H), pha, fgr)
    return fgr, pha


def make_coefficients(channels, h, w) -> torch.Tensor:
    generator = torch.manual_seed(h)
    A = torch.rand(channels, h, w, generator=generator) - 0.5  # noqa: N806
    return torch.cat([A, 0.4 * torch.rand(A.shape, generator=generator) + 0.2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), [(90, 51, 0.25), (41, 67, 0.375), (1, 7, 1.0), (16, 1, 1.0)])
def test_reduce(height, width, ratio, dtype):
    frames = make_frames(height, width, dtype, count=2)
    kept = frames.clone()
    h, w = small_size(height, width, ratio)
    small = full_size_torch.reduce(frames, reducing_taps(width, w, ratio), reducing_taps(height, h, ratio))
    exact = F.interpolate(to_float(frames).double(), scale_factor=ratio, mode="bilinear", recompute_scale_factor=False)
    assert small.dtype == torch.float32
    assert small.shape == exact.shape
    assert (small - exact).abs().max() < PLACES
    assert torch.equal(frames, kept)


@pytest.mark.parametrize("out", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("height", "width", "h", "w"), [(BAND + 1, 35, 17, 9), (5, 7, 5, 7), (1, 9, 1, 3), (8, 1, 3, 1)]
)
def test_apply(height, width, h, w, dtype, out):
    frame, coefficients = make_frames(height, width, dtype)[0], make_coefficients(4, h, w)
    src = to_float(frame).double()
    A, b = F.interpolate(coefficients[None].double(), (height, width), mode="bilinear")[0].chunk(2)  # noqa: N806
    expected = A[:3] * src + b[:3] + src, A[3] * src.mean(0) + b[3]
    rounding = {torch.uint8: 0.5 / 255, torch.uint16: 0.5 / 65535, torch.float32: 0}[out]
    for result, truth in zip(applied(coefficients, frame, out), expected, strict=True):
        assert (to_float(result) - truth.clamp(0, 1)).abs().max() < rounding + PLACES


@pytest.mark.parametrize("height", [1, BAND - 1, BAND, 2 * BAND, 2 * BAND + 1])
def test_bands_cover_every_row_and_change_no_number(height, monkeypatch):
    frame, coefficients = make_frames(height, 13, torch.uint8)[0], make_coefficients(4, -(-height // 3), 5)
    fgr, pha = applied(coefficients, frame, torch.float32)
    assert max(fgr.max(), pha.max()) <= 1, "every row is written"
    for band in (1, 7, 1000):
        monkeypatch.setattr(full_size_torch, "BAND", band)
        again_fgr, again_pha = applied(coefficients, frame, torch.float32)
        assert torch.equal(again_fgr, fgr)
        assert torch.equal(again_pha, pha)


def test_alpha_alone():
    frame, coefficients = make_frames(20, 30, torch.uint8)[0], make_coefficients(4, 10, 15)
    _, both = applied(coefficients, frame, torch.float32)
    for given in (coefficients, coefficients[3::4]):
        fgr, pha = applied(given, frame, torch.float32, foreground=False)
        assert fgr is None
        assert (pha - both).abs().max() < 1e-6
