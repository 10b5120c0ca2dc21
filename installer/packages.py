"""Installs packages with pip: those that the core needs, those that make a CPU fast, and RVM Studio itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from . import checkout, pip, pytorch
from .console import InstallError, note, step
from .environment import Target, same_path


def unmet(state, requirements: list) -> list:
    """Names of the requirements that are missing or too old."""
    return [name for name, bounds in requirements if not checkout.satisfies(state.versions[name], bounds)]


def install_packages(target: Target, state, requirements: list) -> bool:
    """Installs what is missing or too old and repairs what cannot be imported. Returns whether it changed anything."""
    lacking = unmet(state, requirements)
    broken = [name for name, _ in requirements if name in state.broken and name not in lacking]
    if lacking:
        step(2, f"Packages: installing {', '.join(lacking)}")
        pip.pip_install(target.python, *(name + bounds for name, bounds in requirements))
    if broken:
        step(2, f"Packages: repairing {', '.join(broken)}")
        pins = [f"{name}=={state.versions[name]}" for name in broken]
        pip.pip_install(target.python, "--force-reinstall", "--no-deps", *pins)
    if not lacking and not broken:
        step(2, f"Packages: all {len(requirements)} in place")
    return bool(lacking or broken)


def fast_is_lacking(state) -> bool:
    """Whether OpenVINO or numba are missing or broken, on a machine that would use them.

    ComfyUI does not need them: there the network runs in PyTorch, under ComfyUI's memory management.
    """
    wanted = checkout.extra_requirements("fast")
    lacking = unmet(state, wanted) or any(name in state.broken for name, _ in wanted)
    return bool(lacking) and not checkout.in_comfyui() and pytorch.cpu_does_the_work(state)


def install_fast(target: Target, state) -> bool:
    """Installs OpenVINO and numba if the CPU does the work; a failure is not an error. Returns whether it installed.

    The installed version of numpy is kept.
    """
    if not fast_is_lacking(state):
        return False
    wanted = checkout.extra_requirements("fast")
    lacking = [name + bounds for name, bounds in wanted if name in unmet(state, wanted)]
    broken = [f"{name}=={state.versions[name]}" for name, _ in wanted if name in state.broken]
    note("installing OpenVINO and numba, which make matting on the CPU several times faster")
    try:
        if broken:
            pip.pip_install(target.python, "--only-binary=:all:", "--force-reinstall", "--no-deps", *broken)
        if lacking:
            pip.pip_install(target.python, "--only-binary=:all:", *lacking, f"numpy=={state.versions['numpy']}")
    except InstallError as problem:
        note(f"continuing without them: {problem}")
        return False
    return True


def install_studio(target: Target, state) -> bool:
    folder = urllib.request.url2pathname(urllib.parse.urlsplit(state.editable or "").path)
    if same_path(folder, checkout.HERE) and state.versions["rvm-studio"] == checkout.project_version():
        step(4, f"RVM Studio {checkout.project_version()}: in place")
        return False
    step(4, f"RVM Studio {checkout.project_version()}: installing from {checkout.HERE}")
    with build_files_elsewhere():
        pip.pip_install(target.python, "--no-deps", "-e", str(checkout.HERE))
    return True


@contextlib.contextmanager
def build_files_elsewhere() -> Iterator[None]:
    """Makes setuptools put its temporary rvm_studio.egg-info elsewhere if RVM Studio's folder is read-only."""
    if os.access(checkout.HERE, os.W_OK):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="rvm-build-") as folder:
        configuration = Path(folder) / "setup.cfg"
        configuration.write_text(f"[egg_info]\negg_base = {folder}\n", encoding="utf-8")
        os.environ["DIST_EXTRA_CONFIG"] = str(configuration)
        try:
            yield
        finally:
            del os.environ["DIST_EXTRA_CONFIG"]
