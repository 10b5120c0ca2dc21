"""Which Python everything is installed into: ComfyUI's, the active environment's, or that of a venv of our own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from . import OLDEST_PYTHON, checkout, processes
from .console import WINDOWS, InstallError, install_command, note, shown

MARKER = "made-by-rvm-studio.txt"  # in an environment made by this script; holds its path


class Target(NamedTuple):
    """The interpreter that everything is installed into."""

    python: Path
    home: str  # in words: "ComfyUI's Python", ".venv" ...
    may_lack_torch: bool = True  # False: a bare interpreter that is ComfyUI's only if it has torch


def choose_target(venv: str | None) -> Target:
    running = Path(sys.executable)
    if venv:
        return own_venv(Path(os.path.abspath(venv)), named=True)
    if checkout.in_comfyui():
        # ComfyUI's Manager runs this file with the Python that ComfyUI runs with, whatever else lies about.
        if "COMFYUI_PATH" in os.environ and importlib.util.find_spec("torch"):
            return Target(running, "ComfyUI's Python")
        python = comfyui_python(checkout.HERE.parent.parent)
        if python is None:  # ComfyUI set up by hand: only what it is started with can be meant
            return Target(running, "the Python this runs with, for ComfyUI", may_lack_torch=in_active_environment())
        return Target(python, "ComfyUI's Python")
    if in_active_environment():
        return Target(running, "the active environment")
    return own_venv(checkout.HERE / ".venv", named=False)


def comfyui_python(comfyui: Path) -> Path | None:
    """The interpreter that ComfyUI in this folder brings along, or None."""
    embedded = comfyui.parent / "python_embeded" / "python.exe"  # the portable build's own spelling
    brought = (embedded, venv_python(comfyui / "venv"), venv_python(comfyui / ".venv"))
    return next((python for python in brought if python.is_file()), None)


def in_active_environment() -> bool:
    """Is the running interpreter that of a venv or conda environment? CONDA_PREFIX alone proves nothing."""
    conda = os.environ.get("CONDA_PREFIX")
    return sys.prefix != sys.base_prefix or bool(conda and same_path(conda, sys.prefix))


def own_venv(folder: Path, named: bool) -> Target:
    """The venv in `folder`, made or rebuilt where it is missing or broken; `named`: the user chose the folder."""
    target = Target(venv_python(folder), shown(folder))
    problem = venv_problem(folder)
    if problem is None:
        return target
    new = not folder.exists() or not any(folder.iterdir())
    if named and not new and not (folder / MARKER).is_file():
        raise InstallError(f"{folder} cannot be used: {problem}. It is left as it is: name another folder.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = "python{}.{}-venv".format(*sys.version_info)
        raise InstallError(
            f"this Python has no venv or ensurepip module. On Debian and Ubuntu: sudo apt install {package}"
            " (also known as python3-venv); then run install.py again."
        )
    note(f"making {target.home}" if new else f"rebuilding {target.home}: {problem}")
    try:
        if not new:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # first: if it is cut short, the next run may rebuild
        (folder / MARKER).write_text(str(folder), encoding="utf-8")
    except OSError as error:
        raise InstallError(
            f"{folder} cannot be {'made' if new else 'rebuilt'} ({error.strerror}). Choose another place for the"
            f" environment: {install_command('--venv', 'FOLDER')}"
        ) from error
    code, lines = processes.run_quietly([sys.executable, "-m", "venv", str(folder)], os.environ)
    if code != 0:
        free = shutil.disk_usage(folder).free / 1e6
        raise InstallError(f"could not make {folder} ({free:.0f} MB are free there): {lines[-1]}")
    return target


def venv_problem(folder: Path) -> str | None:
    """Why the venv in `folder` cannot be used as it is; None if it can."""
    if not folder.is_dir():
        return "there is none"
    who = identify(venv_python(folder))
    if who is None:
        return "its Python is missing or does not start"
    if not same_path(who["prefix"], folder):
        return "it is no virtual environment"
    if tuple(who["version"][:2]) < OLDEST_PYTHON:
        return "its Python is {}.{}".format(*who["version"])
    marker = folder / MARKER
    if marker.is_file() and not same_path(marker.read_text(encoding="utf-8"), folder):
        return "it was moved or copied from another folder"  # its scripts still point there
    return None


def venv_python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def identify(python: Path) -> dict | None:
    """Version, prefix, presence of pip, base prefix, platform of an interpreter, or None if it does not start."""
    code = "import json, sys, sysconfig, importlib.util as u; "
    code += "print(json.dumps(dict(version=sys.version_info[:3], prefix=sys.prefix, pip=bool(u.find_spec('pip')),"
    code += " base=sys.base_prefix, platform=sysconfig.get_platform())))"
    try:
        answer = subprocess.run([str(python), "-c", code], capture_output=True, env=environ_for(python), check=True)
        return json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def environ_for(python: Path) -> dict:
    """The environment variables for a child; those that name this interpreter's modules are kept from another one."""
    other = str(python) != sys.executable
    foreign = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__") if other else ()
    return {name: value for name, value in os.environ.items() if name not in foreign}


def same_path(one, other) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
