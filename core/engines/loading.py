"""Makes an engine that is ready to run from a variant and a device, for the command line and for Python alike."""

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
    """Loads the network with its weights into the fastest engine verified for this machine, as the command line does.
    An engine keeps no stream's state, so one serves any number of clips and sessions.

    variant: "mobilenetv3", or "resnet50": larger, slightly better, slower.
    weights: a file, a folder with one, or "starter" for the small bundled ones. None: the file in the variable
        RVM_WEIGHTS, else the official weights, which are downloaded once and verified.
    device: "auto" (a GPU that PyTorch can use, else the CPU), "cpu", "cuda", "cuda:1", "xpu", "mps".
    engine: "auto", "eager" (plain PyTorch), "folded", "openvino" (CPU), "graph", "compile" (experimental on GPUs).
    precision: "auto", "fp32", "fp16", "bf16", "mixed" (CPU: bf16 except for the encoder), or a torch.dtype.
    threads: of the CPU, for all of PyTorch in this process; None: unchanged (all cores).
    refiner: "deep" (learned), "fast" (a plain filter), or "auto": the one the weights have.
    mirror: another address to download weights from.

    Raises StudioError for what this machine cannot do, and its subclass DownloadError if the weights cannot be
    downloaded.

    >>> import rvm_studio
    >>> engine = rvm_studio.load(device="cpu")
    >>> engine.variant, str(engine.device)
    ('mobilenetv3', 'cpu')
    """
    if threads is not None:
        if not isinstance(threads, int) or threads < 1:
            raise StudioError(f"The number of threads is {threads!r}; it must be a whole number, at least 1, or None.")
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
    """Loads the bare network with its weights: eval mode, float32, on the CPU. Parameters as in `load`.

    >>> from rvm_studio.core import find_network
    >>> find_network().variant
    'mobilenetv3'
    """
    path = weights_files.find(variant, weights, mirror)
    return weights_files.load_network(path, variant, _REFINERS.get(refiner, refiner))
