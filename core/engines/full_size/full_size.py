"""The full-size pass on a CPU: reduces frames for the network, and applies its coefficients at the frames' size.

One pass each, directly from and to the frames' own dtype (8-bit, 16-bit or float) and memory order. Compiled by numba
if it is installed, else in plain PyTorch.
"""

# T frames, C channels, H, W full size, h, w small size

import functools

import numpy as np
import torch
from torch import Tensor

from ...network import small_size
from ...pictures.pixel_format import INTEGER_SCALE
from ..engine import Drawing
from . import full_size_torch
from .bilinear import enlarging_taps, reducing_taps
from .kernel_runner import compiled_kernels, run_rows


def reduce(frames: Tensor, downsample_ratio: float) -> Tensor:
    """frames [T, 3, H, W] uint8, uint16 or float -> [T, 3, h, w] float32 0..1, like MattingNetwork.reduce, but in
    channels-last order, which the engines continue with."""
    frames = _widened(frames)
    T, _, H, W = frames.shape  # noqa: N806
    h, w = small_size(H, W, downsample_ratio)
    columns, rows = reducing_taps(W, w, downsample_ratio), reducing_taps(H, h, downsample_ratio)
    kernels = compiled_kernels()
    if kernels is None:
        return full_size_torch.reduce(frames, columns, rows).contiguous(memory_format=torch.channels_last)
    small = torch.empty(T, h, w, 3)
    scale = np.float32(1 / INTEGER_SCALE.get(frames.dtype, 1))
    for frame, target in zip(frames, small.numpy(), strict=True):
        picture, interleaved = _memory(frame)
        kernel = kernels.reduce_interleaved if interleaved else kernels.reduce_planar
        run_rows(kernel, h, picture, tuple(columns), tuple(rows), scale, target)
    return small.permute(0, 3, 1, 2)


def apply(
    coefficients: Tensor, frames: Tensor, out: torch.dtype = torch.float32, foreground: bool = True
) -> tuple[Tensor | None, Tensor]:
    """coefficients [T, 2C, h, w] float32 and frames [T, 3, H, W] -> (fgr [T, 3, H, W] or None, pha [T, 1, H, W]).

    coefficients: A of C channels, then b; C = 4 (R, G, B of the foreground's difference from the frame, alpha), or
    C = 1, alpha alone, without `foreground`. Per channel y = A * x + b, A and b interpolated; x is the
    frame's R, G, B and their mean. pha = y, fgr = y + x, within 0..1, in dtype `out` (float32, uint8 or uint16,
    rounded). fgr has the memory order of the frames: interleaved pictures give interleaved pictures.
    """
    frames = _widened(frames)
    T, _, H, W = frames.shape  # noqa: N806
    C = coefficients.shape[1] // 2  # noqa: N806
    assert coefficients.shape[1] in (2, 8), f"coefficients of 1 or 4 channels expected, got {list(coefficients.shape)}"
    assert C == 4 or not foreground, "a foreground needs the coefficients of all channels"
    if C == 4 and not foreground:
        coefficients, C = coefficients[:, 3::4], 1  # noqa: N806
    coefficients = coefficients.contiguous()
    h, w = coefficients.shape[-2:]
    columns, rows = enlarging_taps(w, W), enlarging_taps(h, H)
    kernels = compiled_kernels()
    interleaved = _memory(frames[0])[1] if T else False
    pha = torch.empty(T, 1, H, W, dtype=out)
    fgr = None
    if foreground:
        fgr = torch.empty((T, H, W, 3) if interleaved else (T, 3, H, W), dtype=out)
        fgr = fgr.permute(0, 3, 1, 2) if interleaved else fgr
    scales = _scales(C, frames.dtype, out)
    for t, frame in enumerate(frames):
        if kernels is None:
            full_size_torch.apply(coefficients[t], frame, rows, pha[t, 0], None if fgr is None else fgr[t])
            continue
        picture, interleaved = _memory(frame)
        kernel = kernels.apply_interleaved if interleaved else kernels.apply_planar
        nowhere = pha.numpy()[:0, 0, 0] if interleaved else pha.numpy()[:0, 0]
        target = nowhere if fgr is None else _memory(fgr[t])[0]
        taps = tuple(columns), tuple(rows)
        run_rows(kernel, H, picture, coefficients[t].numpy(), *taps, *scales, pha[t, 0].numpy(), target)
    return fgr, pha


def draw(
    coefficients: Tensor, frames: Tensor, drawing: Drawing, out: torch.dtype = torch.uint8
) -> tuple[Tensor, Tensor]:
    """Like `apply`, but returns finished pictures: (pictures [T, H, W, 3 or 4], pha [T, 1, H, W]) in dtype `out`, uint8
    or uint16. coefficients: of all channels. Composites are mixed before rounding. Needs numba.
    """
    assert out in INTEGER_SCALE, f"pictures are uint8 or uint16, not {out}"
    frames = _widened(frames)
    T, _, H, W = frames.shape  # noqa: N806
    h, w = coefficients.shape[-2:]
    kernels = compiled_kernels()
    assert kernels is not None
    taps = tuple(enlarging_taps(w, W)), tuple(enlarging_taps(h, H))
    pictures = torch.empty(T, H, W, 4 if drawing.kind == "matte" else 3, dtype=out)
    pha = torch.empty(T, 1, H, W, dtype=out)
    gains, offsets = _drawing_scales(frames.dtype, out)
    most = np.float32(INTEGER_SCALE[out])
    over = drawing.kind == "composite"
    bgr = torch.zeros(3, 1, W)
    if over:
        assert drawing.bgr is not None
        rows = drawing.bgr.shape[2]
        bgr = drawing.bgr[0].to("cpu", torch.float32).expand(3, rows, W).contiguous()
    for t, frame in enumerate(frames):
        source = frame.permute(1, 2, 0).contiguous().flatten(1).numpy()
        target, alpha = pictures[t].flatten(1).numpy(), pha[t, 0].numpy()
        arrays = source, coefficients[t].contiguous().numpy(), *taps, gains, offsets, most, bgr.numpy(), over
        run_rows(kernels.draw, H, *arrays, alpha, target)
    return pictures, pha


@functools.lru_cache(maxsize=32)
def _drawing_scales(source: torch.dtype, out: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Like `_scales`, without rounding: colours in the results' numbers, alpha 0..1."""
    most, step = INTEGER_SCALE[out], 1 / INTEGER_SCALE.get(source, 1)
    gains = np.array([*[most * step] * 3, step / 3, *[most] * 3, 1], np.float32)
    return gains, np.array([*[most * step] * 3, 0, *[0] * 4], np.float32)


@functools.lru_cache(maxsize=32)
def _scales(channels: int, source: torch.dtype, out: torch.dtype) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Factors and offsets for A and b with which A * x + b maps the frames' numbers to those of the results (plus one
    half where truncation rounds); and the results' 1."""
    most = INTEGER_SCALE.get(out, 1)
    half = 0.5 if out in INTEGER_SCALE else 0.0
    step = most / INTEGER_SCALE.get(source, 1)
    slopes = [*[step] * (channels - 1), step / 3]  # alpha's x is the sum of three
    ones = [*[step] * (channels - 1), 0.0]  # + x for the foreground
    gains = np.array([*slopes, *[most] * channels], np.float32)
    offsets = np.array([*ones, *[half] * channels], np.float32)
    return gains, offsets, np.float32(most)


def _widened(frames: Tensor) -> Tensor:
    """On the CPU, floats as float32."""
    return frames.to("cpu", torch.float32) if frames.is_floating_point() else frames.cpu()


def _memory(frame: Tensor) -> tuple[np.ndarray, bool]:
    """[3, H, W] in its memory order: ([H, W * 3], True) if interleaved, else ([3, H, W], False), copied if needed."""
    picture = frame.permute(1, 2, 0)
    if picture.is_contiguous() and not frame.is_contiguous():
        return picture.flatten(1).numpy(), True
    return frame.contiguous().numpy(), False
