"""Commands that install missing packages for the running Python, as a bare `pip` may belong to another one."""

import shlex
import subprocess
import sys

from .root import PACKAGE

_FAST = ("openvino", "numba")  # by name, so that it also works in ComfyUI, where the installer omits them
_BY_INSTALLER = ("export", "train")


def command_for_extra(extra: str) -> str:
    """The command that installs an optional dependency group of pyproject.toml.

    Args:
        extra: "export", "train" or "fast".

    Returns:
        A command line that runs install.py in a checkout and pip in an installed package.

    Example:
        >>> from rvm_studio import core
        >>> "openvino numba" in core.command_for_extra("fast")
        True
    """
    if extra == "fast":
        return pip_command(*_FAST)
    if extra in _BY_INSTALLER and _is_checkout():
        return installer_command(f"--{extra}")
    return pip_command(f"rvm-studio[{extra}]")


def pip_command(*arguments: str) -> str:
    """The command line `PYTHON -m pip install ...` with the full path of the running interpreter."""
    return python_command("-m", "pip", "install", *arguments)


def installer_command(*arguments: str) -> str:
    """The command line `PYTHON .../install.py ...` of a checkout.

    Args:
        *arguments: Arguments of install.py.

    Returns:
        A command line for this system's shell, with the full path of the running interpreter.

    Example:
        >>> from rvm_studio import core
        >>> core.installer_command("--check").endswith("install.py --check")
        True
    """
    return python_command(str(PACKAGE / "install.py"), *arguments)


def python_command(*arguments: str) -> str:
    """The command line `PYTHON ...` with the full path of the running interpreter.

    Args:
        *arguments: Arguments of Python.

    Returns:
        A command line, quoted for this system's shell.

    Example:
        >>> from rvm_studio import core
        >>> core.python_command("-m", "pip", "list").endswith(" -m pip list")
        True
    """
    return shell_command(python(), *arguments)


def shell_command(*words: str) -> str:
    """The words as one line, quoted for this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def python() -> str:
    """The path of the running interpreter."""
    return sys.executable or "python"  # may be empty in a program that embeds Python


def _is_checkout() -> bool:
    return all((PACKAGE / name).is_file() for name in ("pyproject.toml", "install.py"))
