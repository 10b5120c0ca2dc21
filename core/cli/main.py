"""The command line, `rvm-studio COMMAND ...`: parses it, runs the command, and reports errors in one line."""

import argparse
import difflib
import io
import os
import sys
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from ..errors import StudioError
from ..machine.process_tuning import tune_process
from . import check as cli_check
from . import completion as cli_completion
from . import demo as cli_demo
from . import eval as cli_eval
from . import export as cli_export
from . import info as cli_info
from . import matte as cli_matte
from . import weights as cli_weights
from .errors import report_failure, show_notes
from .hints import missing_command
from .safe_text import safe_text

# None of the modules imported here imports torch, so that --help is fast.


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 success, 1 failure, 2 wrong usage (as SystemExit, from argparse),
    130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    tune_process()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # do not fail on a name that the terminal cannot show
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    try:
        if hint := missing_command(arguments, parser.commands):
            parser.error(hint)
    except StudioError as error:
        parser.error(str(error))
    parsed = parser.parse_args(arguments)
    show_notes(quiet=getattr(parsed, "quiet", False))
    try:
        exit_code = parsed.run(parsed)
        sys.stdout.flush()  # here, where a broken pipe is handled, instead of at exit
        return exit_code
    except KeyboardInterrupt:
        print("rvm-studio: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has ended (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        report_failure(error, as_json=getattr(parsed, "json", False))
        return 1


class _Parser(argparse.ArgumentParser):
    """Reports errors in one line instead of after a screen of options, and suggests the intended command."""

    commands: Collection[str] = ()

    def error(self, message: str) -> NoReturn:
        self.exit(2, safe_text(f"{self.prog}: {message} (see {self.prog} --help)\n"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            close = difflib.get_close_matches(value, action.choices, 1)
            meant = f"Did you mean `{self.prog} {close[0]}`?" if close else f"Use {', '.join(action.choices)}."
            raise argparse.ArgumentError(None, f"{value!r} is not a command. {meant}")
        super()._check_value(action, value)


def make_parser() -> _Parser:
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
    cli_completion.add_parser(commands, parser)
    parser.commands = commands.choices
    return parser


def _version() -> str:
    try:
        return version("rvm-studio")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
