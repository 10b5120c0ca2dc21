"""Kernels that are compiled, loaded from disk, and replaced if broken; and PyTorch in their place."""

import functools
import importlib
import logging
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from patience import PATIENCE
from rvm_studio.core.engines.full_size import kernel_runner
from rvm_studio.core.engines.full_size.kernel_runner import compiled_kernels, run_rows

PACKAGE = "rvm_studio.core.engines.full_size"


class FakeKernel:
    """Adds 1 to the rows that it is given; `broken` calls fail first, as with a broken file in the cache."""

    def __init__(self, folder, broken=0, name="add"):
        self.__name__ = name
        self.stats = types.SimpleNamespace(cache_path=str(folder))
        self.broken, self.calls = broken, []

    def __call__(self, picture, begin, end):
        self.calls.append((begin, end))
        if len(self.calls) <= self.broken:
            raise EOFError("Ran out of input")
        picture[begin:end] += 1


@pytest.fixture(autouse=True)
def nothing_prepared(monkeypatch):
    monkeypatch.setattr(kernel_runner, "_ready", set())


@pytest.fixture
def load():
    """Loads the kernels as at the first call."""
    return kernel_runner._loaded.__wrapped__


PASS_ONCE = """
import logging, torch
logging.basicConfig()
from rvm_studio.core.engines.full_size import full_size, kernel_runner
frames = torch.full((1, 3, 20, 30), 100, dtype=torch.uint8)
print(kernel_runner.compiled_kernels() is not None, full_size.reduce(frames, 0.5).mean().item())
"""


@pytest.mark.slow
def test_a_broken_cache_on_disk_repairs_itself(tmp_path):
    pytest.importorskip("numba")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run():
        done = subprocess.run([sys.executable, "-c", PASS_ONCE], env=environment, capture_output=True, text=True)
        assert done.stdout.startswith("True 0.392"), done.stderr
        return done.stderr

    assert "compiling it again" not in run()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for broken in (b"nonsense", files[0].read_bytes()[:50]):
        for path in files:
            path.write_bytes(broken)
        assert "compiling it again" in run()
    assert "compiling it again" not in run()


def test_the_files_of_a_broken_kernel_alone_are_removed(tmp_path, caplog):
    for name in ("kernels.add-23.py311.nbi", "kernels.add-23.py311.1.nbc", "kernels.add_two-9.py311.nbi", "other"):
        (tmp_path / name).touch()
    kernel, picture = FakeKernel(tmp_path, broken=1), np.zeros((40, 3), np.uint8)
    run_rows(kernel, 40, picture)
    assert {path.name for path in tmp_path.iterdir()} == {"kernels.add_two-9.py311.nbi", "other"}
    assert (picture == 1).all()
    assert "the compiled add on disk cannot be used (Ran out of input)" in caplog.text


def test_a_kernel_that_cannot_be_compiled_either(tmp_path):
    kernel, picture = FakeKernel(tmp_path, broken=4), np.zeros((40, 3), np.uint8)
    with pytest.raises(EOFError):
        run_rows(kernel, 40, picture)
    assert not picture.any()
    with pytest.raises(EOFError):  # nor does it count as prepared
        run_rows(kernel, 40, picture)
    run_rows(kernel, 40, picture)
    assert (picture == 1).all()


def test_prepared_once_for_each_kernel_and_dtype(tmp_path):
    """By a call for no rows, before several threads call at once."""
    first, second = FakeKernel(tmp_path), FakeKernel(tmp_path, name="second")
    for kernel, dtype, size, prepares in (
        (first, np.uint8, 40, True),
        (first, np.uint8, 9, False),
        (first, np.float32, 40, True),
        (second, np.uint8, 40, True),
        (first, np.uint8, 40, False),
    ):
        kernel.calls.clear()
        picture = np.zeros((size, 3), dtype)
        run_rows(kernel, size, picture)
        assert (kernel.calls[0] == (0, 0)) is prepares
        assert kernel.calls.count((0, 0)) == prepares
        assert (picture == 1).all(), "every row once"


@pytest.mark.parametrize(("value", "compiled"), [("1", False), ("0", True)])
def test_numba_that_is_told_not_to_compile(load, monkeypatch, value, compiled):
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
    assert (load() is not None) is compiled


def without_kernels(monkeypatch):
    """As if they had not been imported yet."""
    package = importlib.import_module(PACKAGE)
    monkeypatch.delattr(package, "kernels", raising=False)
    monkeypatch.delitem(sys.modules, f"{PACKAGE}.kernels", raising=False)
    return package


def test_without_numba(load, monkeypatch, caplog):
    without_kernels(monkeypatch)
    monkeypatch.setitem(sys.modules, "numba", None)
    with caplog.at_level(logging.WARNING):
        assert load() is None
    assert not caplog.text, "it is optional"


def test_a_numba_that_does_not_work_is_reported(load, monkeypatch, tmp_path, caplog):
    def reduce_interleaved(*given):
        raise SystemError("initialization of _internal failed")

    reduce_interleaved.stats = types.SimpleNamespace(cache_path=str(tmp_path))
    module = types.SimpleNamespace(reduce_interleaved=reduce_interleaved)
    monkeypatch.setattr(without_kernels(monkeypatch), "kernels", module, raising=False)
    assert load() is None
    assert "numba does not work here (SystemError: initialization of _internal failed)" in caplog.text
    assert "falling back to plain PyTorch" in caplog.text


def test_loaded_once_while_other_threads_wait(monkeypatch):
    begun, found, loads = threading.Event(), threading.Event(), []

    @functools.cache
    def slow():
        loads.append(threading.current_thread().name)
        begun.set()
        assert not found.wait(0.1), "the other thread waits for the kernels"
        return types

    monkeypatch.setattr(kernel_runner, "_loaded", slow)
    kernel_runner.load_kernels_ahead()
    assert begun.wait(PATIENCE)
    assert compiled_kernels() is types
    found.set()
    assert loads == ["rvm-kernels"]
