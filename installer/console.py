"""What the installer says and asks, and how it ends when something cannot be done."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from . import checkout

WINDOWS = os.name == "nt"


class InstallError(Exception):
    """Ends the run with one line that says what is wrong and what to do."""


def step(number: int, text: str) -> None:
    print(f"[{number}/6] {text}", flush=True)


def note(text: str) -> None:
    print(f"      {text}", flush=True)


def shown(path: Path) -> str:
    """The path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def typed(*words: str) -> str:
    """A command as it can be typed into this system's shell."""
    return subprocess.list2cmdline(words) if WINDOWS else shlex.join(words)


def install_command(*options: str) -> str:
    """install.py with these options, by the interpreter that runs it now."""
    return typed(sys.executable, shown(checkout.HERE / "install.py"), *options)


def studio_command(scripts: str, *arguments: str) -> str:
    return typed(shown(Path(scripts) / ("rvm-studio.exe" if WINDOWS else "rvm-studio")), *arguments)


def somebody_answers() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def agreed(question: str, yes: bool, with_yes: str) -> bool:
    """Whether to go on: `yes` (--yes), CI=true, or the answer of whoever sits there.

    with_yes: the command that says yes at once. Raises InstallError where nobody can be asked.
    """
    print(f"\n{question}", flush=True)
    if yes or os.environ.get("CI", "").lower() in ("1", "true"):
        note("continuing, by --yes" if yes else "continuing, as CI is set")
        return True
    if not somebody_answers():
        raise InstallError(f"stopped before this download; nothing was installed. To install it: {with_yes}")
    try:
        return input("Continue? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
