"""The engine for CPUs: the network at the small size, between two passes over the full-size frames."""

# T frames of one stream, C channels, H, W full size, h, w small size

from typing import Protocol

import torch
from torch import Tensor

from ..network import MattingNetwork, Rec
from ..network.guided_filter import DeepGuidedFilterRefiner
from .engine import Engine, EngineOutput, Wanted
from .full_size import full_size
from .full_size.guided_coefficients import coefficients
from .full_size.kernel_runner import compiled_kernels
from .small_network.small_network import first_states


class Parts(Protocol):
    """Runs the parts of the small network; FoldedParts documents arguments and results."""

    network: MattingNetwork

    def run(self, small: Tensor, rec: Rec, foreground: bool, hidden: bool) -> tuple[Tensor, Tensor | None, Rec]: ...

    def slope(self, statistics: Tensor, hid: Tensor, foreground: bool) -> Tensor: ...


class SplitEngine(Engine):
    """Runs a network cut at its refiner. States are float32 whatever precision the parts compute in, so they pass from
    any engine to any other. A view changes what the parts are given; the refiner keeps the source's values. name: how
    the small network runs, in words."""

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, parts: Parts, name: str):
        self.parts = parts
        self.name = name
        self.variant = parts.network.variant

    @property
    def network(self) -> MattingNetwork:
        """As it runs: BatchNorm folded."""
        return self.parts.network

    @property
    def draws(self) -> bool:
        return compiled_kernels() is not None

    def _run(self, frames: Tensor, rec: Rec | None, downsample_ratio: float, wanted: Wanted) -> EngineOutput:
        out, foreground, drawing, view = wanted
        colors = foreground or drawing is not None
        network = self.parts.network
        refiner = None if downsample_ratio == 1 else network.refiner
        small = full_size.reduce(frames, downsample_ratio)
        if rec is None:
            rec = first_states(network, *small.shape[-2:])
        r1, r2, r3, r4 = (r.to("cpu", torch.float32) for r in rec)
        learned = isinstance(refiner, DeepGuidedFilterRefiner)
        # The learned filter needs all channels, whatever is wanted.
        seen = small if view is None else view(small)
        matte, hid, rec = self.parts.run(seen, (r1, r2, r3, r4), colors or learned, learned)
        if view is not None:
            matte = view.matte_of_source(matte, seen)
        slope = None if hid is None else lambda statistics: self.parts.slope(statistics, hid, colors)
        solved = coefficients(refiner, small, matte, slope)
        if drawing is not None:
            pictures, pha = full_size.draw(solved, frames, drawing, out)
            fgr = full_size.apply(solved, frames, out)[0] if foreground else None
            return EngineOutput(fgr, pha, rec, pictures)
        fgr, pha = full_size.apply(solved, frames, out, foreground)
        return EngineOutput(fgr, pha, rec)
