"""Options for the network, its weights and its device, shared by the commands that run the network."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import DownloadError
from ..weights.download import STARTER_VARIANT

if TYPE_CHECKING:
    from ..engines import Engine
    from ..network import MattingNetwork


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the group of options that `load_engine` reads."""
    model = parser.add_argument_group("network")
    add_network_options(model)
    add_engine_options(model)


def add_network_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options that `find_network` reads."""
    group.add_argument(
        "--variant",
        choices=("mobilenetv3", "resnet50"),
        default="mobilenetv3",
        help="mobilenetv3 (default, fast) or resnet50 (larger, slightly better, slower)",
    )
    group.add_argument(
        "--weights",
        metavar="PATH",
        help='weights file, or "starter" for the bundled weights (default: RVM_WEIGHTS, else downloaded once)',
    )
    group.add_argument("--mirror", metavar="URL", help="download weights from this address instead")
    group.add_argument(
        "--refiner",
        choices=("auto", "deep", "fast"),
        default="auto",
        help="how edges are upsampled to full resolution: deep (learned), fast (plain filter), or auto (default: the "
        "one for which the weights were trained)",
    )


def add_engine_options(model: argparse._ArgumentGroup) -> None:
    """Adds the other options that `load_engine` reads."""
    model.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, xpu, mps")
    model.add_argument(
        "--engine",
        choices=("auto", "eager", "folded", "openvino", "graph", "compile"),
        default="auto",
        help="how the network runs: auto (default: the fastest for this machine, see `rvm-studio info`), eager (plain "
        "PyTorch), folded (PyTorch, optimised for CPUs), openvino (CPU), graph (GPU; experimental: supported, not "
        "tested), compile (like graph, with torch.compile, which takes minutes at the first start; on a CPU, "
        "slower than openvino)",
    )
    model.add_argument(
        "--precision",
        default="auto",
        help="auto (default: fp16 on GPUs that compute it well, mixed on CPUs with bf16, else fp32), fp32, fp16, bf16 "
        "(the fastest on a CPU, with visibly coarser soft edges), mixed (CPU: bf16 except in the encoder)",
    )
    model.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: all cores)")


def load_engine(arguments: argparse.Namespace) -> "Engine":
    """The engine that the options select, with its weights. Raises StudioError if it cannot be built."""
    from ..engines.loading import load

    with _choices_of_the_command_line():
        return load(
            arguments.variant,
            arguments.weights,
            arguments.device,
            arguments.engine,
            arguments.precision,
            threads=arguments.threads,
            refiner=arguments.refiner,
            mirror=arguments.mirror,
        )


def find_network(arguments: argparse.Namespace) -> "MattingNetwork":
    """The network that the options select, with its weights. Raises StudioError if it cannot be built."""
    from ..engines import loading as engine_loading

    with _choices_of_the_command_line():
        return engine_loading.find_network(
            arguments.variant, arguments.weights, refiner=arguments.refiner, mirror=arguments.mirror
        )


@contextlib.contextmanager
def _choices_of_the_command_line() -> Iterator[None]:
    """A context that adds command lines to the error of a failed download."""
    try:
        yield
    except DownloadError as error:
        variant = "" if error.name == STARTER_VARIANT else f"--variant {STARTER_VARIANT} "
        error.choices = (
            f"when you are online: rvm-studio weights fetch {error.name}",
            f"put {error.file_name} into {error.folder}, or use another file: --weights FILE",
            f"for a rough matte, use the bundled weights: {variant}--weights starter",
        )
        raise


def at_least(smallest: int):
    """A type for argparse: a whole number of at least `smallest`.

    Args:
        smallest: The lowest accepted number.

    Returns:
        A function that converts a text, or raises argparse.ArgumentTypeError.

    Example:
        >>> from rvm_studio import core
        >>> core.at_least(1)("12")
        12
    """

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return number

    return parse
