"""Fixtures for the installer's tests: no pip, no GPU, a system of one's choice, little environments."""

import os
import platform
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
from rvm_studio.installer import environment, pip, pytorch


@pytest.fixture(autouse=True)
def not_under_comfyuis_manager(monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)


@pytest.fixture
def pip_calls(monkeypatch):
    """The argument lists of the pip calls that would have been made."""
    calls = []
    monkeypatch.setattr(pip, "pip_install", lambda python, *arguments: calls.append(list(arguments)))
    return calls


@pytest.fixture
def on_system(monkeypatch):
    """`on_system("Linux", "x86_64")`: for all that asks, this is the system and the machine."""

    def pretend(system: str, machine: str) -> None:
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: machine)

    return pretend


@pytest.fixture
def indexes(monkeypatch):
    """`indexes({"PyPI": [versions of torch], "cpu": [...]})`: what pip finds by itself, and in PyTorch's index of a
    build; the others of those cannot be reached. Returns a list of those that are asked."""

    def pretend(found: dict) -> list:
        asked = []

        def versions(python, package, *options):
            index = options[1].rpartition("/")[2] if options else "PyPI"
            asked.append(index)
            return (found[index], "") if index in found else ([], "its host name was not found")

        monkeypatch.setattr(pip, "versions", versions)
        return asked

    return pretend


@pytest.fixture
def no_gpu(monkeypatch, on_system, indexes):
    """A 64-bit Linux without NVIDIA's tools, where pip finds nothing but what PyPI has."""
    monkeypatch.setattr(pytorch, "ask_nvidia_smi", lambda: None)
    indexes({"PyPI": ["2.13.0"]})
    on_system("Linux", "x86_64")


@pytest.fixture
def bare_venv():
    """`bare_venv(folder)` makes a real venv without pip and returns its Python."""

    def make(folder: Path) -> Path:
        venv.create(folder, symlinks=os.name != "nt")
        return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    return make


@pytest.fixture
def found(tmp_path):
    """`found(versions)`: what look_into would return."""

    def state(versions: dict, broken: dict | None = None, cuda: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(versions=versions, broken=broken or {}, cuda=cuda, prefix=str(tmp_path), editable=None)

    return state


@pytest.fixture
def ours(tmp_path):
    """An environment that this script made."""
    (tmp_path / environment.MARKER).touch()
    return environment.Target(tmp_path / "python", ".venv")


@pytest.fixture
def theirs(tmp_path):
    return environment.Target(tmp_path / "python", "the active environment")
