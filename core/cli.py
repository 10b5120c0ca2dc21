"""The commands: `rvm-studio matte | demo | check | eval | weights | info | export`. Errors are one line."""

import argparse
import contextlib
import io
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from . import cli_check, cli_demo, cli_eval, cli_export, cli_info, cli_matte, cli_weights
from .cli_errors import report_failure, show_notes
from .process_tuning import tune_process

# None of the modules imported here brings torch: --help answers at once.


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 1 something failed, 2 wrong usage (as SystemExit, from
    argparse), 130 stopped by Ctrl-C, 143 by SIGTERM."""
    tune_process()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name this terminal cannot show is no reason to fail
    parser = make_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return 2
    parsed = parser.parse_args(arguments)
    show_notes(quiet=getattr(parsed, "quiet", False))
    try:
        exit_code = parsed.run(parsed)
        sys.stdout.flush()  # here, where a broken pipe is caught, rather than at exit
        return exit_code
    except KeyboardInterrupt:
        print("rvm-studio: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        report_failure(error, as_json=getattr(parsed, "json", False))
        return 1


def program() -> NoReturn:
    """The whole process: `main`, and the end without taking apart what was loaded, which takes a third of a second.

    Every file is closed by then, and no thread works any more. Never to be called within somebody else's process.
    """
    exit_code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody is left to tell
            stream.flush()
    os._exit(exit_code)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, rather than after a screen of options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each command sets `run` (namespace -> exit code)."""
    parser = _Parser(
        prog="rvm-studio", description="Cut a person out of a video: soft hair, no flicker, no green screen."
    )
    parser.add_argument("--version", action="version", version=f"rvm-studio {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cli_matte.add_parser(commands)
    cli_demo.add_parser(commands)
    cli_check.add_parser(commands)
    cli_eval.add_parser(commands)
    cli_weights.add_parser(commands)
    cli_info.add_parser(commands)
    cli_export.add_parser(commands)
    return parser


def _version() -> str:
    try:
        return version("rvm-studio")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    program()
