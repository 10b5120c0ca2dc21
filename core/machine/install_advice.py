"""The command that installs what is missing, for the Python that runs now: `pip` alone may belong to another one."""

import shlex
import subprocess
import sys

from .root import PACKAGE

_FAST = ("openvino", "numba")  # by name, for ComfyUI too, where the installer leaves them out
_BY_INSTALLER = ("export", "train")


def command_for_extra(extra: str) -> str:
    """What to type to get an extra of pyproject.toml: "export", "train" or "fast".

    A checkout has an installer for it, an installed wheel has none.
    """
    if extra == "fast":
        return pip_command(*_FAST)
    if extra in _BY_INSTALLER and _is_checkout():
        return installer_command(f"--{extra}")
    return pip_command(f"rvm-studio[{extra}]")


def pip_command(*arguments: str) -> str:
    """`PYTHON -m pip install ...`, with the interpreter's own path."""
    return python_command("-m", "pip", "install", *arguments)


def installer_command(*arguments: str) -> str:
    """`PYTHON .../install.py ...`, in a checkout."""
    return python_command(str(PACKAGE / "install.py"), *arguments)


def python_command(*arguments: str) -> str:
    """`PYTHON ...`, with the interpreter's own path."""
    return shell_command(python(), *arguments)


def shell_command(*words: str) -> str:
    """The words as one line for this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def python() -> str:
    """The path of the running interpreter."""
    return sys.executable or "python"  # a program that embeds Python may not say


def _is_checkout() -> bool:
    return all((PACKAGE / name).is_file() for name in ("pyproject.toml", "install.py"))
