"""Which Python is used, and venvs made and mended."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from rvm_studio.installer import checkout, console, environment, processes, pytorch

ROOT = Path(__file__).resolve().parents[2]


def test_a_bare_python_gets_a_venv_in_the_checkout(monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(environment, "own_venv", lambda folder, named: (folder, named))
    assert environment.choose_target(None) == (ROOT / ".venv", False)


def test_an_active_venv_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert environment.choose_target(None).python == Path(sys.executable)


@pytest.mark.parametrize("of_this_interpreter", [True, False])
def test_conda_counts_only_when_this_python_is_condas(monkeypatch, tmp_path, of_this_interpreter):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("CONDA_PREFIX", sys.base_prefix if of_this_interpreter else str(tmp_path))
    monkeypatch.setattr(environment, "own_venv", lambda folder, named: "own")
    assert (environment.choose_target(None) == "own") is not of_this_interpreter


COMFYUIS = ["python_embeded", "ComfyUI/venv", "ComfyUI/.venv"]


@pytest.mark.parametrize("place", COMFYUIS)
def test_comfyuis_own_python_is_found(monkeypatch, tmp_path, place):
    monkeypatch.setattr(checkout, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    for name in COMFYUIS[COMFYUIS.index(place) :]:  # the later ones must not win over `place`
        python = tmp_path / name / "python.exe" if "embeded" in name else environment.venv_python(tmp_path / name)
        python.parent.mkdir(parents=True)
        python.touch()
    target = environment.choose_target(None)
    assert target.python.is_relative_to(tmp_path / place)
    assert target.may_lack_torch


@pytest.mark.parametrize("has_torch", [True, False])
def test_under_comfyuis_manager_the_running_python_wins(monkeypatch, tmp_path, has_torch):
    monkeypatch.setattr(checkout, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    stale = environment.venv_python(tmp_path / "ComfyUI" / "venv")
    stale.parent.mkdir(parents=True)
    stale.touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if has_torch else None)
    assert environment.choose_target(None).python == stale
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "ComfyUI"))  # the Manager sets it
    assert environment.choose_target(None).python == (Path(sys.executable) if has_torch else stale)


def test_comfyui_set_up_by_hand_needs_a_python_with_torch(monkeypatch, tmp_path, pip_calls, no_gpu, found):
    monkeypatch.setattr(checkout, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    target = environment.choose_target(None)
    assert target.python == Path(sys.executable)
    with pytest.raises(console.InstallError, match="not the Python that runs ComfyUI"):
        pytorch.plan(target, found({"torch": None, "torchvision": None}), None, [])
    assert pip_calls == []
    versions = {"torch": "2.7.1+cu128", "torchvision": "0.22.1"}
    assert pytorch.plan(target, found(versions), None, []).arguments == []


def test_another_interpreter_does_not_see_this_ones_modules(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    other = environment.environ_for(tmp_path / "python")
    assert "PYTHONPATH" not in other
    assert "PYTHONHOME" not in other
    assert environment.environ_for(Path(sys.executable))["PYTHONPATH"] == "somewhere"


def test_a_sound_venv_is_kept(tmp_path, bare_venv):
    folder = tmp_path / "with space"
    bare_venv(folder)
    assert environment.venv_problem(folder) is None
    (folder / environment.MARKER).write_text(str(folder), encoding="utf-8")
    assert environment.venv_problem(folder) is None


def lose_the_python(folder: Path) -> Path:
    for python in (folder / ("Scripts" if os.name == "nt" else "bin")).glob("python*"):
        python.unlink()
    return folder


def lose_the_configuration(folder: Path) -> Path:
    (folder / "pyvenv.cfg").unlink()
    return folder


def move(folder: Path) -> Path:
    return folder.rename(folder.with_name("moved"))


def copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copied"), symlinks=True))


@pytest.mark.parametrize("damage", [lose_the_python, lose_the_configuration, move, copy])
def test_a_broken_venv_is_rebuilt(monkeypatch, tmp_path, damage, capsys, bare_venv):
    folder = tmp_path / "env"
    bare_venv(folder)
    (folder / environment.MARKER).write_text(str(folder), encoding="utf-8")
    folder = damage(folder)
    (folder / "left-over").touch()
    assert environment.venv_problem(folder) is not None
    monkeypatch.setattr(processes, "run_quietly", lambda command, env: (bare_venv(Path(command[-1])) and 0, []))
    target = environment.own_venv(folder, named=True)
    assert environment.identify(target.python)["prefix"] == str(folder)
    assert environment.venv_problem(folder) is None
    assert not (folder / "left-over").exists()
    assert "rebuilding" in capsys.readouterr().out


def test_a_venv_of_an_old_python_is_rebuilt(monkeypatch, tmp_path, bare_venv):
    python = bare_venv(tmp_path / "env")
    old = {"version": [3, 9, 18], "prefix": str(python.parent.parent), "pip": True}
    monkeypatch.setattr(environment, "identify", lambda python: old)
    assert environment.venv_problem(tmp_path / "env") == "its Python is 3.9"


def test_a_users_folder_is_never_cleared(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(console.InstallError, match="Choose another folder"):
        environment.own_venv(tmp_path, named=True)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_debians_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else True)
    with pytest.raises(console.InstallError, match=r"apt install python3\.\d+-venv .*python3-venv"):
        environment.own_venv(tmp_path / "env", named=False)
