"""Arithmetic on mattes: composites, premultiplication, blurred backgrounds. fgr is straight, values are 0..1."""

# T frames, C channels, H, W

import math
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError

BLUR_WORKING_SIDE = 240  # longest side, in pixels, at which a background is blurred (more where that is too coarse)
FULL_SIZE_SIGMA = 12.0  # from this deviation on, in pixels, a Gaussian is applied to a reduced picture


def composite(fgr: Tensor, pha: Tensor, bgr: Tensor, linear_light: bool = False) -> Tensor:
    """fgr [T, 3, H, W] over bgr (broadcastable to it) by pha [T, 1, H, W]: pha*fgr + (1-pha)*bgr
    (Porter and Duff 1984, "over"). Where pha is 0 or 1 the result is bgr or fgr exactly.

    On the values as they are encoded, as video editors and browsers do; with `linear_light` on the light they stand
    for, taken as sRGB, as a lens mixes it: soft edges between a dark and a bright colour come out brighter.
    """
    if not linear_light:
        return torch.lerp(bgr.expand_as(fgr), fgr, pha)
    fgr_light, bgr_light = (srgb_to_linear(at_least_float32(colors)) for colors in (fgr, bgr))
    light = torch.lerp(bgr_light.expand_as(fgr), fgr_light, at_least_float32(pha))
    mixed = linear_to_srgb(light).to(fgr.dtype)
    # Decoded and encoded again a value differs in its last bits.
    return torch.where(pha <= 0, bgr.to(fgr.dtype), torch.where(pha >= 1, fgr, mixed))


def srgb_to_linear(x: Tensor) -> Tensor:
    """Encoded values of any shape -> light, both 0..1, by the curve of sRGB (IEC 61966-2-1). Above 1 the curve goes
    on, below 0 its straight part."""
    wide = at_least_float32(x)
    curve = wide.clamp(min=0.04045).add_(0.055).div_(1.055).pow_(2.4)
    return torch.where(wide <= 0.04045, wide / 12.92, curve).to(x.dtype)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Light of any shape -> encoded values, both 0..1: the inverse of `srgb_to_linear`."""
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
    """The board of two light greys that stands for transparency: [1, 3, H, W] float32, cells of `cell` pixels, the
    first of `shades` in the upper left corner."""
    assert cell >= 1, f"a cell has {cell} pixels"
    rows, columns = (torch.arange(side, device=device) // cell for side in (height, width))
    odd = (rows[:, None] + columns) % 2 == 1
    first, second = (torch.tensor(shade, dtype=torch.float32, device=device) for shade in shades)
    return torch.where(odd, second, first).repeat(1, 3, 1, 1)


def premultiply(fgr: Tensor, pha: Tensor) -> Tensor:
    """Straight to premultiplied foreground [T, 3, H, W]."""
    return fgr * pha


def hide_invisible(fgr: Tensor, pha: Tensor) -> Tensor:
    """Quantised fgr [T, 3, H, W] (uint8 or uint16; changed in place) made black where quantised pha is 0.

    A straight foreground otherwise keeps the room behind the person in its invisible pixels: a surprise to whoever
    shares the file, and bits spent on nothing.
    """
    if fgr.dtype == torch.uint16:  # few kernels know it; zero is zero in int16 too
        hide_invisible(fgr.view(torch.int16), pha.view(torch.int16))
        return fgr
    return fgr.masked_fill_(pha == 0, 0)


def blurred_background(src: Tensor, pha: Tensor, strength: float = 1.0) -> Tensor:
    """src [T, 3, H, W] without the person, blurred: [T, 3, H, W].

    Pixels count by 1 - pha (normalised convolution), so that the person leaves no halo around the silhouette.
    strength 1 blurs with a deviation of 1/40 of the longest side, others 0..10 in proportion; 0 gives src itself.
    Raises StudioError for another strength.
    """
    check_number("The background blur", strength, 0, 10)
    if strength == 0:
        return src
    dtype = src.dtype
    src, pha = at_least_float32(src), at_least_float32(pha)
    H, W = src.shape[-2:]  # noqa: N806
    # A weak blur needs a larger picture: a deviation of at least 3 of its pixels hides them.
    scale = min(1.0, BLUR_WORKING_SIDE * max(1.0, 0.5 / strength) / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    weight = F.interpolate(1 - pha, size, mode="area")
    weighted = F.interpolate(src * (1 - pha), size, mode="area")
    sigma = max(size) / 40 * strength
    # A trace of the plain blur fills where the person covers everything in reach.
    plain = gaussian_blur(F.interpolate(src, size, mode="area"), sigma * 2)
    trace = 1e-3
    blurred = (gaussian_blur(weighted, sigma) + trace * plain) / (gaussian_blur(weight, sigma) + trace)
    return F.interpolate(blurred, (H, W), mode="bilinear", align_corners=False).to(dtype)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """[T, C, H, W] blurred by a Gaussian of deviation sigma in pixels, cut at 3 sigma, edges replicated.

    Below 0.1 pixels, where nothing of it reaches a neighbour, x itself. From `FULL_SIZE_SIGMA` on x is averaged over
    blocks of sigma/6 pixels, blurred and interpolated linearly: within 0.003 of the blur at full size.
    """
    if sigma < 0.1 or not x.numel():
        return x
    wide = at_least_float32(x)
    H, W = x.shape[-2:]  # noqa: N806
    block = int(sigma / 6) if sigma >= FULL_SIZE_SIGMA else 1
    # Averaging over blocks and interpolating between them blur too, by these variances.
    sigma = math.sqrt(sigma**2 - (block**2 - 1) / 12 - (block**2 / 6 if block > 1 else 0)) / block
    radius = max(1, round(3 * sigma))
    taps = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(radius + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    taps = [tap / total for tap in taps]
    if block == 1:
        padded = F.pad(wide, (radius,) * 4, mode="replicate")
        return _symmetric_filter(_symmetric_filter(padded, taps, 3), taps, 2).to(x.dtype)
    margin = (radius + 1) * block  # one block more than the filter eats, to interpolate from
    padded = F.pad(wide, (margin, margin + -W % block, margin, margin + -H % block), mode="replicate")
    blocks = _symmetric_filter(_symmetric_filter(F.avg_pool2d(padded, block), taps, 3), taps, 2)
    blurred = F.interpolate(blocks, scale_factor=block, mode="bilinear", align_corners=False)
    return blurred[..., block : block + H, block : block + W].to(x.dtype)


def _symmetric_filter(x: Tensor, taps: list[float], axis: int) -> Tensor:
    """x filtered along an axis by taps[0] in the middle and taps[k] at both distances k; the result is shorter by
    len(taps) - 1 at both ends. Sums of shifted pictures: on a CPU several times faster than a convolution layer."""
    radius = len(taps) - 1
    length = x.shape[axis] - 2 * radius
    filtered = x.narrow(axis, radius, length) * taps[0]
    pair = torch.empty_like(filtered)
    for k in range(1, radius + 1):
        torch.add(x.narrow(axis, radius - k, length), x.narrow(axis, radius + k, length), out=pair)
        filtered.add_(pair, alpha=taps[k])
    return filtered


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision widened to float32, in which sums and powers keep 8 bits and more; others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raises StudioError unless value is a number low..high. name: how the error's sentence begins."""
    if not isinstance(value, Real) or not low <= value <= high:  # NaN fails any comparison
        raise StudioError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")
