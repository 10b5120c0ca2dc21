"""Runs other programs without showing all their output."""

from __future__ import annotations

import re
import subprocess

from .console import note


def run_quietly(command: list, env, show: str | None = None, keep: str | None = None) -> tuple:
    """(exit code, the last hundred lines of stdout and stderr; with the pattern `keep`, only of lines that match it).

    Matches of the pattern `show` are printed as downloads while the program runs. Its standard input is empty.
    """
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    ) as process:
        for raw in process.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            if line and (keep is None or re.search(keep, line)):
                lines = [*lines[-99:], line]
            found = re.search(show, line) if show else None
            if found:
                note(f"downloading {found.group(1)}")
    return process.returncode, lines or ["no message"]
