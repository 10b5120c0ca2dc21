"""Triton's kernels, in its interpreter where there is no card, against the plain PyTorch form of the same pass."""

# T frames, H, W

import os

import pytest
import torch
from rvm_studio.core.engines.full_size import full_size_gpu
from rvm_studio.core.network import small_size
from rvm_studio.core.pictures.pixel_format import quantise

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are defined
pytest.importorskip("triton")
triton_kernels = pytest.importorskip("rvm_studio.core.engines.full_size.triton_kernels")

DTYPES = [torch.uint8, torch.uint16, torch.float32]
SIZES = [(23, 301, 0.25), (13, 21, 0.375), (9, 1, 1.0), (1, 7, 1.0), (6, 530, 0.5)]


def make_frames(height, width, dtype, interleaved) -> torch.Tensor:
    pictures = torch.rand(2, height, width, 3, generator=torch.manual_seed(height))
    frames = quantise(pictures, dtype).permute(0, 3, 1, 2)
    return (frames if interleaved else frames.contiguous()).to(DEVICE)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_reduce(height, width, ratio, dtype, interleaved):
    frames = make_frames(height, width, dtype, interleaved)
    small, expected = triton_kernels.reduce(frames, ratio), full_size_gpu.reduce(frames, ratio)
    assert small.dtype == torch.float32
    assert small.shape == expected.shape
    assert (small - expected).abs().max() < 3e-6


@pytest.mark.parametrize("out", DTYPES)
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_apply(height, width, ratio, dtype, interleaved, foreground, out):
    frames = make_frames(height, width, dtype, interleaved)
    h, w = small_size(height, width, ratio)
    generator = torch.manual_seed(width)
    A = torch.randn(2, 4, h, w, generator=generator)  # noqa: N806
    b = torch.rand(2, 4, h, w, generator=generator) - 0.3
    coefficients = torch.cat([A, b], 1).to(DEVICE)
    fgr, pha = triton_kernels.apply(coefficients, frames, out, foreground)
    expected_fgr, expected_pha = full_size_gpu.apply(coefficients, frames, out, foreground)
    assert (fgr is None) is not foreground
    pairs = [(pha, expected_pha), *([(fgr, expected_fgr)] if foreground else [])]
    for result, expected in pairs:
        assert result.dtype == out
        assert result.shape == expected.shape
        if out == torch.float32:
            # a place of up to 75 small pixels is exact to 4e-6, and neighbours differ by up to 5
            assert (result - expected).abs().max() < 2e-5
        else:
            difference = (result.int() - expected.int()).abs()
            assert difference.max() <= 1
            assert (difference > 0).float().mean() < (0.002 if out == torch.uint8 else 0.3)
    if foreground:
        assert fgr.permute(0, 2, 3, 1).is_contiguous() is interleaved or min(height, width) == 1
