"""Removes the old background's colour from a foreground: from its soft edges, and the light cast by a screen."""

# T frames, C channels, H, W; h, w of a reduced picture

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from ..machine.device import at_least_float32
from .alpha_ops import check_number

# Blur-Fusion's two radii in pixels: of the first, far pass, and of the second pass that corrects it locally.
FAR, NEAR = 90, 6
FAR_BLOCK = 8  # side in pixels of the blocks that the far pass treats as one pixel
BAND = 64  # rows processed at once (whole blocks), so that they fit a CPU's cache
TRACE = 1e-5  # weight of the pixel's own colour in a mean over pixels whose weights may all be 0
LEAST_CHROMA = 0.02  # of a spill colour: difference between its largest and smallest channel


def decontaminate(src: Tensor, pha: Tensor, strength: float = 1.0, fgr: Tensor | None = None) -> Tensor:
    """The straight foreground [T, 3, H, W] of src [T, 3, H, W] with the alpha pha [T, 1, H, W], all 0..1: removes the
    background's colour, which is mixed into src where pha is below 1.

    strength: 0 returns src itself, 1 the foreground, values between them a mix. fgr: [T, 3, H, W], a known straight
    foreground, such as the matting network's; None: it is estimated (Blur-Fusion: Forte, "Approximate Fast Foreground
    Colour Estimation", ICIP 2021, arXiv 2011.14970). Where pha is 1, the result is exactly src. Raises StudioError for
    a strength outside 0..1.
    """
    check_number("The decontamination strength", strength, 0, 1)
    assert src.shape[1] == 3, f"expected src [T, 3, H, W], got {list(src.shape)}"
    assert pha.shape == (len(src), 1, *src.shape[2:]), f"pha {list(pha.shape)} does not fit src {list(src.shape)}"
    assert fgr is None or fgr.shape == src.shape, "fgr and src differ in shape"
    if strength == 0:
        return src
    clean = torch.empty_like(src)
    for t in range(len(src)):  # one frame at a time: memory does not depend on T
        frame, alpha = at_least_float32(src[t : t + 1]), at_least_float32(pha[t : t + 1])
        estimate = _blur_fusion(frame, alpha) if fgr is None else fgr[t : t + 1].to(frame.dtype)
        clean[t : t + 1] = torch.where(alpha < 1, torch.lerp(frame, estimate, strength), frame)
    return clean


def _blur_fusion(src: Tensor, pha: Tensor) -> Tensor:
    """src [1, 3, H, W], pha [1, 1, H, W] -> the estimated foreground [1, 3, H, W].

    The mean colours of foreground and background around each pixel, weighted by alpha and 1 - alpha, are corrected by
    the difference between the pixel and their composite (`_fuse`). This is repeated on the result with a small radius.
    """
    H, W = pha.shape[-2:]  # noqa: N806
    bands = [(top, min(top + BAND, H)) for top in range(0, H, BAND)]
    # The far means vary slowly, so they are computed on blocks: the result differs from full size by less than 0.002.
    weights, colors = [], []
    for top, bottom in bands:
        band = src[:, :, top:bottom]
        weighted = _weighted(band, band, pha[:, :, top:bottom])
        missing = (0, -W % FAR_BLOCK, 0, (top - bottom) % FAR_BLOCK)  # up to whole blocks, with pixels of weight 0
        weights.append(F.avg_pool2d(F.pad(weighted, missing), FAR_BLOCK))
        colors.append(F.avg_pool2d(F.pad(band, missing, mode="replicate"), FAR_BLOCK))
    far = _local_means(torch.cat(weights, 2), torch.cat(colors, 2), round(FAR / FAR_BLOCK))
    far = F.interpolate(far, scale_factor=FAR_BLOCK, mode="bilinear", align_corners=False)
    fgr, bgr = far[..., :H, :W].split(3, 1)

    estimate = torch.empty_like(src)
    for top, bottom in bands:
        first, last = max(top - NEAR, 0), min(bottom + NEAR, H)  # including the rows that the near means use
        rows = slice(first, last)
        fused = _fuse(src[:, :, rows], pha[:, :, rows], fgr[:, :, rows], bgr[:, :, rows])
        weighted = _weighted(fused, bgr[:, :, rows], pha[:, :, rows])
        near = _local_means(weighted, src[:, :, rows], NEAR)[:, :, top - first : bottom - first]
        estimate[:, :, top:bottom] = _fuse(src[:, :, top:bottom], pha[:, :, top:bottom], *near.split(3, 1))
    return estimate


def _fuse(src: Tensor, pha: Tensor, fgr: Tensor, bgr: Tensor) -> Tensor:
    """fgr + pha * (src - pha*fgr - (1-pha)*bgr), the paper's equation for a foreground that composites to src."""
    return fgr.lerp(src - (1 - pha) * (bgr - fgr), pha).clamp_(0, 1)


def _weighted(fgr: Tensor, bgr: Tensor, pha: Tensor) -> Tensor:
    """[1, 8, H, W]: both colours multiplied by their weights, and the weights."""
    through = 1 - pha
    return torch.cat([fgr * pha, bgr * through, pha, through], 1)


def _local_means(weighted: Tensor, src: Tensor, radius: int) -> Tensor:
    """weighted [1, 8, h, w], src [1, 3, h, w] -> mean foreground and background [1, 6, h, w] of the square around each
    pixel, without pixels outside the picture.

    Where all weights are 0, the mean is the pixel of src.
    """
    side = 2 * radius + 1
    padded = F.pad(weighted, (radius,) * 4)  # weight 0
    sums = _running_sum(_running_sum(padded, side, 2), side, 3)
    trace = TRACE * side**2
    fgr, bgr = ((sums[:, i : i + 3] + trace * src) / (sums[:, w : w + 1] + trace) for i, w in ((0, 6), (3, 7)))
    return torch.cat([fgr, bgr], 1)


def _running_sum(x: Tensor, length: int, axis: int) -> Tensor:
    """Sums over `length` neighbours along an axis, which becomes shorter by length - 1.

    It adds sums over 1, 2, 4, ... neighbours in log2 steps without any subtraction, so float32 is exact to its last
    bits, unlike differences of cumulative sums.
    """
    left = x.shape[axis] - length + 1
    total, start, span = None, 0, 1
    while True:
        if length & span:
            part = x.narrow(axis, start, left)
            total = part if total is None else total + part
            start += span
        if 2 * span > length:
            assert total is not None
            return total
        shorter = x.shape[axis] - span
        x = x.narrow(axis, 0, shorter) + x.narrow(axis, span, shorter)
        span *= 2


def despill(fgr: Tensor, color: Sequence[float], strength: float = 1.0) -> Tensor:
    """fgr [T, 3, H, W] 0..1 without the light that a screen of this colour (red, green, blue; 0..1) casts on it.

    A pixel's hue must differ from the screen's by at least 60 degrees, which is halfway to the next primary. The excess
    is light of the screen and is subtracted. For a green screen this is the colourists' rule "green is at most the
    larger of red and blue" (for blue likewise); red and blue do not change, so edges become darker, never greyer. Skin
    and other hues far from the screen's do not change. Where a channel would fall below 0, all three are raised by the
    same amount, which keeps the hue.

    With u the colour's direction in the chroma plane (zero-mean channels), and `along` and `across` the pixel's
    components parallel and perpendicular to u, the excess is along - |across| / sqrt(3), computed on encoded values.

    strength: the part of the excess that is removed, 0..1; 0 returns fgr itself. Raises StudioError for other
    strengths, and for a colour that is not three numbers 0..1 or has no hue.
    """
    check_number("The despill strength", strength, 0, 1)
    if len(color) != 3 or not all(0 <= channel <= 1 for channel in color):
        raise StudioError(f"The spill colour is {tuple(color)}; expected red, green and blue, each from 0 to 1.")
    if max(color) - min(color) < LEAST_CHROMA:
        raise StudioError(
            f"The spill colour {tuple(round(channel, 3) for channel in color)} is grey: it has no hue to remove. Use "
            "the screen's colour, such as green or #00b140."
        )
    assert fgr.shape[1] == 3, f"expected fgr [T, 3, H, W], got {list(fgr.shape)}"
    if strength == 0:
        return fgr
    mean = sum(color) / 3
    length = math.sqrt(sum((channel - mean) ** 2 for channel in color))
    u = [(channel - mean) / length for channel in color]
    v = [(u[i - 2] - u[i - 1]) / math.sqrt(3) for i in range(3)]  # perpendicular to u and to grey
    light = fgr.new_tensor([channel - min(u) for channel in u], dtype=at_least_float32(fgr[:0]).dtype).view(1, 3, 1, 1)
    clean = torch.empty_like(fgr)
    for t in range(len(fgr)):  # one frame at a time: memory does not depend on T
        frame = at_least_float32(fgr[t : t + 1])
        # Subtracting blue from both changes no product with u or v, and makes these exactly 0 for grey.
        red, green = (frame[:, :2] - frame[:, 2:]).split(1, 1)
        along, across = u[0] * red + u[1] * green, v[0] * red + v[1] * green
        excess = (along - across.abs() / math.sqrt(3)).clamp_(min=0).mul_(strength)
        without = frame - excess * light
        clean[t : t + 1] = without + (-without.amin(1, keepdim=True)).clamp_(min=0)
    return clean
