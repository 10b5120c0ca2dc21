"""Training losses of Robust Video Matting (arXiv 2108.11515, section 4): alpha, foreground and segmentation."""

# B batch, T frames, C channels, H height, W width; N = B*T pictures at once.

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import no_autocast

PYRAMID_LEVELS = 5
# Each level crops the sides to even numbers and halves them. The blur mirrors two pixels at each border, which needs
# three: a side of 64 has 4 pixels at the last level, a side of 63 has 2.
SMALLEST_SIDE = 4 * 2 ** (PYRAMID_LEVELS - 1)
COHERENCE_WEIGHT = 5.0


class MattingLoss(NamedTuple):
    """Terms of `matting_loss`: 0-d tensors, already weighted. `total` is the sum of the others."""

    pha_l1: Tensor
    pha_laplacian: Tensor
    pha_coherence: Tensor
    fgr_l1: Tensor
    fgr_coherence: Tensor
    total: Tensor


def matting_loss(pred_fgr: Tensor, pred_pha: Tensor, true_fgr: Tensor, true_pha: Tensor) -> MattingLoss:
    """The loss of a predicted foreground and alpha.

    Args:
        pred_fgr, true_fgr: [B, T, 3, H, W], straight foreground, 0..1.
        pred_pha, true_pha: [B, T, 1, H, W], alpha, 0..1.

    Accepts any floating dtype and computes in at least float32 (half inputs are converted, float64 stays), under
    autocast, too. H and W must be at least 64, see `laplacian_pyramid`. With T = 1 both coherence terms are 0.

    The terms, all of them means over all pixels and frames:
        pha_l1         |pred - true|
        pha_laplacian  `laplacian_loss`
        pha_coherence  5 * squared error of the change from one frame to the next
        fgr_l1, fgr_coherence (again 5 *)  the same for the foreground times (true_pha > 0), because the colour is
                       undefined where the subject is invisible. The mean is still over all pixels.
    """
    batch, frames, *_, height, width = pred_pha.shape
    assert pred_pha.shape == true_pha.shape == (batch, frames, 1, height, width), (
        f"pred_pha and true_pha must both be [B, T, 1, H, W], got {list(pred_pha.shape)} and {list(true_pha.shape)}"
    )
    assert pred_fgr.shape == true_fgr.shape == (batch, frames, 3, height, width), (
        f"pred_fgr and true_fgr must both be [B, T, 3, H, W] for the alpha {list(pred_pha.shape)}, "
        f"got {list(pred_fgr.shape)} and {list(true_fgr.shape)}"
    )
    with no_autocast(pred_pha):
        pred_fgr, pred_pha, true_fgr, true_pha = map(_at_least_float32, (pred_fgr, pred_pha, true_fgr, true_pha))
        subject = true_pha > 0
        pred_fgr = pred_fgr * subject
        true_fgr = true_fgr * subject
        pha_l1 = F.l1_loss(pred_pha, true_pha)
        pha_laplacian = laplacian_loss(pred_pha.flatten(0, 1), true_pha.flatten(0, 1))
        pha_coherence = _coherence(pred_pha, true_pha)
        fgr_l1 = F.l1_loss(pred_fgr, true_fgr)
        fgr_coherence = _coherence(pred_fgr, true_fgr)
        total = pha_l1 + pha_laplacian + pha_coherence + fgr_l1 + fgr_coherence
    return MattingLoss(pha_l1, pha_laplacian, pha_coherence, fgr_l1, fgr_coherence, total)


def segmentation_loss(pred_seg: Tensor, true_seg: Tensor) -> Tensor:
    """Mean binary cross entropy of `pred_seg` (logits) and `true_seg` (0..1) of the same shape; 0-d."""
    assert pred_seg.shape == true_seg.shape, (
        f"pred_seg and true_seg must have the same shape, got {list(pred_seg.shape)} and {list(true_seg.shape)}"
    )
    with no_autocast(pred_seg):
        return F.binary_cross_entropy_with_logits(_at_least_float32(pred_seg), _at_least_float32(true_seg))


def laplacian_loss(pred: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of the Laplacian pyramids of two [N, 1, H, W]; level i of 0..4 has weight 2^i / 5."""
    assert pred.shape == true.shape, f"expected the same shape, got {list(pred.shape)} and {list(true.shape)}"
    levels = zip(laplacian_pyramid(pred), laplacian_pyramid(true), strict=True)
    with no_autocast(pred):
        terms = [2**i * F.l1_loss(*pair) for i, pair in enumerate(levels)]
        return torch.stack(terms).sum() / PYRAMID_LEVELS


def laplacian_pyramid(picture: Tensor) -> list[Tensor]:
    """The five detail levels of [N, 1, H, W], finest first, always in float32 (float64 for float64 input).

    A level is the picture, cropped to even sides at the right and bottom, minus its blurred half-size copy scaled back
    up; that copy is the picture of the next level. What remains below the fifth level is dropped, because the plain L1
    term covers it. Both sides must be at least 64, or the fifth level is too small for the blur.
    """
    count, *_, height, width = picture.shape
    assert picture.shape == (count, 1, height, width), f"expected [N, 1, H, W], got {list(picture.shape)}"
    assert min(height, width) >= SMALLEST_SIDE, (
        f"the {PYRAMID_LEVELS}-level pyramid needs sides of {SMALLEST_SIDE} pixels or more, got {height} x {width}"
    )
    levels = []
    with no_autocast(picture):
        picture = _at_least_float32(picture)
        kernel = gaussian_kernel(picture)
        for _ in range(PYRAMID_LEVELS):
            height, width = picture.shape[2:]
            picture = picture[:, :, : height // 2 * 2, : width // 2 * 2]
            half = _blur(picture, kernel)[:, :, ::2, ::2]
            levels.append(picture - _double(half, kernel))
            picture = half
    return levels


def gaussian_kernel(like: Tensor) -> Tensor:
    """[1, 1, 5, 5] binomial blur (1 4 6 4 1)^2 / 256, with the dtype and device of `like`; all entries are exact."""
    row = torch.tensor([1, 4, 6, 4, 1], dtype=like.dtype, device=like.device) / 16
    return (row[:, None] * row)[None, None]


def _blur(picture: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(F.pad(picture, (2, 2, 2, 2), mode="reflect"), kernel)


def _double(picture: Tensor, kernel: Tensor) -> Tensor:
    """Doubles the size: places every pixel, multiplied by four, among three zeros, then blurs."""
    count, channels, height, width = picture.shape
    spread = picture.new_zeros(count, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = 4 * picture
    return _blur(spread.view(count, channels, 2 * height, 2 * width), kernel)


def _coherence(pred: Tensor, true: Tensor) -> Tensor:
    if pred.shape[1] < 2:
        return pred.new_zeros(())  # the mean of an empty difference would be NaN
    return COHERENCE_WEIGHT * F.mse_loss(pred.diff(dim=1), true.diff(dim=1))


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
