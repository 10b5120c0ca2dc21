"""The only place where pictures change form: 8-bit, 16-bit and float, interleaved and planar, any channel order.

A *picture* is a numpy array or tensor [H, W, C] as files, ComfyUI and OBS hold it; *frames* are a tensor
[T, 3, H, W] as the network takes it. Integers cover 0..255 or 0..65535 for the float range 0..1.
"""

# T frames, C channels, H, W

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

INTEGER_SCALE = {torch.uint8: 255, torch.uint16: 65535}


def frames_from_pictures(
    pictures: Sequence[np.ndarray] | np.ndarray | Tensor,
    order: str = "rgb",
    new: Callable[[Sequence[int], torch.dtype], Tensor] | None = None,
) -> Tensor:
    """Pictures [H, W, C] (a sequence of T, or one array [T, H, W, C]) -> frames [T, 3, H, W] of the same dtype.

    dtype uint8, uint16 or float; `order` names the channels ("rgb", "rgba", "bgra", ...), of which red, green
    and blue are kept. A single picture is not copied: the frames are a view of its memory.
    new(shape, dtype): memory of the CPU into which several pictures are put together.
    Raises ValueError for another shape, dtype or pictures of differing sizes.
    """
    if isinstance(pictures, Tensor):
        stacked = pictures
    elif isinstance(pictures, np.ndarray):
        stacked = torch.from_numpy(np.require(pictures, requirements=["C", "W"]))
    elif len(pictures) == 1:
        stacked = torch.from_numpy(np.require(pictures[0], requirements=["C", "W"]))[None]
    else:
        sizes = {picture.shape for picture in pictures}
        if len(sizes) != 1:
            raise ValueError(f"pictures differ in size: {sorted(sizes)}")
        if new is None:
            stacked = torch.from_numpy(np.stack(pictures))
        else:
            stacked = new((len(pictures), *pictures[0].shape), torch.from_numpy(np.empty(0, pictures[0].dtype)).dtype)
            np.stack(pictures, out=stacked.numpy())
    if stacked.ndim != 4 or stacked.shape[-1] != len(order):
        raise ValueError(f"expected pictures [T, H, W, {len(order)}] ({order}), got {list(stacked.shape)}")
    if not stacked.is_floating_point() and stacked.dtype not in INTEGER_SCALE:
        raise ValueError(f"expected uint8, uint16 or float pictures, got {stacked.dtype}")
    planar = stacked.permute(0, 3, 1, 2)
    channels = [order.index(color) for color in "rgb"]
    return planar[:, :3] if channels == [0, 1, 2] else planar[:, channels]


def to_float(frames: Tensor, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Frames of any dtype -> contiguous float frames 0..1 on the device. Integers travel to the device as they are."""
    if frames.is_floating_point():
        return frames.to(device, dtype).contiguous()
    scale = INTEGER_SCALE[frames.dtype]
    if frames.dtype == torch.uint16:  # few kernels know it: widened before it leaves the CPU
        frames = frames.to(torch.float32)
    frames = frames.to(device)
    # Scaled in float32 also for half precision: a 16-bit value does not fit fp16's range.
    planar = torch.empty(frames.shape, dtype=torch.float32, device=device)
    return planar.copy_(frames).div_(scale).to(dtype)


def quantise(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Float 0..1 -> uint8 or uint16, rounded to nearest and clamped (never truncated); float32: as it is."""
    if dtype == torch.float32:
        return x.float()
    scale = INTEGER_SCALE[dtype]
    # One pass to scale and add one half, one to clamp, one to cut off: cutting off then rounds to nearest.
    x = x.float()  # half precision holds neither 65535 nor every 8-bit step
    # new_full, since what new_tensor brings from the CPU a graphics card would be waited for.
    scaled = torch.add(x.new_full((), 0.5), x, alpha=scale).clamp_(0, scale)
    if dtype == torch.uint8:
        return scaled.to(torch.uint8)
    whole = scaled.to(torch.int32)
    return (whole if whole.device.type in ("cpu", "cuda") else whole.cpu()).to(torch.uint16)  # others lack uint16


def pictures_from_frames(frames: Tensor) -> np.ndarray:
    """Frames [T, C, H, W] -> contiguous pictures [T, H, W, C] of the same dtype, on the CPU."""
    return interleaved(frames).cpu().numpy()


def interleaved(frames: Tensor) -> Tensor:
    """As `pictures_from_frames`, where the frames are."""
    return frames.permute(0, 2, 3, 1).contiguous()


def rgba_pictures(fgr: Tensor, pha: Tensor) -> np.ndarray:
    """fgr [T, 3, H, W] and pha [T, 1, H, W] of one dtype -> contiguous pictures [T, H, W, 4], on the CPU."""
    return interleaved_rgba(fgr, pha).cpu().numpy()


def interleaved_rgba(fgr: Tensor, pha: Tensor) -> Tensor:
    """As `rgba_pictures`, where the frames are."""
    T, _, H, W = fgr.shape  # noqa: N806
    rgba = torch.empty(T, H, W, 4, dtype=fgr.dtype, device=fgr.device)
    write_rgba(rgba, fgr, pha)
    return rgba


def write_rgba(rgba: Tensor, fgr: Tensor, pha: Tensor) -> None:
    """Writes fgr [T, 3, H, W] and pha [T, 1, H, W] into the pictures `rgba` [T, H, W, 4], on whichever device."""
    rgba[..., :3] = fgr.permute(0, 2, 3, 1)
    rgba[..., 3:] = pha.permute(0, 2, 3, 1)
