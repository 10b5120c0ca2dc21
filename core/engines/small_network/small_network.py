"""The network without the full-size pass, prepared to run fast: BatchNorm folded into the convolutions, and divided
into parts that an engine runs at once. Each part is a module with tensors in and tensors out.

    Encoder   small [N, 3, h, w] -> f1, f2, f3 and the pooled f4
    Decoder   small, f1..f4, r1..r4 -> matte [N, C, h, w], (with `hidden` hid [N, 16, h, w]), r1..r4
    Slope     statistics [N, 8, h, w], hid -> A [N, C, h, w]: the learned part of the deep guided filter

`matte` is the head's output: the foreground's difference from the picture (R, G, B) and alpha, C = 4; or C = 1, alpha
alone, without `foreground`.
"""

# N frames of one stream, C channels, h, w small size; rec = (r1, r2, r3, r4) at 1/2, 1/4, 1/8, 1/16 of it

import copy
import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...network import MattingNetwork, Rec
from ...network.guided_filter import DeepGuidedFilterRefiner
from ...network.recurrent_decoder import ConvGRU


def folded(network: MattingNetwork) -> MattingNetwork:
    """A copy of the network for inference, float32 on the CPU, with BatchNorm folded into the convolutions."""
    network = copy.deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(False)
    _fold(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    return network


def _fold(module: nn.Module) -> None:
    before: tuple[str, nn.Module | None] = "", None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            conv_name, conv = before
            assert isinstance(conv, nn.Conv2d), f"{name} does not follow a convolution"
            setattr(module, conv_name, fuse_conv_bn_eval(conv, child))
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        before = name, child


def first_states(network: MattingNetwork, height: int, width: int) -> Rec:
    """The state at a stream's start, zeros, for small pictures of this size."""
    blocks = (network.decoder.decode1, network.decoder.decode2, network.decoder.decode3, network.decoder.decode4)
    states = []
    for block in blocks:
        height, width = (height + 1) // 2, (width + 1) // 2
        gru = block.gru
        assert isinstance(gru, ConvGRU)
        output = gru.hh[0]
        assert isinstance(output, nn.Conv2d)
        states.append(torch.zeros(1, output.out_channels, height, width))
    r1, r2, r3, r4 = states
    return r1, r2, r3, r4


class Encoder(nn.Module):
    def __init__(self, network: MattingNetwork):
        super().__init__()
        self.backbone, self.aspp = network.backbone, network.aspp

    def forward(self, small: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        f1, f2, f3, f4 = self.backbone(small)
        return f1, f2, f3, self.aspp(f4)


class Decoder(nn.Module):
    def __init__(self, network: MattingNetwork, foreground: bool, hidden: bool):
        super().__init__()
        self.decoder, self.hidden = network.decoder, hidden
        self.head = head_of(network, foreground)

    def forward(
        self,
        small: Tensor,
        f1: Tensor,
        f2: Tensor,
        f3: Tensor,
        f4: Tensor,
        r1: Tensor,
        r2: Tensor,
        r3: Tensor,
        r4: Tensor,
    ) -> tuple[Tensor, ...]:
        hid, rec = self.decoder(small, (f1, f2, f3, f4), (r1, r2, r3, r4), 1)
        return self.head(hid), *((hid,) if self.hidden else ()), *rec


class Slope(nn.Module):
    def __init__(self, refiner: DeepGuidedFilterRefiner, foreground: bool):
        super().__init__()
        first, *rest, last = refiner.conv
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        self.first: nn.Conv2d = first
        self.rest = nn.Sequential(*rest)
        self.last = last if foreground else _last_channel(last)

    def forward(self, statistics: Tensor, hid: Tensor) -> Tensor:
        # The first convolution over both inputs, without concatenating them.
        weight, bias = self.first.weight, self.first.bias
        x = F.conv2d(statistics, weight[:, :8]) + F.conv2d(hid, weight[:, 8:], bias)
        return self.last(self.rest(x))


class NetworkParts:
    """The parts of a folded network in `dtype` and channels-last order, on the network's device; each is made once."""

    def __init__(self, network: MattingNetwork, dtype: torch.dtype):
        def ready(part: nn.Module) -> nn.Module:
            return part.to(dtype).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

        self.network = network
        self.encoder = ready(Encoder(network))
        self.decoder = functools.cache(lambda foreground, hidden: ready(Decoder(network, foreground, hidden)))
        self.slope = functools.cache(lambda foreground: ready(new_slope(network, foreground)))


def new_slope(network: MattingNetwork, foreground: bool) -> Slope:
    """The Slope of a network that has the deep guided filter."""
    assert isinstance(network.refiner, DeepGuidedFilterRefiner)
    return Slope(network.refiner, foreground)


def head_of(network: MattingNetwork, foreground: bool) -> nn.Conv2d:
    """The 1x1 convolution that gives `matte`."""
    return network.project_mat.conv if foreground else _last_channel(network.project_mat.conv)


def _last_channel(conv: nn.Conv2d) -> nn.Conv2d:
    """The 1x1 convolution that gives the last output channel alone: alpha."""
    alone = nn.Conv2d(conv.in_channels, 1, 1, device=conv.weight.device, dtype=conv.weight.dtype).requires_grad_(False)
    assert conv.bias is not None
    assert alone.bias is not None
    alone.weight.copy_(conv.weight[-1:])
    alone.bias.copy_(conv.bias[-1:])
    return alone
