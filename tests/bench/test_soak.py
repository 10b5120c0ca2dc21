"""The soak measures a real worker, and tells what grows."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks' worker inherits an open file")


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    spec = importlib.util.spec_from_file_location("rvm_soak", BENCH / "soak.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_grows_is_named(soak):
    flat = soak.Sample(1, 100, 500, 100, 40, 12, 5, 9)
    assert soak.grown([flat] * 9) == []
    assert soak.grown([flat, *[flat._replace(worker_mb=520)] * 2]) == []  # within what an allocator does
    leaks = {"worker_mb": 600, "own_mb": 200, "handles": 60, "threads": 30, "p95_ms": 90}
    for name, value in leaks.items():
        found = soak.grown([flat] * 6 + [flat._replace(**{name: value})] * 3)
        assert found == [f"{name} has grown from {getattr(flat, name):.1f} to {value:.1f}"]


@pytest.mark.slow
def test_a_short_soak_is_flat():
    command = [
        sys.executable,
        str(BENCH / "soak.py"),
        "--minutes",
        "0.1",
        "--samples",
        "3",
        "--sizes",
        "96x64",
        "64x48",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = run.stdout.splitlines()
    assert len(lines) >= 5, run.stderr
    assert lines[0].split()[:3] == ["minutes", "mattes", "worker_mb"]
    for line in lines[1:4]:
        _, mattes, worker_mb, own_mb, handles, threads, p50, p95 = map(float, line.split())
        assert min(mattes, worker_mb, own_mb, handles, threads) >= 1
        assert 0 < p50 <= p95
    # Latency depends on what else the machine does; handles and threads must not grow in any case.
    assert not [line for line in lines[4:] if line.startswith(("handles", "threads"))]
