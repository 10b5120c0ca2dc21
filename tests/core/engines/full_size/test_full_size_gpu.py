"""The full-size pass in PyTorch for GPUs, here on the CPU: against float64, and against the pass for CPUs."""

# T frames, C channels, H, W full size, h, w small size

import pytest
import torch
from rvm_studio.core.engines.full_size import full_size, full_size_gpu
from rvm_studio.core.network import small_size
from rvm_studio.core.pictures.pixel_format import INTEGER_SCALE, quantise, to_float
from torch.nn import functional as F

DTYPES = [torch.uint8, torch.uint16, torch.float32]
PLACES = 3e-5  # float32 places are exact to about 1e-5 here, along each axis, and neighbours differ by up to 1.4
SIZES = [(45, 80, 0.25), (41, 67, 0.375), (33, 1, 1.0), (1, 20, 1.0), (16, 16, 0.07)]


def make_frames(height, width, dtype, interleaved=True) -> torch.Tensor:
    pictures = torch.rand(2, height, width, 3, generator=torch.manual_seed(height))
    frames = quantise(pictures, dtype).permute(0, 3, 1, 2)
    return frames if interleaved else frames.contiguous()


def make_coefficients(height, width, ratio) -> torch.Tensor:
    generator = torch.manual_seed(width)
    A = torch.rand(2, 4, *small_size(height, width, ratio), generator=generator) - 0.5  # noqa: N806
    return torch.cat([A, 0.4 * torch.rand(A.shape, generator=generator) + 0.2], 1)


def in_float64(coefficients, frames) -> tuple[torch.Tensor, torch.Tensor]:
    """fgr and pha by the formula y = A * x + b."""
    src = to_float(frames).double()
    A, b = F.interpolate(coefficients.double(), src.shape[-2:], mode="bilinear").chunk(2, 1)  # noqa: N806
    fgr, pha = A[:, :3] * src + b[:, :3] + src, A[:, 3:] * src.mean(1, keepdim=True) + b[:, 3:]
    return fgr.clamp(0, 1), pha.clamp(0, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_reduce(height, width, ratio, dtype):
    frames = make_frames(height, width, dtype)
    small = full_size_gpu.reduce(frames, ratio)
    assert small.dtype == torch.float32
    assert small.shape == (2, 3, *small_size(height, width, ratio))
    assert (small - full_size.reduce(frames, ratio)).abs().max() < PLACES
    exact = F.interpolate(to_float(frames).double(), scale_factor=ratio, mode="bilinear", recompute_scale_factor=False)
    assert (small - exact).abs().max() < PLACES


@pytest.mark.parametrize("out", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_apply(height, width, ratio, dtype, out):
    frames, coefficients = make_frames(height, width, dtype), make_coefficients(height, width, ratio)
    results = full_size_gpu.apply(coefficients, frames, out)
    expected, by_cpu = in_float64(coefficients, frames), full_size.apply(coefficients, frames, out)
    rounding = {torch.uint8: 0.5 / 255, torch.uint16: 0.5 / 65535, torch.float32: 0}[out]
    for result, truth, other in zip(results, expected, by_cpu, strict=True):
        assert result.dtype == out
        assert result.shape == truth.shape
        assert (to_float(result) - truth).abs().max() < rounding + PLACES
        assert (to_float(result) - to_float(other)).abs().max() < 2 * rounding + 2 * PLACES
    assert 0.1 < expected[1].mean() < 0.9, "the case must not be clamped away"


@pytest.mark.parametrize("interleaved", [True, False])
def test_alpha_alone(interleaved):
    """Whatever the memory order, and whether all coefficients are there or only alpha's."""
    frames, coefficients = make_frames(41, 67, torch.uint8, interleaved), make_coefficients(41, 67, 0.375)
    _, both = full_size_gpu.apply(coefficients, frames)
    for given in (coefficients, coefficients[:, 3::4]):
        fgr, pha = full_size_gpu.apply(given, frames, foreground=False)
        assert fgr is None
        assert (pha - both).abs().max() < 1e-6


@pytest.mark.parametrize("out", [torch.uint8, torch.uint16])
def test_rounds_to_nearest_and_clamps(out):
    most = INTEGER_SCALE[out]
    coefficients = torch.zeros(1, 8, 1, 6)
    coefficients[:, 4:] = torch.tensor([-0.5, 0.49 / most, 0.51 / most, (most - 0.6) / most, (most - 0.4) / most, 2.0])
    fgr, pha = full_size_gpu.apply(coefficients, torch.zeros(1, 3, 1, 6, dtype=out), out)
    for result in (*fgr[0, :, 0], pha[0, 0, 0]):
        assert result.tolist() == [0, 0, 1, most - 1, most, most]


def test_the_given_tensors_stay():
    """The computation is partly in place: floats are not copied before."""
    frames, coefficients = make_frames(9, 12, torch.float32, False), make_coefficients(9, 12, 1.0)
    kept = frames.clone(), coefficients.clone()
    full_size_gpu.apply(coefficients, frames)
    assert torch.equal(frames, kept[0])
    assert torch.equal(coefficients, kept[1])
