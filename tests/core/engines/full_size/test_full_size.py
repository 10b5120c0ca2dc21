"""The full-size pass against the network's own refiner and reduction, for every number format and memory order."""

# T frames, C channels, H, W full size, h, w small size

import numpy as np
import pytest
import torch
from rvm_studio.core.engines import Drawing
from rvm_studio.core.engines.full_size import full_size, kernel_runner
from rvm_studio.core.engines.full_size.bilinear import enlarging_taps
from rvm_studio.core.network import MattingNetwork, small_size
from rvm_studio.core.network.guided_filter import FastGuidedFilterRefiner
from rvm_studio.core.pictures.alpha_ops import composite, hide_invisible
from rvm_studio.core.pictures.pixel_format import frames_from_pictures, quantise, to_float
from torch.nn import functional as F

DTYPES = [torch.uint8, torch.uint16, torch.float32]
SIZES = [(90, 160, 0.25), (135, 101, 0.4), (141, 233, 0.375), (61, 47, 0.9), (33, 1, 1.0), (1, 20, 1.0), (16, 16, 0.07)]


@pytest.fixture(params=["numba", "torch"])
def backend(request, monkeypatch):
    """Each of the two ways in turn."""
    if request.param == "torch":
        monkeypatch.setattr(full_size, "compiled_kernels", lambda: None)
    elif kernel_runner.compiled_kernels() is None:
        pytest.skip("numba is not installed")
    return request.param


def make_frames(height, width, dtype, interleaved, count=2) -> torch.Tensor:
    """[T, 3, H, W] of noise."""
    pictures = torch.rand(count, height, width, 3, generator=torch.manual_seed(height))
    frames = quantise(pictures, dtype).permute(0, 3, 1, 2)
    return frames if interleaved else frames.contiguous()


def make_coefficients(height, width, ratio, count=2) -> torch.Tensor:
    h, w = small_size(height, width, ratio)
    generator = torch.manual_seed(width)
    A = torch.randn(count, 4, h, w, generator=generator)  # noqa: N806
    b = torch.rand(count, 4, h, w, generator=generator) - 0.3
    return torch.cat([A, b], 1)


def official(coefficients, frames) -> tuple[torch.Tensor, torch.Tensor]:
    """fgr, pha as MattingNetwork.forward computes them."""
    src = to_float(frames)
    fgr, pha = FastGuidedFilterRefiner().apply_coefficients(*coefficients.chunk(2, 1), src)
    return (fgr + src).clamp(0, 1), pha.clamp(0, 1)


def step(dtype) -> float:
    """Half of the distance between two numbers of the dtype, and what float32 may add."""
    return {torch.uint8: 0.5 / 255, torch.uint16: 0.5 / 65535, torch.float32: 0}[dtype] + 4e-6


def read_elsewhere(coefficients, height, width) -> float:
    """What it may add that the installed torch rounds the places where it reads otherwise than we do, as 2.4 does."""
    lag = 0.0
    for dim, outputs in ((2, height), (3, width)):
        size = coefficients.shape[dim]
        wave = torch.arange(size) % 2.0  # from 0 to 1 and back: the part between two places
        theirs = F.interpolate(wave.view(1, 1, -1, 1), (outputs, 1), mode="bilinear", align_corners=False).flatten()
        taps = enlarging_taps(size, outputs)
        low, high, part = (torch.from_numpy(np.array(x, np.float64)) for x in taps)
        ours = wave.double()[low.long()].lerp(wave.double()[high.long()], part)
        slope = coefficients.diff(dim=dim).abs()
        lag += ((theirs - ours).abs().max() * (slope[:, :4] + slope[:, 4:]).max()).item()
    return lag


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_reduce(backend, height, width, ratio, dtype, interleaved):
    frames = make_frames(height, width, dtype, interleaved)
    small = full_size.reduce(frames, ratio)
    expected = MattingNetwork.reduce(to_float(frames), ratio)
    assert small.dtype == torch.float32
    assert small.shape == expected.shape
    assert (small - expected).abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("out", DTYPES)
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES[:4])
def test_apply(backend, height, width, ratio, dtype, interleaved, out):
    frames = make_frames(height, width, dtype, interleaved)
    coefficients = make_coefficients(height, width, ratio)
    fgr, pha = full_size.apply(coefficients, frames, out)
    expected_fgr, expected_pha = official(coefficients, frames)
    bound = step(out) + read_elsewhere(coefficients, height, width)
    for result, expected in ((fgr, expected_fgr), (pha, expected_pha)):
        assert (result.dtype, result.shape) == (out, expected.shape)
        assert (to_float(result) - expected).abs().max() < bound
    assert 0.1 < expected_pha.mean() < 0.9, "the case must not be clamped away"


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(("height", "width", "ratio"), SIZES)
def test_alpha_alone(backend, height, width, ratio, interleaved):
    frames = make_frames(height, width, torch.uint8, interleaved)
    coefficients = make_coefficients(height, width, ratio)
    both = full_size.apply(coefficients, frames, torch.uint8)[1]
    for given in (coefficients, coefficients[:, 3::4]):
        fgr, pha = full_size.apply(given, frames, torch.uint8, foreground=False)
        assert fgr is None
        assert (pha.int() - both.int()).abs().max() <= 1
        assert (pha != both).float().mean() < 0.01


@pytest.mark.parametrize("order", ["rgb", "rgba", "bgr"])
def test_pictures_of_every_order(backend, order):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (2, 40, 60, len(order)), dtype=np.uint8)
    frames = frames_from_pictures(pictures, order)
    coefficients = make_coefficients(40, 60, 0.5)
    fgr, pha = full_size.apply(coefficients, frames, torch.uint8)
    again_fgr, again_pha = full_size.apply(coefficients, frames.contiguous(), torch.uint8)
    assert torch.equal(pha, again_pha)
    assert torch.equal(fgr, again_fgr)
    assert torch.equal(full_size.reduce(frames, 0.5), full_size.reduce(frames.contiguous(), 0.5))


def test_memory_order_follows_the_frames(backend):
    coefficients = make_coefficients(40, 60, 0.5)
    for interleaved in (True, False):
        fgr, _ = full_size.apply(coefficients, make_frames(40, 60, torch.uint8, interleaved), torch.uint8)
        assert fgr.is_contiguous() is not interleaved
        assert fgr.permute(0, 2, 3, 1).is_contiguous() is interleaved


def test_rounds_to_nearest_and_clamps(backend):
    frames = torch.zeros(1, 3, 2, 6, dtype=torch.uint8)
    values = torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 254.4 / 255, 254.6 / 255, 2.0])
    coefficients = torch.zeros(1, 8, 2, 6)
    coefficients[:, 4:] = values
    fgr, pha = full_size.apply(coefficients, frames, torch.uint8)
    assert pha[0, 0].tolist() == [[0, 0, 1, 254, 255, 255]] * 2
    assert fgr[0, 1].tolist() == [[0, 0, 1, 254, 255, 255]] * 2


def test_no_frames_and_other_floats(backend):
    none = torch.zeros(0, 3, 20, 30, dtype=torch.uint8)
    assert full_size.reduce(none, 0.5).shape == (0, 3, 10, 15)
    fgr, pha = full_size.apply(torch.zeros(0, 8, 10, 15), none, torch.uint8)
    assert fgr.shape == (0, 3, 20, 30)
    assert pha.shape == (0, 1, 20, 30)
    frames = make_frames(20, 30, torch.float32, False)
    assert (full_size.reduce(frames.double(), 0.5) - full_size.reduce(frames, 0.5)).abs().max() < 1e-6
    assert (full_size.reduce(frames.half(), 0.5) - full_size.reduce(frames, 0.5)).abs().max() < 1e-3


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same(threads):
    before = torch.get_num_threads()
    frames, coefficients = make_frames(300, 200, torch.uint8, True), make_coefficients(300, 200, 0.25)
    expected = full_size.apply(coefficients, frames, torch.uint8)
    try:
        torch.set_num_threads(threads)
        fgr, pha = full_size.apply(coefficients, frames, torch.uint8)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(fgr, expected[0])
    assert torch.equal(pha, expected[1])


def drawn_by_floats(coefficients, frames, drawing, out) -> tuple[torch.Tensor, torch.Tensor]:
    """pictures and pha as the pipeline makes them from float results."""
    fgr, pha = official(coefficients, frames)
    alpha = quantise(pha, out)
    if drawing.kind == "composite":
        return quantise(composite(fgr, pha, drawing.bgr), out).permute(0, 2, 3, 1), alpha
    color = hide_invisible(quantise(fgr, out), alpha)
    return (torch.cat([color, alpha], 1) if drawing.kind == "matte" else color).permute(0, 2, 3, 1), alpha


@pytest.mark.parametrize("kind", ["matte", "foreground", "colour", "picture"])
@pytest.mark.parametrize("out", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize(("height", "width", "ratio"), [(90, 160, 0.25), (141, 233, 0.375), (33, 1, 1.0), (1, 20, 1.0)])
def test_drawn_pictures_are_those_made_from_float_results(height, width, ratio, interleaved, dtype, out, kind):
    if kernel_runner.compiled_kernels() is None:
        pytest.skip("numba is not installed")
    frames = make_frames(height, width, dtype, interleaved)
    coefficients = make_coefficients(height, width, ratio)
    bgr = {"colour": torch.tensor([0, 177 / 255, 64 / 255]).view(1, 3, 1, 1)}.get(kind)
    if kind == "picture":
        bgr = torch.rand(1, 3, height, width, generator=torch.manual_seed(5))
    drawing = Drawing(kind if bgr is None else "composite", bgr)
    results = full_size.draw(coefficients, frames, drawing, out)
    for result, expected in zip(results, drawn_by_floats(coefficients, frames, drawing, out), strict=True):
        assert (result.dtype, result.shape) == (out, expected.shape)
        difference = (to_float(result) - to_float(expected)).abs() * (255 if out == torch.uint8 else 65535)
        assert difference.max() < 1.5 or (kind in ("matte", "foreground") and (difference > 1.5).float().mean() < 1e-4)
        assert (difference > 0.5).float().mean() < (0.002 if out == torch.uint8 else 0.2)
