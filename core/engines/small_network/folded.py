"""The small network in plain PyTorch: BatchNorm folded, memory in channels-last order."""

# N frames of one stream, C channels, h, w small size

import torch
from torch import Tensor

from ...network import MattingNetwork, Rec
from .small_network import NetworkParts, folded


class FoldedParts:
    """The parts of a network (see small_network.py), computed in `dtype`; tensors in and out are float32."""

    def __init__(self, network: MattingNetwork, dtype: torch.dtype = torch.float32):
        self.network = folded(network)
        self.dtype = dtype
        self._parts = NetworkParts(self.network, dtype)

    def run(self, small: Tensor, rec: Rec, foreground: bool, hidden: bool) -> tuple[Tensor, Tensor | None, Rec]:
        """small [N, 3, h, w] -> matte [N, 4 or 1, h, w], hid (None without `hidden`), rec after the last frame."""
        small = self._given(small)
        states = [self._given(r) for r in rec]
        matte, *rest = self._parts.decoder(foreground, hidden)(small, *self._parts.encoder(small), *states)
        hid = rest.pop(0) if hidden else None
        r1, r2, r3, r4 = (r.float() for r in rest)
        return matte.float(), hid, (r1, r2, r3, r4)

    def slope(self, statistics: Tensor, hid: Tensor, foreground: bool) -> Tensor:
        """statistics [N, 8, h, w] and hid -> A [N, 4 or 1, h, w]."""
        return self._parts.slope(foreground)(self._given(statistics), hid).float()

    def _given(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last)
