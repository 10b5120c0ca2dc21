"""From a variant and a device to an engine that is ready to run: the one path for the command line and for Python."""

import logging
import os

import torch

from ..errors import StudioError
from ..machine.device import choose_device
from ..network import MattingNetwork
from ..weights import network_weights as weights_files
from . import Engine, build, choose, load_ahead

log = logging.getLogger(__name__)

_REFINERS = {"deep": weights_files.DEEP, "fast": weights_files.FAST}


def load(
    variant: str = "mobilenetv3",
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    engine: str = "auto",
    precision: str | torch.dtype = "auto",
    *,
    threads: int | None = None,
    refiner: str = "auto",
    mirror: str | None = None,
) -> Engine:
    """The network with its weights, in the fastest engine that is known to be right on this machine: the choice that
    the command line makes. An engine holds no stream's memory, so one serves any number of clips and sessions.

    variant: "mobilenetv3", or "resnet50": larger, slightly better, slower.
    weights: a file, a folder that holds one, or "starter" for the small ones of this package. None: the file that
        RVM_WEIGHTS names, else the official ones, which are downloaded once and verified.
    device: "auto" (a GPU that PyTorch can use, else the CPU), "cpu", "cuda", "cuda:1", "xpu", "mps".
    engine: "auto", "eager" (plain PyTorch), "folded", "openvino" (CPU), "graph", "compile" (experimental on GPUs).
    precision: "auto", "fp32", "fp16", "bf16", "mixed" (CPU: bf16 but for the encoder), or a torch.dtype.
    threads: of the CPU, for all of PyTorch in this process; None: as they are set (all cores).
    refiner: "deep" (learned), "fast" (a plain filter), or "auto": the one the weights are for.
    mirror: the address to download weights from instead.

    Raises StudioError for what this machine cannot do, and DownloadError, a kind of it, where the weights cannot be
    downloaded.

    >>> import rvm_studio
    >>> engine = rvm_studio.load(device="cpu")
    >>> engine.variant, str(engine.device)
    ('mobilenetv3', 'cpu')
    """
    if threads is not None:
        if not isinstance(threads, int) or threads < 1:
            raise StudioError(f"The number of threads is {threads!r}; it must be a whole number from 1 on (or None).")
        torch.set_num_threads(threads)
    choice = choose(choose_device(device), engine, precision)
    load_ahead(choice)
    network = find_network(variant, weights, refiner=refiner, mirror=mirror)
    ready = build(network, choice)
    log.info("network: %s, engine %s", variant, choice)
    return ready


def find_network(
    variant: str = "mobilenetv3",
    weights: str | os.PathLike[str] | None = None,
    *,
    refiner: str = "auto",
    mirror: str | None = None,
) -> MattingNetwork:
    """The bare network with its weights: eval mode, float32, on the CPU. The parameters are those of `load`.

    >>> from rvm_studio.core import find_network
    >>> find_network().variant
    'mobilenetv3'
    """
    path = weights_files.find(variant, weights, mirror)
    return weights_files.load_network(path, variant, _REFINERS.get(refiner, refiner))
