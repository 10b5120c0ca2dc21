"""The full-size pass in plain PyTorch, for systems without numba: the same arithmetic, in bands of rows, so that no
full-size float picture is created."""

# T frames, C channels, H, W full size, h, w small size

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pictures.pixel_format import quantise, to_float
from .bilinear import Taps

BAND = 64  # rows at once: what a band needs then stays in the processor's cache


def reduce(frames: Tensor, columns: Taps, rows: Taps) -> Tensor:
    """frames [T, 3, H, W] -> [T, 3, h, w] float32 0..1, interpolated at the taps."""
    if frames.dtype == torch.uint16:  # which cannot be indexed
        frames = frames.view(torch.int16)
        upper, lower = (frames[:, :, _index(side)].view(torch.uint16) for side in (rows.low, rows.high))
    else:
        upper, lower = (frames[:, :, _index(side)] for side in (rows.low, rows.high))
    middle = torch.lerp(to_float(upper), to_float(lower), torch.from_numpy(rows.part.copy())[:, None])
    left, right = (middle[..., _index(side)] for side in (columns.low, columns.high))
    return torch.lerp(left, right, torch.from_numpy(columns.part.copy()))


def apply(coefficients: Tensor, frame: Tensor, rows: Taps, pha: Tensor, fgr: Tensor | None) -> None:
    """coefficients [2C, h, w] (A, then b) and frame [3, H, W] -> into pha [H, W] and, with C = 4, fgr [3, H, W]."""
    H, W = pha.shape  # noqa: N806
    wide = F.interpolate(coefficients[None], (coefficients.shape[1], W), mode="bilinear", align_corners=False)[0]
    parts = torch.from_numpy(rows.part.copy())[:, None]
    for begin in range(0, H, BAND):
        band = slice(begin, min(begin + BAND, H))
        A, b = torch.lerp(  # noqa: N806 - the papers' name
            wide[:, _index(rows.low[band])], wide[:, _index(rows.high[band])], parts[band]
        ).chunk(2)
        src = to_float(frame[:, band])
        pha[band] = _finished(A[-1] * src.mean(0) + b[-1], pha.dtype)
        if fgr is not None:
            fgr[:, band] = _finished(A[:3] * src + b[:3] + src, fgr.dtype)


def _finished(x: Tensor, dtype: torch.dtype) -> Tensor:
    return quantise(x.clamp_(0, 1), dtype)


def _index(side) -> Tensor:
    return torch.from_numpy(side.astype("int64"))
