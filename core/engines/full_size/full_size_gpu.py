"""The full-size pass in plain PyTorch on any device: for GPUs without Triton (Windows, MPS, XPU)."""

# T frames, C channels, H, W full size, h, w small size

import torch
import torch.nn.functional as F
from torch import Tensor

from ...network import MattingNetwork
from ...pictures.pixel_format import quantise, to_float


def reduce(frames: Tensor, downsample_ratio: float) -> Tensor:
    """frames [T, 3, H, W] -> [T, 3, h, w] float32 0..1."""
    return MattingNetwork.reduce(to_float(frames, frames.device), downsample_ratio)


def apply(
    coefficients: Tensor, frames: Tensor, out: torch.dtype = torch.float32, foreground: bool = True
) -> tuple[Tensor | None, Tensor]:
    """As full_size.apply, on the device of the frames."""
    if not foreground and coefficients.shape[1] == 8:
        coefficients = coefficients[:, 3::4]
    C = coefficients.shape[1] // 2  # noqa: N806
    wide = F.interpolate(coefficients, frames.shape[-2:], mode="bilinear", align_corners=False)
    src = to_float(frames, frames.device)
    pha = torch.addcmul(wide[:, 2 * C - 1 :], wide[:, C - 1 : C], src.mean(1, keepdim=True))
    fgr = torch.addcmul(wide[:, 4:7], wide[:, :3], src).add_(src) if foreground else None
    return None if fgr is None else quantise(fgr.clamp_(0, 1), out), quantise(pha.clamp_(0, 1), out)
