"""`rvm-studio weights list | fetch | convert | check`. The caller prints StudioError."""

import argparse
from pathlib import Path

from ..errors import DownloadError, StudioError
from ..machine.cache_folder import models_dir
from ..weights.download import CATALOGUE, STARTER_VARIANT

# Functions that open weights import network_weights locally: it imports torch, which listing and --help do not need.


def add_parser(subparsers) -> None:
    """Adds `weights` to the command line's subparsers; each command sets `run` (namespace -> exit code)."""
    parser = subparsers.add_parser("weights", help="list, fetch, convert and check the network's weights")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("list", help="list the published weights, and which of them are installed")
    command.set_defaults(run=list_weights)

    command = commands.add_parser("fetch", help="download, verify and convert published weights")
    command.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(CATALOGUE)} (default: mobilenetv3)")
    command.add_argument("--all", action="store_true", help="download all of them")
    command.add_argument(
        "--mirror", metavar="URL", help="base URL to download from instead: https, http or file (default: RVM_MIRROR)"
    )
    command.set_defaults(run=fetch_weights)

    command = commands.add_parser("convert", help="convert a .pth, .pt or .safetensors file to our .safetensors format")
    command.add_argument("src", type=Path, metavar="SRC")
    command.add_argument("dst", type=Path, metavar="DST", help="the .safetensors file to write; replaced if it exists")
    command.add_argument("--half", action="store_true", help="save half precision, which halves the size")
    command.set_defaults(run=convert_weights)

    command = commands.add_parser("check", help="show the content of weights files, and whether they are intact")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    command.set_defaults(run=check_weights)


def list_weights(_: argparse.Namespace) -> int:
    """Prints name, variant, size, licence and installed file of all published weights, and the models folder."""
    folder = models_dir()
    rows = [("NAME", "VARIANT", "SIZE", "LICENCE", "STATE")]
    for entry in CATALOGUE.values():
        path = folder / entry.installed_name
        if path.is_file():
            size, state = f"{path.stat().st_size / 1e6:.0f} MB", f"installed: {path}"
        else:
            size, state = f"{entry.size / 1e6:.0f} MB", f"not installed (rvm-studio weights fetch {entry.name})"
        rows.append((entry.name, entry.variant, size, entry.licence, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"models folder: {folder} (set RVM_MODELS_DIR to change it)")
    print(f"bundled starter weights for {STARTER_VARIANT}: --weights starter (see assets/starter_weights.md)")
    return 0


def fetch_weights(arguments: argparse.Namespace) -> int:
    """Downloads the named weights (default: mobilenetv3) and prints where they are."""
    from ..weights.network_weights import fetch

    names = list(CATALOGUE) if arguments.all else arguments.names or ["mobilenetv3"]
    if unknown := [name for name in names if name not in CATALOGUE]:
        raise StudioError(f"There are no weights named {', '.join(unknown)}. Use {' or '.join(CATALOGUE)}.")
    for name in names:
        try:
            print(f"{name}: {fetch(name, arguments.mirror)}")
        except DownloadError as error:
            error.choices = (
                f"download it from another address: rvm-studio weights fetch {name} --mirror URL",
                f"put {error.file_name} (from {CATALOGUE[name].url}) into {error.folder}",
                f"for a rough matte, use the bundled {STARTER_VARIANT} weights: rvm-studio matte ... --weights starter",
            )
            raise
    return 0


def convert_weights(arguments: argparse.Namespace) -> int:
    """Converts SRC to DST and prints a summary of DST."""
    from ..weights.network_weights import check, convert

    print(check(convert(arguments.src, arguments.dst, half=arguments.half)))
    return 0


def check_weights(arguments: argparse.Namespace) -> int:
    """Prints a summary of each file. Damaged files are reported together at the end."""
    from ..weights.network_weights import check

    broken = []
    for path in arguments.paths:
        try:
            print(check(path))
        except StudioError as error:
            broken.append(str(error))
    if broken:
        raise StudioError("\n".join(broken))
    return 0
