"""The reference engine: the network as it is, in plain PyTorch, on any device."""

# T frames of one stream, H, W

import copy

import torch
from torch import Tensor

from ..network import MattingNetwork, Rec
from ..pixel_format import quantise, to_float
from .engine import EngineOutput


class EagerEngine:
    """Runs `network` (taken in eval mode; the caller's own stays as it is) on a device in a precision."""

    name = "eager"

    def __init__(self, network: MattingNetwork, device: torch.device, dtype: torch.dtype):
        self.variant = network.variant
        self.device = device
        self.dtype = dtype
        self.network = copy.deepcopy(network).eval().requires_grad_(False).to(device, dtype)

    @torch.inference_mode()
    def run(
        self,
        frames: Tensor,
        rec: Rec | None,
        downsample_ratio: float,
        *,
        out: torch.dtype = torch.float32,
        foreground: bool = True,
    ) -> EngineOutput:
        src = to_float(frames, self.device, self.dtype)[None]
        output = self.network(src, rec, downsample_ratio)
        fgr = quantise(output.fgr[0], out) if foreground else None
        return EngineOutput(fgr, quantise(output.pha[0], out), output.rec)
