"""Which network, with which weights, on which device: options shared by the commands that run one."""

import argparse
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engines import Engine

log = logging.getLogger(__name__)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the group of options that `load_engine` reads."""
    model = parser.add_argument_group("network")
    model.add_argument(
        "--variant",
        choices=("mobilenetv3", "resnet50"),
        default="mobilenetv3",
        help="mobilenetv3 (default, fast) or resnet50 (larger, a little better, slower)",
    )
    model.add_argument(
        "--weights",
        metavar="PATH",
        help='weights file, or "starter" for the bundled trial weights (default: RVM_WEIGHTS, else downloaded once)',
    )
    model.add_argument("--mirror", metavar="URL", help="where to download weights from instead")
    model.add_argument(
        "--refiner",
        choices=("auto", "deep", "fast"),
        default="auto",
        help="how edges get their full resolution: deep (learned), fast (plain filter), or auto: whichever the "
        "weights are for",
    )
    model.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, xpu, mps")
    model.add_argument("--precision", default="auto", help="auto (default), fp32, fp16, bf16")
    model.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: all cores)")


def load_engine(arguments: argparse.Namespace) -> "Engine":
    """The network with its weights on its device. Raises StudioError where that cannot be."""
    import torch

    from . import weights
    from .device import DTYPE_NAMES, choose_device, choose_dtype
    from .engines import EagerEngine

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    refiner = {"auto": "auto", "deep": "deep_guided_filter", "fast": "fast_guided_filter"}[arguments.refiner]
    path = weights.find(arguments.variant, arguments.weights, arguments.mirror)
    network = weights.load_network(path, arguments.variant, refiner)
    log.info("network: %s on %s, %s", arguments.variant, device, DTYPE_NAMES[dtype])
    return EagerEngine(network, device, dtype)


def at_least(smallest: int):
    """A type of argparse: a whole number not below `smallest`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return number

    return parse
