"""The full-size pass on a GPU: frames reduced, coefficients applied, one kernel each, straight from and to the frames'
own numbers and memory order. Each byte of a frame is read once and each of a result written once; the small pictures
stay in the cache.
"""

# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false, reportIndexIssue=false
# (Triton is not everywhere, and its kernels are a language of its own)

# T frames, C channels, H, W full size, h, w small size

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...network import small_size
from ...pictures.pixel_format import INTEGER_SCALE

BLOCK = 256  # pixels of a row a program


@triton.jit
def _taps(index, step, size):
    """Where output `index` reads along an axis: see bilinear.py."""
    place = tl.maximum((index.to(tl.float32) + 0.5) * step - 0.5, 0.0)
    low = tl.minimum(place.to(tl.int32), size - 1)
    high = tl.minimum(low + 1, size - 1)
    return low, high, place - low.to(tl.float32)


@triton.jit
def _between(row_0, row_1, left, right, across, down, inside):
    """Interpolated between four numbers at two rows' pointers and two columns' offsets."""
    a = tl.load(row_0 + left, mask=inside, other=0).to(tl.float32)
    b = tl.load(row_0 + right, mask=inside, other=0).to(tl.float32)
    c = tl.load(row_1 + left, mask=inside, other=0).to(tl.float32)
    d = tl.load(row_1 + right, mask=inside, other=0).to(tl.float32)
    upper = a + across * (b - a)
    lower = c + across * (d - c)
    return upper + down * (lower - upper)


@triton.jit
def _reduce(
    src, small, H, W, h, w, step, scale, src_t, src_c, src_y, src_x, BLOCK: tl.constexpr  # noqa: N803
):  # fmt: skip
    """One block of a row of small [T, 3, h, w] = src, interpolated and multiplied by scale. Grid: columns, rows, T."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, t = tl.program_id(1), tl.program_id(2).to(tl.int64)
    inside = x < w
    left, right, across = _taps(x, step, W)
    top, bottom, down = _taps(y, step, H)
    for c in tl.static_range(3):
        plane = src + t * src_t + c * src_c
        value = _between(
            plane + top.to(tl.int64) * src_y, plane + bottom.to(tl.int64) * src_y,
            left * src_x, right * src_x, across, down, inside,
        )  # fmt: skip
        tl.store(small + ((t * 3 + c) * h + y) * w + x, value * scale, mask=inside)


@triton.jit
def _apply(
    src, coefficients, pha, fgr, H, W, h, w, step_y, step_x, scale, most, half,  # noqa: N803
    src_t, src_c, src_y, src_x, fgr_t, fgr_c, fgr_y, fgr_x,
    C: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """One block of a row of pha [T, H, W] and, with C = 4, fgr. Grid: columns, rows, T."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, t = tl.program_id(1), tl.program_id(2).to(tl.int64)
    inside = x < W
    left, right, across = _taps(x, step_x, w)
    top, bottom, down = _taps(y, step_y, h)
    pixels = src + t * src_t + y.to(tl.int64) * src_y + x * src_x
    maps = coefficients + t * (2 * C * h * w)
    total = tl.zeros([BLOCK], tl.float32)
    for c in tl.static_range(3):
        color = tl.load(pixels + c * src_c, mask=inside, other=0).to(tl.float32) * scale
        total += color
        if C == 4:
            slope = maps + c * h * w
            offset = maps + (C + c) * h * w
            A = _between(slope + top * w, slope + bottom * w, left, right, across, down, inside)  # noqa: N806
            b = _between(offset + top * w, offset + bottom * w, left, right, across, down, inside)
            value = tl.minimum(tl.maximum(A * color + b + color, 0.0), 1.0) * most + half
            place = fgr + t * fgr_t + c * fgr_c + y.to(tl.int64) * fgr_y + x * fgr_x
            tl.store(place, value.to(fgr.dtype.element_ty), mask=inside)
    slope = maps + (C - 1) * h * w
    offset = maps + (2 * C - 1) * h * w
    A = _between(slope + top * w, slope + bottom * w, left, right, across, down, inside)  # noqa: N806
    b = _between(offset + top * w, offset + bottom * w, left, right, across, down, inside)
    value = tl.minimum(tl.maximum(A * (total / 3) + b, 0.0), 1.0) * most + half
    tl.store(pha + (t * H + y) * W + x, value.to(pha.dtype.element_ty), mask=inside)


def reduce(frames: Tensor, downsample_ratio: float) -> Tensor:
    """frames [T, 3, H, W] uint8, uint16 or float32 in any memory order -> [T, 3, h, w] float32 0..1."""
    T, _, H, W = frames.shape  # noqa: N806
    h, w = small_size(H, W, downsample_ratio)
    small = torch.empty(T, 3, h, w, device=frames.device)
    scale = 1 / INTEGER_SCALE.get(frames.dtype, 1)
    grid = (triton.cdiv(w, BLOCK), h, T)
    _reduce[grid](frames, small, H, W, h, w, 1 / downsample_ratio, scale, *frames.stride(), BLOCK=BLOCK)
    return small


def apply(
    coefficients: Tensor, frames: Tensor, out: torch.dtype = torch.float32, foreground: bool = True
) -> tuple[Tensor | None, Tensor]:
    """As full_size.apply, on the device of the frames."""
    T, _, H, W = frames.shape  # noqa: N806
    if not foreground and coefficients.shape[1] == 8:
        coefficients = coefficients[:, 3::4]
    coefficients = coefficients.contiguous()
    C, (h, w) = coefficients.shape[1] // 2, coefficients.shape[-2:]  # noqa: N806
    pha = torch.empty(T, 1, H, W, dtype=out, device=frames.device)
    fgr = torch.empty_like(frames, dtype=out) if foreground else None
    target = pha if fgr is None else fgr
    scale, most = 1 / INTEGER_SCALE.get(frames.dtype, 1), INTEGER_SCALE.get(out, 1)
    half = 0.5 if out in INTEGER_SCALE else 0.0  # casting cuts off: it rounds then
    grid = (triton.cdiv(W, BLOCK), H, T)
    _apply[grid](
        frames, coefficients, pha, target, H, W, h, w, h / H, w / W, scale, float(most), half,
        *frames.stride(), *target.stride(), C=C, BLOCK=BLOCK,
    )  # fmt: skip
    return fgr, pha
