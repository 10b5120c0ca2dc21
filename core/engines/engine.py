"""What a session asks of an engine."""

# T frames of one stream, H, W

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from ..network import Rec


class Drawing(NamedTuple):
    """A finished picture, asked of an engine: "composite" over `bgr`, "matte" (RGBA), or "foreground" (RGB); the last
    two are black where alpha is 0.

    bgr: [1, 3, 1, 1] or [1, 3, H, W] float 0..1, of composites only.
    """

    kind: Literal["composite", "matte", "foreground"]
    bgr: Tensor | None = None


class EngineOutput(NamedTuple):
    """fgr [T, 3, H, W] straight, or None where not asked for; pha [T, 1, H, W]; rec after the last frame;
    pictures [T, H, W, 3 or 4] where a Drawing was asked for."""

    fgr: Tensor | None
    pha: Tensor
    rec: Rec
    pictures: Tensor | None = None


class Engine(Protocol):
    """One way of running the network. `name` says which and how precisely, `variant` is the network's; `dtype` is that
    of its states (and not always of what it computes in): states of one dtype pass from any engine to any other."""

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
        Without `foreground` the engine may skip that work.

        An engine whose `draws` is true (missing counts as false) takes a `drawing`, too: the pictures come in dtype
        `out`, the same with `foreground` and without. An engine with `transfers` (missing counts as None) brings frames
        from the CPU by them and returns at once: so may its caller bring the results (see transfers.py)."""
        ...
