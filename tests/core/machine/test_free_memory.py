"""The memory that is left."""

import sys
from pathlib import Path

import pytest
from rvm_studio.core.machine import free_memory as module
from rvm_studio.core.machine.free_memory import free_memory


def test_it_is_some_megabytes_at_least():
    found = free_memory()
    assert found is None or 1_000_000 < found < 1 << 50


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_a_container_has_a_limit_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("5000000\n")
    (tmp_path / "current").write_text("2000000\n")
    monkeypatch.setattr(module, "_LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    monkeypatch.setattr(module, "_USES", (str(tmp_path / "current"), str(tmp_path / "none")))
    assert free_memory() == 3_000_000
    Path(tmp_path / "max").write_text("max\n")
    assert (free_memory() or 0) > 3_000_000
