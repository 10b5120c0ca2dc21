"""The interface of an engine: frames and a state in, mattes and the next state out."""

# T frames of one stream, H, W

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from ..network import MattingNetwork, Rec
from ..pictures.view import View

if TYPE_CHECKING:
    from .transfers import Transfers


class Drawing(NamedTuple):
    """A finished picture that an engine draws: "composite" over `bgr`, "matte" (RGBA), or "foreground" (RGB); the last
    two are black where alpha is 0.

    bgr: [1, 3, 1, 1] or [1, 3, H, W] float 0..1, of composites only.
    """

    kind: Literal["composite", "matte", "foreground"]
    bgr: Tensor | None = None


class Wanted(NamedTuple):
    """Which results a run returns.

    out: their dtype: float32, uint8 or uint16. foreground: whether fgr is among them. drawing: a finished picture
    besides, of engines that draw. view: how the network sees the frames; None: as they are.
    """

    out: torch.dtype = torch.float32
    foreground: bool = True
    drawing: Drawing | None = None
    view: View | None = None


class EngineOutput(NamedTuple):
    """fgr [T, 3, H, W] straight, or None without `foreground`; pha [T, 1, H, W]; rec after the last frame;
    pictures [T, H, W, 3 or 4] with a drawing."""

    fgr: Tensor | None
    pha: Tensor
    rec: Rec
    pictures: Tensor | None = None


class Engine:
    """One way of running the network. Subclasses set the attributes and implement `_run`.

    name: the way and its precision, in words. variant: the network's. device: where results are. dtype: of the states,
    not always of the arithmetic: states of one dtype pass from any engine to any other.
    """

    name: str
    variant: str
    device: torch.device
    dtype: torch.dtype
    draws = False
    """Whether `run` takes a drawing."""
    transfers: "Transfers | None" = None
    """Copies beside the computation: with them `run` uploads frames and returns at once, and its caller downloads the
    results (see transfers.py)."""

    @property
    def network(self) -> MattingNetwork | None:
        """The network as it runs; None where the engine has no such thing."""
        return None

    @torch.inference_mode()
    def run(
        self,
        frames: Tensor,
        rec: Rec | None,
        downsample_ratio: float,
        *,
        out: torch.dtype = torch.float32,
        foreground: bool = True,
        drawing: Drawing | None = None,
        view: View | None = None,
    ) -> EngineOutput:
        """Mattes frames that follow each other.

        frames: [T, 3, H, W], T > 0, uint8 / uint16 / float 0..1 on any device, in any memory order.
        rec: the state after the frame before; None: the stream begins. It is left unchanged.
        out, foreground, drawing, view: see Wanted. A picture is the same with `foreground` and without.

        Results are on the engine's device, but for those of `transfers`."""
        assert len(frames), "at least one frame"
        assert drawing is None or self.draws, f"{self.name} does not draw"
        return self._run(frames, rec, downsample_ratio, Wanted(out, foreground, drawing, view))

    def _run(self, frames: Tensor, rec: Rec | None, downsample_ratio: float, wanted: Wanted) -> EngineOutput:
        raise NotImplementedError
