"""All conversions between pixel formats: 8-bit, 16-bit and float, interleaved and planar, any channel order.

A *picture* is a numpy array or tensor [H, W, C], as in files, ComfyUI and OBS; *frames* are a tensor [T, 3, H, W], as
the network takes them. Integers 0..255 or 0..65535 correspond to floats 0..1.
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
    """Converts interleaved pictures to planar frames of the same dtype.

    A single picture is not copied: the frames are a view of its memory.

    Args:
        pictures: T pictures [H, W, C], or one array or tensor [T, H, W, C]; uint8, uint16 or float.
        order: The channels, such as "rgb", "rgba" or "bgra"; red, green and blue are kept.
        new: `new(shape, dtype)` allocates the CPU memory into which several pictures are stacked.

    Returns:
        [T, 3, H, W] in the dtype of the pictures.

    Raises:
        ValueError: The shape or dtype is not supported, or the pictures differ in size.

    Example:
        >>> import numpy as np
        >>> from rvm_studio import core
        >>> core.frames_from_pictures([np.zeros((48, 64, 4), np.uint8)], order="bgra").shape
        torch.Size([1, 3, 48, 64])
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
    """Converts frames to floating point 0..1. Integers are moved to the device before the conversion.

    Args:
        frames: Tensor of any shape, uint8 0..255, uint16 0..65535 or float 0..1.
        device: Device of the result.
        dtype: Floating-point dtype of the result.

    Returns:
        Contiguous tensor of the same shape, 0..1.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    if frames.is_floating_point():
        return frames.to(device, dtype).contiguous()
    scale = INTEGER_SCALE[frames.dtype]
    if frames.dtype == torch.uint16:  # few kernels support it: converted before it leaves the CPU
        frames = frames.to(torch.float32)
    frames = frames.to(device)
    # Scaled in float32 also for half precision: a 16-bit value does not fit fp16's range.
    planar = torch.empty(frames.shape, dtype=torch.float32, device=device)
    return planar.copy_(frames).div_(scale).to(dtype)


def quantise(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Converts floats to integers, rounded to nearest and clamped.

    Args:
        x: Floating-point tensor of any shape, 0..1.
        dtype: torch.uint8, torch.uint16, or torch.float32, which is not scaled.

    Returns:
        Tensor of the same shape: 0..255, 0..65535 or 0..1.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.quantise(torch.tensor([-0.1, 0.5, 1.0]), torch.uint8)
        tensor([  0, 128, 255], dtype=torch.uint8)
    """
    if dtype == torch.float32:
        return x.float()
    scale = INTEGER_SCALE[dtype]
    # One pass to scale and add one half, one to clamp, one to truncate, which then rounds to nearest.
    x = x.float()  # half precision holds neither 65535 nor every 8-bit step
    # new_full, because new_tensor copies from the CPU, which would wait for a GPU.
    scaled = torch.add(x.new_full((), 0.5), x, alpha=scale).clamp_(0, scale)
    if dtype == torch.uint8:
        return scaled.to(torch.uint8)
    whole = scaled.to(torch.int32)
    return (whole if whole.device.type in ("cpu", "cuda") else whole.cpu()).to(torch.uint16)  # others lack uint16


def pictures_from_frames(frames: Tensor) -> np.ndarray:
    """Converts planar frames to interleaved pictures on the CPU.

    Args:
        frames: [T, C, H, W] of any dtype, on any device.

    Returns:
        Contiguous array [T, H, W, C] of the same dtype.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.pictures_from_frames(torch.zeros(2, 3, 48, 64)).shape
        (2, 48, 64, 3)
    """
    return interleaved(frames).cpu().numpy()


def interleaved(frames: Tensor) -> Tensor:
    """Like `pictures_from_frames`, on the device of the frames."""
    return frames.permute(0, 2, 3, 1).contiguous()


def rgba_pictures(fgr: Tensor, pha: Tensor) -> np.ndarray:
    """fgr [T, 3, H, W] and pha [T, 1, H, W] of one dtype -> contiguous pictures [T, H, W, 4], on the CPU."""
    return interleaved_rgba(fgr, pha).cpu().numpy()


def interleaved_rgba(fgr: Tensor, pha: Tensor) -> Tensor:
    """Like `rgba_pictures`, on the device of the frames."""
    T, _, H, W = fgr.shape  # noqa: N806
    rgba = torch.empty(T, H, W, 4, dtype=fgr.dtype, device=fgr.device)
    write_rgba(rgba, fgr, pha)
    return rgba


def write_rgba(rgba: Tensor, fgr: Tensor, pha: Tensor) -> None:
    """Writes fgr [T, 3, H, W] and pha [T, 1, H, W] into the pictures `rgba` [T, H, W, 4], on any device."""
    rgba[..., :3] = fgr.permute(0, 2, 3, 1)
    rgba[..., 3:] = pha.permute(0, 2, 3, 1)
