"""Arithmetic on mattes: composites, premultiplication, blurred backgrounds. fgr is straight, values are 0..1."""

# T frames, C channels, H, W

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_WORKING_SIDE = 240  # longest side, in pixels, at which a background is blurred


def composite(fgr: Tensor, pha: Tensor, bgr: Tensor) -> Tensor:
    """fgr [T, 3, H, W] over bgr (broadcastable to it) by pha [T, 1, H, W]: pha*fgr + (1-pha)*bgr
    (Porter and Duff 1984, "over"). On the values as they are encoded, as video editors and browsers do."""
    return torch.lerp(bgr.expand_as(fgr), fgr, pha)


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
    strength 1 blurs with a deviation of 1/40 of the longest side.
    """
    H, W = src.shape[-2:]  # noqa: N806
    scale = min(1.0, BLUR_WORKING_SIDE / max(H, W))
    size = (max(1, round(H * scale)), max(1, round(W * scale)))
    weight = F.interpolate(1 - pha, size, mode="area")
    weighted = F.interpolate(src * (1 - pha), size, mode="area")
    sigma = max(size) / 40 * strength
    # A trace of the plain blur fills where the person covers everything in reach.
    plain = gaussian_blur(F.interpolate(src, size, mode="area"), sigma * 2)
    trace = 1e-3
    blurred = (gaussian_blur(weighted, sigma) + trace * plain) / (gaussian_blur(weight, sigma) + trace)
    return F.interpolate(blurred, (H, W), mode="bilinear", align_corners=False)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """[T, C, H, W] blurred by a Gaussian of deviation sigma in pixels, cut at 3 sigma, edges replicated."""
    radius = max(1, round(3 * sigma))
    taps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(taps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    C = x.shape[1]  # noqa: N806
    for axis in (2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        padding = [radius if axis == 3 else 0] * 2 + [radius if axis == 2 else 0] * 2
        x = F.conv2d(F.pad(x, padding, mode="replicate"), kernel.view(shape).expand(C, -1, -1, -1), groups=C)
    return x
