"""The command line: `rvm-studio matte | demo | weights | info`. Parses, runs, and turns errors into one clear line."""

import argparse
import logging
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version

from . import cli_demo, cli_info, cli_matte, cli_weights
from .errors import StudioError
from .process_tuning import tune_process

# None of the modules imported here brings torch: --help answers at once.


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 1 something failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    tune_process()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    parsed = make_parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except StudioError as error:
        print(f"rvm-studio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rvm-studio: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("RVM_DEBUG"):
            traceback.print_exc()
        print(
            f"rvm-studio: this should not have happened ({type(error).__name__}: {error}). Please report it with the "
            "output of `rvm-studio info` and of the same command with RVM_DEBUG=1 set.",
            file=sys.stderr,
        )
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each command sets `run` (namespace -> exit code)."""
    parser = argparse.ArgumentParser(
        prog="rvm-studio", description="Cut a person out of a video: soft hair, no flicker, no green screen."
    )
    parser.add_argument("--version", action="version", version=f"rvm-studio {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cli_matte.add_parser(commands)
    cli_demo.add_parser(commands)
    cli_weights.add_parser(commands)
    cli_info.add_parser(commands)
    return parser


def _version() -> str:
    try:
        return version("rvm-studio")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
