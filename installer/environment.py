"""Chooses the Python that everything is installed into: ComfyUI's, the active environment's, or that of a new venv."""

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

MARKER = "made-by-rvm-studio.txt"  # in every environment made by the installer; contains its path


class Target(NamedTuple):
    """The interpreter that everything is installed into."""

    python: Path
    home: str  # as shown to the user: "ComfyUI's Python", ".venv" ...
    may_lack_torch: bool = True  # False: a Python outside any environment, which is ComfyUI's only if it has torch


def choose_target(venv: str | None) -> Target:
    running = Path(sys.executable)
    if venv:
        return own_venv(Path(os.path.abspath(venv)), named=True)
    if checkout.in_comfyui():
        # ComfyUI-Manager runs the installer with ComfyUI's own Python, whatever other environments there are.
        if "COMFYUI_PATH" in os.environ and importlib.util.find_spec("torch"):
            return Target(running, "ComfyUI's Python")
        python = comfyui_python(checkout.HERE.parent.parent)
        if python is None:  # ComfyUI was installed by hand: it must be the Python that runs the installer
            return Target(running, "the running Python, for ComfyUI", may_lack_torch=in_active_environment())
        return Target(python, "ComfyUI's Python")
    if in_active_environment():
        return Target(running, "the active environment")
    return own_venv(checkout.HERE / ".venv", named=False)


def comfyui_python(comfyui: Path) -> Path | None:
    """The interpreter that belongs to the ComfyUI in this folder, or None."""
    embedded = comfyui.parent / "python_embeded" / "python.exe"  # the portable build's own spelling
    brought = (embedded, venv_python(comfyui / "venv"), venv_python(comfyui / ".venv"))
    return next((python for python in brought if python.is_file()), None)


def in_active_environment() -> bool:
    """Whether the running interpreter belongs to a venv or conda environment. CONDA_PREFIX alone does not prove it."""
    conda = os.environ.get("CONDA_PREFIX")
    return sys.prefix != sys.base_prefix or bool(conda and same_path(conda, sys.prefix))


def own_venv(folder: Path, named: bool) -> Target:
    """The venv in `folder`, created or rebuilt if it is missing or broken. named: the user chose the folder."""
    target = Target(venv_python(folder), shown(folder))
    problem = venv_problem(folder)
    if problem is None:
        return target
    new = not folder.exists() or not any(folder.iterdir())
    if named and not new and not (folder / MARKER).is_file():
        raise InstallError(f"{folder} cannot be used: {problem}. It was not changed. Choose another folder.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = "python{}.{}-venv".format(*sys.version_info)
        raise InstallError(
            f"this Python lacks the module venv or ensurepip. On Debian and Ubuntu, run: sudo apt install {package}"
            " (also known as python3-venv). Then run install.py again."
        )
    note(f"creating {target.home}" if new else f"rebuilding {target.home}: {problem}")
    try:
        if not new:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # written first: if this run is interrupted, the next one may rebuild the folder
        (folder / MARKER).write_text(str(folder), encoding="utf-8")
    except OSError as error:
        raise InstallError(
            f"{folder} cannot be {'created' if new else 'rebuilt'} ({error.strerror}). Choose another folder for the"
            f" environment: {install_command('--venv', 'FOLDER')}"
        ) from error
    code, lines = processes.run_quietly([sys.executable, "-m", "venv", str(folder)], os.environ)
    if code != 0:
        free = shutil.disk_usage(folder).free / 1e6
        raise InstallError(f"{folder} could not be created ({free:.0f} MB are free there): {lines[-1]}")
    return target


def venv_problem(folder: Path) -> str | None:
    """Why the venv in `folder` cannot be used, or None if it can."""
    if not folder.is_dir():
        return "it does not exist"
    who = identify(venv_python(folder))
    if who is None:
        return "its Python is missing or does not start"
    if not same_path(who["prefix"], folder):
        return "it is not a virtual environment"
    if tuple(who["version"][:2]) < OLDEST_PYTHON:
        return "its Python is {}.{}".format(*who["version"])
    marker = folder / MARKER
    if marker.is_file() and not same_path(marker.read_text(encoding="utf-8"), folder):
        return "it was moved or copied from another folder"  # its scripts still point there
    return None


def venv_python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def identify(python: Path) -> dict | None:
    """version, prefix, base (prefix), platform and pip (bool) of an interpreter; None if it does not start."""
    code = "import json, sys, sysconfig, importlib.util as u; "
    code += "print(json.dumps(dict(version=sys.version_info[:3], prefix=sys.prefix, pip=bool(u.find_spec('pip')),"
    code += " base=sys.base_prefix, platform=sysconfig.get_platform())))"
    try:
        answer = subprocess.run([str(python), "-c", code], capture_output=True, env=environ_for(python), check=True)
        return json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def environ_for(python: Path) -> dict:
    """The environment variables for a child process, without those that would point another Python to our modules."""
    other = str(python) != sys.executable
    foreign = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__") if other else ()
    return {name: value for name, value in os.environ.items() if name not in foreign}


def same_path(one, other) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
