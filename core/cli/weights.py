"""`rvm-studio weights list | fetch | convert | check`. StudioError is left to the caller to print."""

import argparse
from pathlib import Path

from ..errors import DownloadError, StudioError
from ..machine.cache_folder import models_dir
from ..weights.download import CATALOGUE, STARTER_VARIANT

# The functions that open weights import .weights themselves: it brings torch, which listing and --help do not need.


def add_parser(subparsers) -> None:
    """Add `weights` to the command line's subparsers; each command sets `run` (namespace -> exit code)."""
    parser = subparsers.add_parser("weights", help="list, fetch, convert and check the network's weights")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("list", help="the weights that can be fetched, and which of them are installed")
    command.set_defaults(run=list_weights)

    command = commands.add_parser("fetch", help="download, verify and convert published weights")
    command.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(CATALOGUE)} (default: mobilenetv3)")
    command.add_argument("--all", action="store_true", help="all of them")
    command.add_argument(
        "--mirror", metavar="URL", help="base address to fetch from instead: https, http or file (or RVM_MIRROR)"
    )
    command.set_defaults(run=fetch_weights)

    command = commands.add_parser("convert", help="turn a .pth, .pt or .safetensors into our .safetensors")
    command.add_argument("src", type=Path, metavar="SRC")
    command.add_argument("dst", type=Path, metavar="DST", help="a .safetensors file; replaced where it exists")
    command.add_argument("--half", action="store_true", help="in half precision: half as large")
    command.set_defaults(run=convert_weights)

    command = commands.add_parser("check", help="show what weights files hold, and whether they are intact")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    command.set_defaults(run=check_weights)


def list_weights(_: argparse.Namespace) -> int:
    """Name, variant, size, licence, whether it is installed and where; then the models folder."""
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
    print(f"models folder: {folder} (RVM_MODELS_DIR chooses another)")
    print(f"bundled trial weights for {STARTER_VARIANT}: --weights starter (see assets/starter_weights.md)")
    return 0


def fetch_weights(arguments: argparse.Namespace) -> int:
    """Fetch the named weights (none named: mobilenetv3) and print where they are."""
    from ..weights.network_weights import fetch

    names = list(CATALOGUE) if arguments.all else arguments.names or ["mobilenetv3"]
    if unknown := [name for name in names if name not in CATALOGUE]:
        raise StudioError(f"There are no weights named {', '.join(unknown)}. Use {' or '.join(CATALOGUE)}.")
    for name in names:
        try:
            print(f"{name}: {fetch(name, arguments.mirror)}")
        except DownloadError as error:
            error.choices = (
                f"from another address: rvm-studio weights fetch {name} --mirror URL",
                f"put {error.file_name} (from {CATALOGUE[name].url}) into {error.folder}",
                f"bundled, rough, for {STARTER_VARIANT}: rvm-studio matte ... --weights starter",
            )
            raise
    return 0


def convert_weights(arguments: argparse.Namespace) -> int:
    """Convert SRC to DST and print what DST holds."""
    from ..weights.network_weights import check, convert

    print(check(convert(arguments.src, arguments.dst, half=arguments.half)))
    return 0


def check_weights(arguments: argparse.Namespace) -> int:
    """Print a summary of each file; the broken ones are reported together at the end, after the others were checked."""
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
