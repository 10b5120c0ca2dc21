"""Saves memory at the cost of time: activations are not kept for the backward pass, but recomputed block by block.

Splitting the whole network in time would change what is learnt, because batch normalisation would compute its
statistics over a part of the frames. So the modules with batch normalisation (the encoder's blocks, the pooling, the
decoder's convolutions) are recomputed over all frames, one block after the other. Only the recurrent units, which have
none, are split in time. The gradients are the same as without recomputation.
"""

# B batch, T frames, C channels, H, W

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..core import MattingNetwork
from ..core.network.backbone import MobileNetV3Encoder
from ..core.network.recurrent_decoder import ConvGRU


def recompute_activations(network: MattingNetwork, frames: int) -> None:
    """Changes the network: in training it keeps only the inputs and outputs of its blocks, and the recurrent state of
    every `frames`-th frame. The state-dict keys do not change."""
    assert frames > 0, frames
    for block in _blocks(network):
        _wrap_block(block)
    for gru in _recurrent_units(network):
        _wrap_gru(gru, frames)


def recomputed_modules(network: MattingNetwork) -> list[nn.Module]:
    """The modules whose activations are recomputed."""
    return [*_blocks(network), *_recurrent_units(network)]


def _recurrent_units(network: MattingNetwork) -> list[ConvGRU]:
    return [module for module in network.modules() if isinstance(module, ConvGRU)]


def _blocks(network: MattingNetwork) -> Iterator[nn.Module]:
    backbone = network.backbone
    if isinstance(backbone, MobileNetV3Encoder):
        yield from backbone.features
    else:
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            yield from layer
    yield network.aspp
    decoder = network.decoder
    yield from (block.conv for block in (decoder.decode3, decoder.decode2, decoder.decode1, decoder.decode0))


def _wrap_block(block: nn.Module) -> None:
    forward = block.forward

    def recomputed(x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(x)
        return checkpoint(
            forward, x, use_reentrant=False, context_fn=lambda: _contexts(block), preserve_rng_state=False
        )

    block.forward = recomputed


def _wrap_gru(gru: ConvGRU, frames: int) -> None:
    forward = gru.forward

    def recomputed(x: Tensor, h: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        steps = x.unflatten(0, (batch, -1))  # [B, T, C, H, W]
        if not torch.is_grad_enabled() or steps.shape[1] <= frames:
            return forward(x, h, batch)
        state = torch.zeros_like(steps[:, 0]) if h is None else h
        outputs = []
        for piece in steps.split(frames, 1):
            y, state = checkpoint(
                forward, piece.flatten(0, 1), state, batch, use_reentrant=False, preserve_rng_state=False
            )
            outputs.append(y.unflatten(0, (batch, -1)))
        return torch.cat(outputs, 1).flatten(0, 1), state

    gru.forward = recomputed


def _contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _without_counting(block)


@contextmanager
def _without_counting(block: nn.Module) -> Iterator[None]:
    """Keeps the running statistics of batch normalisation unchanged, because the first forward pass has already updated
    them with this batch: the recomputation works on copies."""
    norms = [x for x in block.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm) and x.training]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        norm._buffers.update({name: x if x is None else x.clone() for name, x in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
