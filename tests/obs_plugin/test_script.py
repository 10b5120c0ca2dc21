"""The script without OBS: where its libraries are on each system, and what it says when something is missing."""

import ctypes
import importlib
import json
import ntpath
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import rvm_supervisor
from patience import wait_for


def not_installed(folder):
    raise RuntimeError("Run install.py first.")


@pytest.fixture
def script(monkeypatch):
    """rvm_obs, between a stand-in of OBS's module and one of the installed environment."""
    said = []
    fake = types.SimpleNamespace(LOG_INFO=300, script_log=lambda level, text: said.append(text))
    monkeypatch.setitem(sys.modules, "obspython", fake)
    environment = types.SimpleNamespace(find_python=not_installed)
    monkeypatch.setitem(sys.modules, "rvm_environment", environment)
    monkeypatch.delitem(sys.modules, "rvm_obs", raising=False)
    module = importlib.import_module("rvm_obs")
    module.said = said
    yield module
    sys.modules.pop("rvm_obs", None)


@pytest.mark.parametrize(
    ("platform", "obs", "scripting"), [("win32", "obs.dll", "obs-scripting.dll"), ("darwin", None, None)]
)
def test_libraries(script, monkeypatch, platform, obs, scripting):
    monkeypatch.setattr(sys, "platform", platform)
    assert script.library("obs") == obs
    assert script.library("obs-scripting") == scripting


def test_libraries_on_linux(script, monkeypatch, tmp_path):
    """Whatever version the file's name has: the one that is loaded."""
    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f01 r--p 00000000 08:01 12  /usr/lib/libobs.so.0\n"
        "7f02-7f03 r-xp 00000000 08:01 13                 /app/my lib/libobs-scripting.so.31\n"
        "7f04-7f05 rw-p 00000000 00:00 0\n"
    )
    monkeypatch.setattr("builtins.open", lambda path, real=open: real(maps if path == "/proc/self/maps" else path))
    assert script.library("obs") is None
    assert script.library("obs-scripting") == "/app/my lib/libobs-scripting.so.31"
    maps.write_text("7f00-7f01 r--p 00000000 08:01 12  /usr/lib/libobs.so.0\n")
    with pytest.raises(OSError, match="libobs-scripting is not loaded"):
        script.library("obs-scripting")


def test_paths_of_files(script, monkeypatch):
    """OBS splits them at "/" alone, on Windows too; else script_path() is of no use to the filter."""
    assert script.script_file("rvm_filter.lua") == os.fsencode(Path(script.FOLDER) / "rvm_filter.lua")
    windows = types.SimpleNamespace(path=ntpath, sep="\\", fsencode=str.encode)
    monkeypatch.setattr(script, "os", windows)
    monkeypatch.setattr(script, "FOLDER", r"C:\Users\Jürgen\rvm")
    assert script.script_file("rvm_filter.lua") == "C:/Users/Jürgen/rvm/rvm_filter.lua".encode()


class FakeLibrary:
    """Notes calls; what a function returns is set as its name."""

    def __init__(self, **results):
        self.calls, self.results = [], results

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            return self.results.get(name, 1)

        setattr(self, name, call)
        return call


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"obs_script_create": None}, "without Lua"),
        ({"obs_script_loaded": False}, "rejected"),
        ({}, ""),
    ],
)
def test_loading_the_filter(script, monkeypatch, results, expected):
    library = FakeLibrary(**results)
    monkeypatch.setattr(script, "library", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    script.script_load(None)
    names = [call[0] for call in library.calls]
    assert names.count("obs_data_create") == names.count("obs_data_release") == 1
    if expected:
        assert script.running is None
        assert expected in script.problem
        assert script.problem in script.said[0]
        assert script.status_rows() == [("error", script.problem)]
    else:
        assert script.problem == ""
        wait_for(lambda: script.running.worker.error)  # it is found out in a thread
        assert script.status_rows()[-1] == ("error", "Last error: Run install.py first.")
        assert (
            int(next(call[3] for call in library.calls if call[1:3] == (1, b"address"))) == script.running.arena.address
        )
    script.script_unload()
    assert script.running is None
    created = "obs_script_create" not in results
    assert ("obs_script_destroy" in [call[0] for call in library.calls]) == created
    script.script_unload()


def test_no_memory(script, monkeypatch):
    def fail():
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(script.protocol.Arena, "create", fail)
    script.script_load(None)
    assert "Cannot allocate memory" in script.problem
    script.script_unload()


@pytest.mark.slow
def test_types(tmp_path):
    """pyright, with obspython as the stub declares it."""
    pytest.importorskip("basedpyright")
    folder = Path(rvm_supervisor.__file__).parent
    names = ("rvm_obs.py", "rvm_supervisor.py", "rvm_frame_protocol.py")
    settings = {
        "include": [str(folder / name) for name in names],
        "extraPaths": [str(folder)],
        "stubPath": str(folder / "typings"),
        "typeCheckingMode": "standard",
        "pythonVersion": "3.10",
        "reportMissingModuleSource": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "-p", str(tmp_path)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "0 errors, 0 warnings" in checked.stdout
