"""Estimates how much GPU memory a preset needs, from what autograd keeps in a small forward pass."""

# B clips, T frames, S side

import torch
from torch import Tensor, nn

from ..core import MattingNetwork
from .augmentation import MattingBatch
from .recipe import PRESETS, Preset, stages_for
from .recomputation import recomputed_modules
from .step import pass_loss, train_mode

CONTEXT = 0.8 * 2**30  # bytes that CUDA and its libraries always take
SLACK = 1.2  # for workspaces, gradients in the backward pass, and fragmentation
_SIDE, _FRAMES = 256, 2
_BYTES_OF_PARAMETER = 16  # value, gradient and Adam's two means
_BYTES_OF_INPUT = 10 * 4 + 7  # per pixel: src, fgr, pha and bgr in float32, and fgr, pha and bgr in uint8


def estimate(preset: Preset, variant: str, stages: tuple[int, ...] = (1, 2, 3, 4), clips: int | None = None) -> float:
    """Bytes of GPU memory in the most demanding pass of the stages. A rough estimate, off by some ten percent."""
    network = MattingNetwork(variant)
    parameters = sum(x.numel() for x in network.parameters())
    most = 0.0
    kept: dict[float, tuple[float, float, float]] = {}
    for stage in (stage for stage in stages_for(preset) if stage.number in stages):
        for part in (stage.low, stage.high):
            if part is None:
                continue
            if part.ratio not in kept:
                kept[part.ratio] = bytes_per_pixel(network, part.ratio)
            whole, between, block = kept[part.ratio]
            pixels = (clips or preset.clips) * part.frames * part.size**2
            layers = between + block if preset.checkpoint_frames else whole
            if preset.precision != "float32":
                layers *= 0.6  # activations take half; losses, the filter and copies of weights do not
            most = max(most, pixels * (layers + _BYTES_OF_INPUT))
    return CONTEXT + parameters * _BYTES_OF_PARAMETER + SLACK * most


def bytes_per_pixel(network: MattingNetwork, ratio: float) -> tuple[float, float, float]:
    """Bytes per full-size pixel and frame in float32 that are kept for the backward pass: (all of them, those between
    and outside the recomputed blocks, those of the largest block)."""
    owned = {x.untyped_storage().data_ptr() for x in network.parameters()}
    inside: list[str] = []
    sizes: dict[str, dict[int, int]] = {"": {}}
    between: dict[int, int] = {}
    # referenced until the end, so that no address is used twice
    held: list[Tensor] = []

    def note(place: dict[int, int], x: Tensor) -> None:
        storage = x.untyped_storage()
        if storage.data_ptr() not in owned:
            place[storage.data_ptr()] = storage.nbytes()
            held.append(x)

    def pack(x: Tensor) -> Tensor:
        note(sizes.setdefault(inside[-1] if inside else "", {}), x)
        return x

    def enter(name: str):
        def hook(_module: nn.Module, inputs: tuple) -> None:
            note(between, inputs[0])
            inside.append(name)

        return hook

    hooks = []
    for place, module in enumerate(recomputed_modules(network)):
        hooks.append(module.register_forward_pre_hook(enter(str(place))))
        hooks.append(module.register_forward_hook(lambda *_: (inside.pop(), None)[1]))
    train_mode(network)
    shape = (1, _FRAMES, 3, _SIDE, _SIDE)
    batch = MattingBatch(torch.rand(shape), torch.rand(shape), torch.rand(1, _FRAMES, 1, _SIDE, _SIDE))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            pass_loss(network, batch, ratio)
    finally:
        for hook in hooks:
            hook.remove()
    pixels = _FRAMES * _SIDE**2
    everything = {address: size for part in sizes.values() for address, size in part.items()}
    outside = {**sizes.pop(""), **between}
    block = max(sum(part.values()) for part in sizes.values())
    return sum(everything.values()) / pixels, sum(outside.values()) / pixels, block / pixels


def table(preset: Preset, variant: str, stages: tuple[int, ...], clips: int | None) -> str:
    """Lines to print: the estimate for this run, and those for the presets for single GPUs."""
    own = estimate(preset, variant, stages, clips) / 2**30
    lines = [f"estimated GPU memory: {own:.1f} GB for this run"]
    for name in ("8gb", "12gb", "24gb"):
        other = PRESETS[name]
        if name != preset.name:
            lines.append(f"  preset {name}, {other.title}: {estimate(other, variant, stages) / 2**30:.1f} GB")
    return "\n".join(lines)
