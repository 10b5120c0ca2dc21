"""`rvm-studio completion`: prints a script with which a shell completes commands, options and file names."""

import argparse
import functools

from ..errors import StudioError
from ..machine.install_advice import pip_command

SHELLS = ("bash", "zsh", "tcsh")
_NAMES_OF_FILES = {"INPUT", "OUTPUT", "FILE", "PATH", "WHAT", "SRC", "DST", "PREDICTED", "TRUE"}
_NAMES_OF_FOLDERS = {"FOLDER"}

EPILOG = """\
run once in your shell (needs the package shtab):
  bash  rvm-studio completion bash > ~/.local/share/bash-completion/completions/rvm-studio
  zsh   rvm-studio completion zsh > ~/.zfunc/_rvm-studio
        with `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc
  tcsh  rvm-studio completion tcsh > ~/.rvm-studio.tcsh
        with `source ~/.rvm-studio.tcsh` in ~/.tcshrc
"""


def add_parser(subparsers, whole: argparse.ArgumentParser) -> None:
    """Adds `completion` to the subparsers of the command line `whole`."""
    what = "print a script that completes this command in your shell"
    parser = subparsers.add_parser(
        "completion",
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=functools.partial(run, whole))


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Prints the script for the parser's commands. Raises StudioError if shtab is missing."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise StudioError(f"Shell completion needs the package shtab: {pip_command('shtab')}") from error

    for action in _actions(parser):
        kind = shtab.FILE if action.metavar in _NAMES_OF_FILES else None
        kind = shtab.DIRECTORY if action.metavar in _NAMES_OF_FOLDERS else kind
        if kind:
            action.complete = kind  # pyright: ignore[reportAttributeAccessIssue] - read by shtab
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The actions of the parser and of its commands."""
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for command in action.choices.values() for inner in _actions(command)]
    return found
