"""The version of the code, to be recorded in weights files."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def code_version() -> str:
    """The release and, in a git checkout, the commit."""
    try:
        release = version("rvm-studio")
    except PackageNotFoundError:
        release = "unknown"
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return release
    commit = done.stdout.strip()
    return f"{release} ({commit})" if done.returncode == 0 and commit else release
