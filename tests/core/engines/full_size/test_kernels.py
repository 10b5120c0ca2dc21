"""Every kernel against its formula in float64, by numpy and torch."""

# C channels, H, W full size, h, w small size; pictures are [3, H, W] (planar) or [H, W * 3] (interleaved)

import numpy as np
import pytest
import torch
from rvm_studio.core.engines.full_size.bilinear import enlarging_taps, reducing_taps
from rvm_studio.core.network import small_size
from torch.nn import functional as F

pytest.importorskip("numba")
kernels = pytest.importorskip("rvm_studio.core.engines.full_size.kernels")

DTYPES = [np.uint8, np.uint16, np.float32]
SIZES = [(6, 8), (5, 7), (1, 4), (3, 1), (1, 1)]
WHITE = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def random(*shape, low=0.0, high=1.0) -> np.ndarray:
    """float32, the same for each shape."""
    return np.random.default_rng(sum(shape)).uniform(low, high, shape).astype(np.float32)


def random_picture(height, width, dtype) -> np.ndarray:
    """[H, W, 3]."""
    picture = random(height, width, 3) * WHITE[dtype]
    return picture if dtype == np.float32 else np.rint(picture).astype(dtype)


def run(kernel, rows, *arguments):
    """In two bands, so that what depends on where a band begins shows."""
    kernel(*arguments, 0, rows // 2)
    kernel(*arguments, rows // 2, rows)


def tensor(picture) -> torch.Tensor:
    """[H, W, C] -> [1, C, H, W] float64."""
    return torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1)[None]


def guide_and_matte(small, matte) -> tuple[torch.Tensor, torch.Tensor]:
    """x (the last C of R, G, B and their mean) and y, [1, C, h, w]."""
    x, y = tensor(small), tensor(matte)
    return torch.cat([x, x.mean(1, keepdim=True)], 1)[:, -y.shape[1] :], y


def moments(x, y, weights) -> tuple[torch.Tensor, ...]:
    """Covariance, variance, mean x and mean y over 3x3 pixels weighted by weights [C, 3, 3], with zeros around."""

    def mean(values):
        return F.conv2d(values, torch.from_numpy(weights).double()[:, None], padding=1, groups=len(weights))

    mean_x, mean_y = mean(x), mean(y)
    return mean(x * y) - mean_x * mean_y, mean(x * x) - mean_x * mean_x, mean_x, mean_y


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_halve(height, width):
    picture, out = random(height, width, 3), np.full((-(-height // 2), -(-width // 2), 3), np.nan, np.float32)
    run(kernels.halve, len(out), picture, out)
    expected = F.avg_pool2d(tensor(picture), 2, ceil_mode=True, count_include_pad=False)
    assert (tensor(out) - expected).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [4, 1])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_statistics(h, w, channels):
    small, matte = random(h, w, 3), random(h, w, channels, low=-0.5)
    weights = random(4, 3, 3, high=0.3)
    out, means = np.full((h, w, 2 * channels), np.nan, np.float32), np.full((2 * channels, h, w), np.nan, np.float32)
    run(kernels.statistics, h, small, matte, weights, out, means)
    covariance, variance, mean_x, mean_y = moments(*guide_and_matte(small, matte), weights[-channels:])
    assert (tensor(out) - torch.cat([covariance, variance], 1)).abs().max() < 2e-6
    assert np.abs(means - torch.cat([mean_x, mean_y], 1)[0].numpy()).max() < 2e-6


@pytest.mark.parametrize("channels", [4, 1])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_least_squares(h, w, channels):
    small, matte = random(h, w, 3), random(h, w, channels, low=-0.5)
    out, epsilon = np.full((2 * channels, h, w), np.nan, np.float32), np.float32(0.01)
    run(kernels.least_squares, h, small, matte, epsilon, out)
    x, y = guide_and_matte(small, matte)
    covariance, variance, mean_x, mean_y = moments(x, y, np.full((channels, 3, 3), 1 / 9))
    A = covariance / (variance + epsilon)  # noqa: N806 - the papers' name
    assert np.abs(out - torch.cat([A, mean_y - A * mean_x], 1)[0].numpy()).max() < 1e-4


@pytest.mark.parametrize(("given", "channels"), [(4, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_offsets(h, w, given, channels):
    slope, means = random(h, w, channels, low=-2), random(2 * given, h, w)
    out = np.full((2 * channels, h, w), np.nan, np.float32)
    run(kernels.offsets, h, slope, means, out)
    A = slope.transpose(2, 0, 1)  # noqa: N806
    assert np.array_equal(out[:channels], A)
    mean_x, mean_y = means[given - channels : given], means[2 * given - channels :]
    assert np.abs(out[channels:] - (mean_y - A.astype(np.float64) * mean_x)).max() < 1e-6


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "ratio"), [(12, 9, 0.5), (23, 31, 0.375), (1, 4, 1.0), (1, 1, 1.0)])
def test_reduce(height, width, ratio, dtype, interleaved):
    picture, (h, w) = random_picture(height, width, dtype), small_size(height, width, ratio)
    small = np.full((h, w, 3), np.nan, np.float32)
    taps = tuple(reducing_taps(width, w, ratio)), tuple(reducing_taps(height, h, ratio))
    if interleaved:
        kernel, given = kernels.reduce_interleaved, picture.reshape(height, -1)
    else:
        kernel, given = kernels.reduce_planar, np.ascontiguousarray(picture.transpose(2, 0, 1))
    run(kernel, h, given, *taps, np.float32(1 / WHITE[dtype]), small)
    expected = F.interpolate(
        tensor(picture) / WHITE[dtype], scale_factor=ratio, mode="bilinear", recompute_scale_factor=False
    )
    assert (tensor(small) - expected).abs().max() < 1e-5


def mixed(picture, coefficients, gains, offsets, most) -> np.ndarray:
    """A * x + b within 0..most, [C, H, W]: x is the last C of R, G, B and their sum."""
    scaled = coefficients.astype(np.float64) * gains[:, None, None] + offsets[:, None, None]
    size = picture.shape[:2]
    A, b = F.interpolate(torch.from_numpy(scaled)[None], size, mode="bilinear")[0].numpy().reshape(2, -1, *size)  # noqa: N806
    x = picture.transpose(2, 0, 1).astype(np.float64)
    x = np.concatenate([x, x.sum(0, keepdims=True)])[-len(A) :]
    limits = np.broadcast_to(most, len(A))[:, None, None]
    return np.clip(A * x + b, 0, limits)


def scales(channels, dtype, most) -> tuple[np.ndarray, np.ndarray]:
    """gains and offsets [2C]: of no particular meaning, but results are within most, mostly."""
    step = most / WHITE[dtype] / 3
    gains = np.array([step] * channels + [most / 2] * channels, np.float32)
    return gains, np.array([step / 2] * channels + [most / 9] * channels, np.float32)


FULL = [(9, 13, 4, 5), (12, 6, 12, 6), (1, 5, 1, 2), (1, 1, 1, 1)]


@pytest.mark.parametrize("channels", [4, 1])
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width", "h", "w"), FULL)
def test_apply(height, width, h, w, dtype, interleaved, channels):
    picture, coefficients = random_picture(height, width, dtype), random(2 * channels, h, w, low=-0.5)
    gains, offsets = scales(channels, dtype, 200)
    pha, fgr = np.zeros((height, width), np.uint8), np.zeros((height, width * 3), np.uint8)
    if interleaved:
        kernel, given, nowhere = kernels.apply_interleaved, picture.reshape(height, -1), fgr[:0, :0]
    else:
        fgr = fgr.reshape(3, height, width)
        kernel, given, nowhere = kernels.apply_planar, np.ascontiguousarray(picture.transpose(2, 0, 1)), fgr[:0]
    taps = tuple(enlarging_taps(w, width)), tuple(enlarging_taps(h, height))
    target = fgr if channels == 4 else np.ascontiguousarray(nowhere)
    run(kernel, height, given, coefficients, *taps, gains, offsets, np.float32(200), pha, target)
    expected = mixed(picture, coefficients, gains, offsets, 200)
    assert_truncated(pha, expected[-1])
    if channels == 4:
        assert_truncated(fgr, expected[:3].transpose(1, 2, 0).reshape(height, -1) if interleaved else expected[:3])


def assert_truncated(result, exact):
    """But where an exact number is so near to an integer that float32 decides."""
    near = np.abs(exact - np.rint(exact)) < 1e-3
    assert (result == np.floor(exact))[~near].all()
    assert (np.abs(result - exact)[near] < 1.01).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["rgb", "rgba", "over a colour", "over a picture"])
@pytest.mark.parametrize(("height", "width", "h", "w"), FULL)
def test_draw(height, width, h, w, kind, dtype):
    picture, coefficients = random_picture(height, width, dtype), random(8, h, w, low=-0.5)
    coefficients[7] -= 0.3  # so that alpha is 0 in places
    gains, offsets = scales(4, dtype, 255)
    gains[[3, 7]] /= 255 / 2  # alpha is 0..1
    offsets[[3, 7]] /= 255
    over = kind.startswith("over")
    bgr = random(3, height if kind == "over a picture" else 1, width)
    pha, drawn = np.zeros((height, width), np.uint8), np.zeros((height, width * (4 if kind == "rgba" else 3)), np.uint8)
    taps = tuple(enlarging_taps(w, width)), tuple(enlarging_taps(h, height))
    given = picture.reshape(height, -1), coefficients, *taps, gains, offsets, np.float32(255), bgr, over
    run(kernels.draw, height, *given, pha, drawn)
    *color, alpha = mixed(picture, coefficients, gains, offsets, np.array([255, 255, 255, 1]))
    color = np.stack(color)
    if over:
        shown = 255 * bgr + alpha * (color - 255 * bgr)
    else:
        shown = np.where(alpha >= 0.5 / 255, color, -0.5)
    assert_truncated(pha, 255 * alpha + 0.5)
    drawn = drawn.reshape(height, width, -1)
    assert_truncated(drawn[..., :3], shown.transpose(1, 2, 0) + 0.5)
    if kind == "rgba":
        assert np.array_equal(drawn[..., 3], pha)
    if height > 1:
        assert 0 < (pha == 0).mean() < 1
