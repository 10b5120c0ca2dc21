"""Where weights and compiled networks are kept, on each system."""

from pathlib import Path

import pytest
from rvm_studio.core.machine import cache_folder
from rvm_studio.core.machine.cache_folder import models_dir


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/rvm-studio/models"),
        ("linux", {"XDG_CACHE_HOME": "cache"}, "cache/rvm-studio/models"),
        ("darwin", {"XDG_CACHE_HOME": "cache"}, "home/Library/Caches/rvm-studio/models"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/rvm-studio/models"),
        ("win32", {}, "home/AppData/Local/rvm-studio/models"),
        ("win32", {"RVM_MODELS_DIR": "mine"}, "mine"),
        ("linux", {"RVM_MODELS_DIR": "mine"}, "mine"),
    ],
)
def test_models_dir(monkeypatch, platform, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache_folder.Path, "home", lambda: Path("home"))
    monkeypatch.setattr(cache_folder.sys, "platform", platform)
    found = models_dir()
    monkeypatch.undo()  # before anything else looks at the platform
    assert found == Path(expected)
