"""`rvm-studio export`: writes the network as a file for other programs."""

import argparse
from pathlib import Path

from ..machine.install_advice import command_for_extra
from .model_options import add_network_options, find_network
from .stop_signals import interruptible


def add_parser(subparsers) -> None:
    """Adds `export` to the command line's subparsers."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as ONNX, OpenVINO IR, TorchScript or torch.export",
        description="Write the network for other programs. The suffix selects the format: .onnx, .xml (OpenVINO IR), "
        ".pt (TorchScript), .pt2 (torch.export). The file is run and compared with the network before it gets its "
        f"name. For ONNX and OpenVINO, first run: {command_for_extra('export').replace('%', '%%')}",
    )
    parser.add_argument("output", metavar="OUTPUT", help="the file to write")
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="WxH",
        help="static form: one size, a constant ratio, states of fixed shapes, e.g. for TensorRT (default: any size)",
    )
    parser.add_argument(
        "--downsample",
        type=parse_ratio,
        metavar="RATIO",
        help="constant downsample ratio (default: with --size as in matting, else an input of the model, below 1)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_network_options(parser.add_argument_group("network"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the file and prints its largest difference from the network."""
    from ..export import export

    network = find_network(arguments)
    with interruptible():
        difference = export(
            network,
            Path(arguments.output),
            size=arguments.size,
            downsample_ratio=arguments.downsample,
            overwrite=arguments.overwrite,
        )
    print(f"{arguments.output}\n  differs from the network by at most {difference:.1g} over three frames")
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """ "1920x1080" -> (height, width)."""
    width, _, height = text.lower().partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected WIDTHxHEIGHT, such as 1920x1080")
    return int(height), int(width)


def parse_ratio(text: str) -> float:
    """A type for argparse: a number above 0 and at most 1."""
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a ratio; expected a number above 0 and at most 1")
    return ratio
