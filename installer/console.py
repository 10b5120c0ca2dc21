"""What the installer says, and how it ends when something cannot be done."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

WINDOWS = os.name == "nt"


class InstallError(Exception):
    """Ends the run with one line that says what is wrong and what to do."""


def step(number: int, text: str) -> None:
    print(f"[{number}/5] {text}", flush=True)


def note(text: str) -> None:
    print(f"      {text}", flush=True)


def shown(path: Path) -> str:
    """The path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def studio_command(scripts: str) -> str:
    text = shown(Path(scripts) / ("rvm-studio.exe" if WINDOWS else "rvm-studio"))
    return (f'"{text}"' if " " in text else text) if WINDOWS else shlex.quote(text)
