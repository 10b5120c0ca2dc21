"""What a session asks of an engine."""

# T frames of one stream, H, W

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..network import Rec


class EngineOutput(NamedTuple):
    """fgr [T, 3, H, W] straight, or None where not asked for; pha [T, 1, H, W]; rec after the last frame."""

    fgr: Tensor | None
    pha: Tensor
    rec: Rec


class Engine(Protocol):
    """One way of running the network. `name` says which, `variant` is the network's; `dtype` is that of its states
    (and not always of what it computes in): states of one dtype pass from any engine to any other."""

    name: str
    variant: str
    device: torch.device
    dtype: torch.dtype

    def run(
        self,
        frames: Tensor,
        rec: Rec | None,
        downsample_ratio: float,
        *,
        out: torch.dtype = torch.float32,
        foreground: bool = True,
    ) -> EngineOutput:
        """frames [T, 3, H, W], uint8 / uint16 / float 0..1 on any device, in any memory order; rec as the network
        takes it, left unchanged. Results are on the engine's device in dtype `out` (float32, uint8 or uint16).
        Without `foreground` the engine may skip that work."""
        ...
