"""Running pip in an environment, with advice where it fails."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from . import environment, processes
from .console import InstallError
from .environment import environ_for

PIP_HINTS = (
    (r"No space left|Errno 28|not enough space", "the disk is full"),
    (
        r"Failed to establish|Temporary failure in name|getaddrinfo|Connect.?Timeout|Max retries|ProxyError|"
        r"Network is unreachable|SSLError|Read timed out|Connection (broken|refused|reset|aborted)",
        "the package index cannot be reached: check the network and HTTPS_PROXY, or set PIP_INDEX_URL to a mirror",
    ),
    (r"No matching distribution", "no build for this system: a 64-bit Python 3.10-3.13 is needed, and no Intel Mac"),
    (r"externally-managed", "this Python belongs to the system: run install.py in a virtual environment"),
    (r"Permission denied|Access is denied|WinError (5|32)", "no permission, or a file is in use (ComfyUI, OBS?)"),
)


def pip_install(python: Path, *arguments: str) -> None:
    """`pip install`, quiet but for large downloads; shows pip's last lines if it fails."""
    if not (environment.identify(python) or {"pip": True})["pip"]:  # made by another tool (uv), or damaged
        code, lines = processes.run_quietly([str(python), "-m", "ensurepip", "--upgrade"], environ_for(python))
        if code != 0:
            raise InstallError(f"{python} has no pip, and ensurepip failed ({lines[-1]}). Install pip there first.")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    code, lines = processes.run_quietly(
        command, environ_for(python), show=r"Downloading (?:\S*/)?(\S+ \(\d+\.\d+ [MG]B\))"
    )
    if code != 0:
        print("\n".join("      | " + line for line in lines[-20:]), file=sys.stderr)
        raise InstallError(f"pip install {shlex.join(arguments)} failed{hint(lines)}. Then run install.py again.")


def hint(lines: list) -> str:
    text = "\n".join(lines)
    return next((f". Likely reason: {advice}" for pattern, advice in PIP_HINTS if re.search(pattern, text)), "")
