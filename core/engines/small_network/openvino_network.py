"""The small network rearranged for OpenVINO, which would otherwise spend a third of its time on moving tensors. Here it
is one model, in channels-last order from end to end; tensors are not concatenated if the next convolution can take
them separately; encoder and decoder each compute in their own precision.
"""

# N frames of one stream, C channels, h, w small size; rec = (r1, r2, r3, r4) at 1/2, 1/4, 1/8, 1/16 of it;
# s1, s2, s3: the small picture at 1/2, 1/4, 1/8

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...network import MattingNetwork
from ...network.backbone import MobileNetV3Encoder
from ...network.recurrent_decoder import ConvGRU, UpsamplingBlock, double_to
from .small_network import head_of, new_slope


class SmallNetwork(nn.Module):
    """One frame: small [1, h, w, 3] 0..1 and s1, s2, s3, r1..r4 -> matte [1, h, w, C], (with `hidden` hid [1, h, w,
    16]), r1..r4. All float32 in channels-last order, as shown; see small_network.py for `matte`.

    network: folded (see there). encoder, decoder: the dtypes of the two halves. States are updated in float32.
    """

    def __init__(
        self, network: MattingNetwork, foreground: bool, hidden: bool, *, encoder: torch.dtype, decoder: torch.dtype
    ):
        super().__init__()
        self.hidden, self.encoder_dtype, self.decoder_dtype = hidden, encoder, decoder
        self.backbone, self.aspp = _copy(network.backbone, encoder), _copy(network.aspp, encoder)
        blocks = network.decoder
        self.bottleneck = GRU(blocks.decode4.gru, decoder)
        channels = 2 * self.bottleneck.channels
        features = network.backbone.channels[:3]
        self.blocks = nn.ModuleList()
        for block, skipped in zip((blocks.decode3, blocks.decode2, blocks.decode1), reversed(features), strict=True):
            arranged = Block(block, (channels, skipped, 3), decoder)
            self.blocks.append(arranged)
            channels = 2 * arranged.gru.channels
        self.first = JoinedConvolution(blocks.decode0.conv[0], (channels, 3), decoder)
        self.last = _copy(blocks.decode0.conv[3], decoder)
        self.head = _copy(head_of(network, foreground), decoder)

    def forward(
        self, small: Tensor, s1: Tensor, s2: Tensor, s3: Tensor, r1: Tensor, r2: Tensor, r3: Tensor, r4: Tensor
    ) -> tuple[Tensor, ...]:
        s0, s1, s2, s3, r1, r2, r3, r4 = (x.permute(0, 3, 1, 2) for x in (small, s1, s2, s3, r1, r2, r3, r4))
        f1, f2, f3, f4 = self.encode(small.to(self.encoder_dtype))
        s0, s1, s2, s3 = (s.to(self.decoder_dtype) for s in (s0, s1, s2, s3))
        by_passing, x = f4.to(self.decoder_dtype).chunk(2, 1)
        r4 = self.bottleneck(x, r4)
        x = torch.cat([by_passing, r4.to(self.decoder_dtype)], 1)
        states = [r4]
        for block, f, s, r in zip(self.blocks, (f3, f2, f1), (s3, s2, s1), (r3, r2, r1), strict=True):
            x, r = block(x, f.to(self.decoder_dtype), s, r)
            states.insert(0, r)
        hid = F.relu(self.last(F.relu(self.first(double_to(x, s0), s0))))
        results = self.head(hid), *((hid,) if self.hidden else ()), *states
        return tuple(x.float().permute(0, 2, 3, 1) for x in results)

    def encode(self, small: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        backbone = self.backbone
        if isinstance(backbone, MobileNetV3Encoder):
            # In whole rows: OpenVINO would transpose the colours to the front and back again, and three numbers do not
            # fill a vector register.
            width = small.shape[2]
            mean, std = (x.flatten().repeat(width) for x in (backbone.mean, backbone.std))
            normalised = ((small.flatten(2) - mean) / std).unflatten(2, (width, 3))
            f1, f2, f3, f4 = backbone.features_of(normalised.permute(0, 3, 1, 2))
        else:
            f1, f2, f3, f4 = backbone(small.permute(0, 3, 1, 2))
        return f1, f2, f3, self.aspp(f4)


class ChannelsLastSlope(nn.Module):
    """Slope (see small_network.py), of statistics [N, h, w, 8] and hid [N, h, w, 16] -> A [N, h, w, C]."""

    def __init__(self, network: MattingNetwork, foreground: bool):
        super().__init__()
        self.slope = new_slope(network, foreground)

    def forward(self, statistics: Tensor, hid: Tensor) -> Tensor:
        return self.slope(statistics.permute(0, 3, 1, 2), hid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Block(nn.Module):
    """An UpsamplingBlock. channels: of x, f and s."""

    def __init__(self, block: UpsamplingBlock, channels: Sequence[int], dtype: torch.dtype):
        super().__init__()
        self.conv = JoinedConvolution(block.conv[0], channels, dtype)
        self.gru = GRU(block.gru, dtype)

    def forward(self, x: Tensor, f: Tensor, s: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        by_passing, x = F.relu(self.conv(double_to(x, s), f, s)).chunk(2, 1)
        r = self.gru(x, r)
        return torch.cat([by_passing, r.to(x.dtype)], 1), r


class GRU(nn.Module):
    """A ConvGRU's step: x in dtype, h float32 -> h float32."""

    def __init__(self, gru: ConvGRU, dtype: torch.dtype):
        super().__init__()
        gates, candidate = gru.ih[0], gru.hh[0]
        assert isinstance(candidate, nn.Conv2d)
        self.channels = C = candidate.out_channels  # noqa: N806
        # Two convolutions with half the outputs each, instead of one whose outputs must be split.
        self.reset = JoinedConvolution(gates, (C, C), dtype, slice(0, C))
        self.update = JoinedConvolution(gates, (C, C), dtype, slice(C, 2 * C))
        self.candidate = JoinedConvolution(candidate, (C, C), dtype)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        before = h.to(x.dtype)
        r, z = self.reset(x, before).sigmoid(), self.update(x, before).sigmoid()
        c = self.candidate(x, r * before).tanh()
        return h + z.float() * (c.float() - h)


class JoinedConvolution(nn.Module):
    """A convolution over the channels of several tensors without concatenating them: the sum of one convolution per
    tensor, which OpenVINO accumulates. channels: of the tensors. outputs: the output channels to compute."""

    def __init__(self, conv: nn.Module, channels: Sequence[int], dtype: torch.dtype, outputs: slice = slice(None)):
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        assert sum(channels) == conv.in_channels
        assert conv.bias is not None
        self.padding = conv.padding
        self.weights = [w.contiguous() for w in conv.weight[outputs].to(dtype).split(list(channels), 1)]
        self.bias = conv.bias[outputs].to(dtype)

    def forward(self, *tensors: Tensor) -> Tensor:
        biases = self.bias, *[None] * (len(tensors) - 1)
        parts = zip(tensors, self.weights, biases, strict=True)
        first, *rest = (F.conv2d(x, weight, bias, padding=self.padding) for x, weight, bias in parts)
        for part in rest:
            first = first + part
        return first


def _copy(module: Any, dtype: torch.dtype) -> Any:
    """A copy of the module in a dtype; the module itself for float32."""
    return module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
