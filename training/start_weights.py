"""The network that a run starts from: with random weights or from a weights file."""

import logging

import torch
from torch import nn

from ..core import STARTER_VARIANT, DownloadError, MattingNetwork, StudioError, find_weights, load_network

logger = logging.getLogger(__name__)

PARTS = ("backbone", "aspp", "decoder", "refiner")


def start_network(
    variant: str, seed: int, init: str | None, statistics: str = "auto"
) -> tuple[MattingNetwork, tuple[str, ...]]:
    """(network with a deep guided filter, names of the parts whose batch statistics stay fixed).

    init: None for random weights; "imagenet" for an encoder trained on ImageNet, as in the paper (downloaded by
    torchvision); "official" (downloaded), "starter" (bundled) or a path for a trained matting network.
    statistics: "train": trained everywhere; "eval": fixed in every part that comes from a matting network; "auto":
    fixed where the file's batch normalisation is folded into the convolutions, because its statistics are placeholders.
    Raises StudioError like core's `read_weights`, and if torchvision cannot provide its file.
    """
    torch.manual_seed(seed)
    network = _on_imagenet(variant) if init == "imagenet" else MattingNetwork(variant)
    if init in (None, "imagenet"):
        return network, ()
    try:
        path = find_weights(variant, None if init == "official" else init)
    except DownloadError as error:
        error.choices = (
            "run again with a network connection; to download from another address, set the variable RVM_MIRROR",
            f"put {error.file_name} into {error.folder}, or give a file that you have with --init FILE",
            f"start without these weights: --init scratch or, for a rough {STARTER_VARIANT}, --init starter",
        )
        raise
    loaded = load_network(path, variant)
    state = {
        name: x
        for name, x in loaded.state_dict().items()
        if loaded.has_segmentation or not name.startswith("project_seg.")
    }
    network.load_state_dict(state, strict=False)
    if not loaded.has_segmentation:
        logger.warning("%s has no segmentation head: a new one is trained", path)
    with_refiner = loaded.refiner_name == network.refiner_name
    if not with_refiner:
        logger.warning("%s has no refiner: a new one is trained in stages 3 and 4", path)
    there = [part for part in PARTS if part != "refiner" or with_refiner]
    if statistics == "train":
        return network, ()
    fixed = tuple(part for part in there if statistics == "eval" or is_folded(getattr(network, part)))
    if fixed:
        logger.info("batch statistics stay fixed in: %s", ", ".join(fixed))
    return network, fixed


def _on_imagenet(variant: str) -> MattingNetwork:
    try:
        return MattingNetwork(variant, pretrained_backbone=True)
    except Exception as error:  # no network connection, or a damaged file, which can raise nearly anything
        raise StudioError(
            f"torchvision cannot provide its ImageNet weights ({error}). Put the file into {torch.hub.get_dir()}"
            "/checkpoints by hand, or use other weights: --init scratch, official, starter or a file."
        ) from error


def is_folded(module: nn.Module) -> bool:
    """Whether all batch statistics in a module are the placeholders of folded ones: mean 0, variance 1 - eps."""
    norms = [x for x in module.modules() if isinstance(x, nn.BatchNorm2d)]
    return bool(norms) and all(
        x.running_mean is not None
        and x.running_var is not None
        and not bool(x.running_mean.any())
        and bool(((x.running_var + x.eps - 1).abs() < 1e-6).all())
        for x in norms
    )
