"""Other programs, run without their chatter."""

from __future__ import annotations

import re
import subprocess

from .console import note


def run_quietly(command: list, env, show: str | None = None) -> tuple:
    """(exit code, last lines of stdout and stderr); what the pattern `show` finds is printed as it comes."""
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    ) as process:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            lines = [*lines[-99:], line] if line else lines
            found = re.search(show, line) if show else None
            if found:
                note(f"downloading {found.group(1)}")
    return process.returncode, lines or ["no message"]
