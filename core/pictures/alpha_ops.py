"""Arithmetic on mattes: composites, premultiplication, blurred backgrounds. fgr is straight; values are 0..1."""

# T frames, C channels, H, W

import math
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from ..machine.device import at_least_float32

BLUR_WORKING_SIDE = 240  # pixels: longest side at which a background is blurred (larger where that is too coarse)
FULL_SIZE_SIGMA = 12.0  # pixels: from this standard deviation on, a Gaussian is applied to a reduced picture


def composite(fgr: Tensor, pha: Tensor, bgr: Tensor, linear_light: bool = False) -> Tensor:
    """Composites a foreground over a background: pha*fgr + (1-pha)*bgr ("over", Porter and Duff 1984).

    Where pha is exactly 0 or 1, the result is exactly bgr or fgr.

    Args:
        fgr: [T, 3, H, W] straight foreground, 0..1.
        pha: [T, 1, H, W] alpha, 0..1.
        bgr: Background, 0..1, broadcastable to fgr.
        linear_light: False blends the encoded values, like video editors and browsers. True blends linear light (with
            the sRGB curve), like a lens: soft edges between a dark and a bright colour become brighter.

    Returns:
        [T, 3, H, W], 0..1, in the dtype of fgr.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> white, black = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 1, 1)
        >>> core.composite(white, torch.full((1, 1, 2, 2), 0.25), black).unique()
        tensor([0.2500])
    """
    if not linear_light:
        return torch.lerp(bgr.expand_as(fgr), fgr, pha)
    fgr_light, bgr_light = (srgb_to_linear(at_least_float32(colors)) for colors in (fgr, bgr))
    light = torch.lerp(bgr_light.expand_as(fgr), fgr_light, at_least_float32(pha))
    mixed = linear_to_srgb(light).to(fgr.dtype)
    # Decoding and encoding again would change a value's last bits.
    return torch.where(pha <= 0, bgr.to(fgr.dtype), torch.where(pha >= 1, fgr, mixed))


def srgb_to_linear(x: Tensor) -> Tensor:
    """Encoded values of any shape -> linear light, both 0..1, with the sRGB curve (IEC 61966-2-1). Above 1 the curve is
    continued, below 0 its linear part."""
    wide = at_least_float32(x)
    curve = wide.clamp(min=0.04045).add_(0.055).div_(1.055).pow_(2.4)
    return torch.where(wide <= 0.04045, wide / 12.92, curve).to(x.dtype)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light of any shape -> encoded values, both 0..1: the inverse of `srgb_to_linear`."""
    wide = at_least_float32(x)
    curve = wide.clamp(min=0.0031308).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(wide <= 0.0031308, wide * 12.92, curve).to(x.dtype)


def checkerboard(
    height: int,
    width: int,
    cell: int = 16,
    shades: tuple[float, float] = (0.8, 0.6),
    device: torch.device | str = "cpu",
) -> Tensor:
    """The grey checkerboard that represents transparency.

    Args:
        height, width: Size in pixels.
        cell: Side of a square, in pixels.
        shades: The two greys, 0..1; the first is in the upper left corner.
        device: Device of the result.

    Returns:
        [1, 3, H, W] float32, 0..1.

    Example:
        >>> from rvm_studio import core
        >>> core.checkerboard(2, 4, cell=2)[0, 0, 0]
        tensor([0.8000, 0.8000, 0.6000, 0.6000])
    """
    assert cell >= 1, f"cell must be at least 1, got {cell}"
    rows, columns = (torch.arange(side, device=device) // cell for side in (height, width))
    odd = (rows[:, None] + columns) % 2 == 1
    first, second = (torch.tensor(shade, dtype=torch.float32, device=device) for shade in shades)
    return torch.where(odd, second, first).repeat(1, 3, 1, 1)


def premultiply(fgr: Tensor, pha: Tensor) -> Tensor:
    """Converts a straight foreground to a premultiplied one, [T, 3, H, W]."""
    return fgr * pha


def hide_invisible(fgr: Tensor, pha: Tensor) -> Tensor:
    """Makes quantised fgr [T, 3, H, W] (uint8 or uint16) black where quantised pha is 0, in place.

    A straight foreground would otherwise contain the room behind the person in its invisible pixels, which wastes bits
    and may surprise whoever shares the file.
    """
    if fgr.dtype == torch.uint16:  # few kernels support it; zero is zero in int16 too
        hide_invisible(fgr.view(torch.int16), pha.view(torch.int16))
        return fgr
    return fgr.masked_fill_(pha == 0, 0)


def blurred_background(src: Tensor, pha: Tensor, strength: float = 1.0) -> Tensor:
    """The blurred background of src [T, 3, H, W] without the person, [T, 3, H, W].

    Pixels are weighted by 1 - pha (normalised convolution), so that the person leaves no halo around the silhouette.
    A strength of 1 blurs with a standard deviation of 1/40 of the longest side, other strengths 0..10 in proportion; 0
    returns src itself. Raises StudioError for other strengths.
    """
    check_number("The background blur", strength, 0, 10)
    if strength == 0:
        return src
    dtype = src.dtype
    src, pha = at_least_float32(src), at_least_float32(pha)
    H, W = src.shape[-2:]  # noqa: N806
    # A weak blur needs a larger picture: a standard deviation of at least 3 of its pixels hides them.
    scale = min(1.0, BLUR_WORKING_SIDE * max(1.0, 0.5 / strength) / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    weight = F.interpolate(1 - pha, size, mode="area")
    weighted = F.interpolate(src * (1 - pha), size, mode="area")
    sigma = max(size) / 40 * strength
    # A small share of the plain blur fills places where the person covers everything within reach.
    plain = gaussian_blur(F.interpolate(src, size, mode="area"), sigma * 2)
    trace = 1e-3
    blurred = (gaussian_blur(weighted, sigma) + trace * plain) / (gaussian_blur(weight, sigma) + trace)
    return F.interpolate(blurred, (H, W), mode="bilinear", align_corners=False).to(dtype)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Blurs with a Gaussian, truncated at 3 sigma, with replicated edges.

    From a sigma of 12 pixels on, x is averaged over blocks of sigma/6 pixels, blurred and interpolated linearly, which
    differs from the blur at full size by less than 0.003.

    Args:
        x: [T, C, H, W], floating point.
        sigma: Standard deviation in pixels. Below 0.1, where no neighbour contributes, x itself is returned.

    Returns:
        [T, C, H, W] in the dtype of x.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.gaussian_blur(torch.ones(1, 3, 4, 4), 2.0).sum().round()
        tensor(48.)
    """
    if sigma < 0.1 or not x.numel():
        return x
    wide = at_least_float32(x)
    H, W = x.shape[-2:]  # noqa: N806
    block = int(sigma / 6) if sigma >= FULL_SIZE_SIGMA else 1
    # Averaging over blocks and interpolating between them also blur, with these variances.
    sigma = math.sqrt(sigma**2 - (block**2 - 1) / 12 - (block**2 / 6 if block > 1 else 0)) / block
    radius = max(1, round(3 * sigma))
    taps = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(radius + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    taps = [tap / total for tap in taps]
    if block == 1:
        padded = F.pad(wide, (radius,) * 4, mode="replicate")
        return _symmetric_filter(_symmetric_filter(padded, taps, 3), taps, 2).to(x.dtype)
    margin = (radius + 1) * block  # one block more than the filter consumes, for the interpolation
    padded = F.pad(wide, (margin, margin + -W % block, margin, margin + -H % block), mode="replicate")
    blocks = _symmetric_filter(_symmetric_filter(F.avg_pool2d(padded, block), taps, 3), taps, 2)
    blurred = F.interpolate(blocks, scale_factor=block, mode="bilinear", align_corners=False)
    return blurred[..., block : block + H, block : block + W].to(x.dtype)


def _symmetric_filter(x: Tensor, taps: list[float], axis: int) -> Tensor:
    """Filters x along an axis with taps[0] in the middle and taps[k] on both sides at distance k.

    The result is shorter by len(taps) - 1 at both ends. Sums of shifted pictures are several times faster on a CPU than
    a convolution layer.
    """
    radius = len(taps) - 1
    length = x.shape[axis] - 2 * radius
    filtered = x.narrow(axis, radius, length) * taps[0]
    pair = torch.empty_like(filtered)
    for k in range(1, radius + 1):
        torch.add(x.narrow(axis, radius - k, length), x.narrow(axis, radius + k, length), out=pair)
        filtered.add_(pair, alpha=taps[k])
    return filtered


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raises StudioError unless value is a number low..high. name: the beginning of the message."""
    if not isinstance(value, Real) or not low <= value <= high:  # NaN fails every comparison
        raise StudioError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")
