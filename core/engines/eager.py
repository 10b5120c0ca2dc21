"""The reference engines: the network unchanged, in plain PyTorch, on any device; one for each of its two heads."""

# T frames of one stream, H, W

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from ..machine.device import DTYPE_NAMES
from ..network import MattingNetwork, Rec
from ..pictures.pixel_format import quantise, to_float
from .engine import Engine, EngineOutput, Wanted


class EagerEngine(Engine):
    """Runs `network` (taken in eval mode; the caller's own stays as it is) on a device in a precision.

    shared: the network is neither copied nor moved: it is in eval mode and in `dtype` already, and whoever owns it
    (ComfyUI's memory management) has it on the device whenever the engine runs.
    """

    head = ""

    def __init__(self, network: MattingNetwork, device: torch.device, dtype: torch.dtype, *, shared: bool = False):
        self.name = f"eager{self.head} {DTYPE_NAMES[dtype]}"
        self.variant = network.variant
        self.device = device
        self.dtype = dtype
        if not shared:
            network = copy.deepcopy(network).eval().requires_grad_(False).to(device, dtype)
        self._network = network

    @property
    def network(self) -> MattingNetwork:
        return self._network

    def _run(self, frames: Tensor, rec: Rec | None, downsample_ratio: float, wanted: Wanted) -> EngineOutput:
        src = to_float(frames, self.device, self.dtype)[None]
        output = self._network(src, rec, downsample_ratio, wanted.view)
        fgr = quantise(output.fgr[0], wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(output.pha[0], wanted.out), output.rec)


class SegmentationEngine(EagerEngine):
    """As EagerEngine, through the segmentation head: `pha` is the probability that a pixel is of a person, `fgr` is
    None. The head sees what the matting head sees, so states pass from one to the other.

    Raises StudioError where the weights have no such head.
    """

    head = " segmentation"

    def __init__(self, network: MattingNetwork, device: torch.device, dtype: torch.dtype, *, shared: bool = False):
        if not network.has_segmentation:
            raise StudioError(
                "These weights have no segmentation head (project_seg.*), only the matting one. Use weights that have "
                "both, as the official ones, or matte instead."
            )
        super().__init__(network, device, dtype, shared=shared)

    def _run(self, frames: Tensor, rec: Rec | None, downsample_ratio: float, wanted: Wanted) -> EngineOutput:
        src = to_float(frames, self.device, self.dtype)[None]
        output = self._network.segment(src, rec, downsample_ratio, wanted.view)
        logits = F.interpolate(output.seg[0].float(), frames.shape[-2:], mode="bilinear", align_corners=False)
        return EngineOutput(None, quantise(logits.sigmoid(), wanted.out), output.rec)
