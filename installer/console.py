"""The installer's messages, questions and errors."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from . import checkout

WINDOWS = os.name == "nt"


class InstallError(Exception):
    """Ends the installer. The message, one line, says what is wrong and what to do."""


def step(number: int, text: str) -> None:
    print(f"[{number}/6] {text}", flush=True)


def note(text: str) -> None:
    print(f"      {text}", flush=True)


def shown(path: Path) -> str:
    """The path, relative to the current folder if possible."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def typed(*words: str) -> str:
    """A command, quoted for this system's shell."""
    return subprocess.list2cmdline(words) if WINDOWS else shlex.join(words)


def install_command(*options: str) -> str:
    """The command that runs install.py with these options and the current interpreter."""
    return typed(sys.executable, shown(checkout.HERE / "install.py"), *options)


def studio_command(scripts: str, *arguments: str) -> str:
    return typed(shown(Path(scripts) / ("rvm-studio.exe" if WINDOWS else "rvm-studio")), *arguments)


def can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def agreed(question: str, yes: bool, with_yes: str) -> bool:
    """Whether to continue: with `yes` (--yes), with CI=true, or if the user says so.

    with_yes: the command that needs no answer. Raises InstallError if there is no terminal to ask on.
    """
    print(f"\n{question}", flush=True)
    if yes or os.environ.get("CI", "").lower() in ("1", "true"):
        note("continuing because of --yes" if yes else "continuing because CI is set")
        return True
    if not can_ask():
        raise InstallError(f"stopped before this download; nothing was installed. To install it: {with_yes}")
    try:
        return input("Continue? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
