"""Which network, with which weights, on which device: options shared by the commands that run one."""

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
        help="mobilenetv3 (default, fast) or resnet50 (larger, a little better, slower)",
    )
    group.add_argument(
        "--weights",
        metavar="PATH",
        help='weights file, or "starter" for the bundled trial weights (default: RVM_WEIGHTS, else downloaded once)',
    )
    group.add_argument("--mirror", metavar="URL", help="where to download weights from instead")
    group.add_argument(
        "--refiner",
        choices=("auto", "deep", "fast"),
        default="auto",
        help="how edges get their full resolution: deep (learned), fast (plain filter), or auto: whichever the "
        "weights are for",
    )


def add_engine_options(model: argparse._ArgumentGroup) -> None:
    """Adds the options that `load_engine` reads besides."""
    model.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, xpu, mps")
    model.add_argument(
        "--engine",
        choices=("auto", "eager", "folded", "openvino", "graph", "compile"),
        default="auto",
        help="how the network is run: auto (default: the fastest here, see `rvm-studio info`), eager (plain PyTorch), "
        "folded (plain PyTorch, reordered for the CPU), openvino (CPU), graph (graphics cards; experimental: not yet "
        "tried on one), compile (as graph, and the network by torch.compile, which takes minutes at the first start; "
        "also on the CPU, slower than openvino)",
    )
    model.add_argument(
        "--precision",
        default="auto",
        help="auto (default: fp16 on cards that compute it well; on CPUs with bf16 mixed, else fp32), fp32, fp16, bf16 "
        "(on a CPU the fastest, and visibly coarser in soft edges), mixed (CPU: bf16 but for the encoder)",
    )
    model.add_argument("--threads", type=at_least(1), metavar="N", help="CPU threads (default: all cores)")


def load_engine(arguments: argparse.Namespace) -> "Engine":
    """The network with its weights in the engine for its device. Raises StudioError where that cannot be."""
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
    """The network with its weights. Raises StudioError where that cannot be."""
    from ..engines import loading as engine_loading

    with _choices_of_the_command_line():
        return engine_loading.find_network(
            arguments.variant, arguments.weights, refiner=arguments.refiner, mirror=arguments.mirror
        )


@contextlib.contextmanager
def _choices_of_the_command_line() -> Iterator[None]:
    """Where the weights cannot be downloaded, the error names what can be typed instead."""
    try:
        yield
    except DownloadError as error:
        variant = "" if error.name == STARTER_VARIANT else f"--variant {STARTER_VARIANT} "
        error.choices = (
            f"with a network: rvm-studio weights fetch {error.name}",
            f"put {error.file_name} into {error.folder}, or name a file that you have: --weights FILE",
            f"bundled, rough: {variant}--weights starter",
        )
        raise


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
