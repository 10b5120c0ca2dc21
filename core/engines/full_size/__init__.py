"""What happens at the frame's full size: reducing it, and applying the guided filter to it. Three modules do it alike:
full_size (CPU), triton_kernels (NVIDIA GPUs with Triton) and full_size_gpu (any device, in plain PyTorch)."""

# T frames, C channels, H, W full size, h, w small size

from typing import Protocol

import torch
from torch import Tensor


class FullSizePass(Protocol):
    """What each of the three modules offers; full_size says what the functions take and return."""

    def reduce(self, frames: Tensor, downsample_ratio: float) -> Tensor: ...

    def apply(
        self, coefficients: Tensor, frames: Tensor, out: torch.dtype = torch.float32, foreground: bool = True
    ) -> tuple[Tensor | None, Tensor]: ...
