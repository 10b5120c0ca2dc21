"""Options for the network, its weights and its device, shared by the commands that run the network."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..clips.option_table import options_of
from ..errors import DownloadError
from ..weights.download import STARTER_VARIANT
from .option_parsing import add_rows

if TYPE_CHECKING:
    from ..engines import Engine
    from ..network import MattingNetwork

_OF_THE_NETWORK = ("variant", "weights", "mirror", "refiner")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the group of options that `load_engine` reads."""
    add_rows(parser.add_argument_group("network"), options_of("network"))


def add_network_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options that `find_network` reads."""
    add_rows(group, [option for option in options_of("network") if option.name in _OF_THE_NETWORK])


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
