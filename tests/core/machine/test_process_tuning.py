"""The settings are taken, or politely left out."""

import ctypes
import gc
import os
import subprocess
import sys

import pytest
from rvm_studio.core.machine import process_tuning


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert process_tuning.keep_freed_memory() is False


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs Linux with glibc")
def test_freed_memory_stays_in_the_process():
    """Page faults of writing a fresh 40 MB buffer 60 times: every page each time, or only until the heap has room."""
    code = (
        "import resource, torch; from rvm_studio.core.machine.process_tuning import keep_freed_memory\n"
        "if {tuned}: assert keep_freed_memory()\n"
        "torch.zeros(1); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(60): torch.ones(10 * 2**20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = {
        tuned: int(subprocess.check_output([sys.executable, "-c", code.format(tuned=tuned)], text=True))
        for tuned in (False, True)
    }
    assert faults[True] * 4 < faults[False]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs Linux with glibc")
def test_holes_are_given_back():
    """Of 64 buffers every other one is freed: the holes stay resident until they are given back."""
    code = (
        "import os, torch\n"
        "from rvm_studio.core.machine.process_tuning import give_freed_memory_back, keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20\n"
        "kept = [torch.ones(2**20) for _ in range(64)][::2]\n"
        "full = resident(); give_freed_memory_back(); print(full - resident(), sum(x.sum().item() for x in kept))"
    )
    given, left = map(float, subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert given > 0.8 * 32 * 4
    assert left == 32 * 2**20


def test_threads_are_told_to_sleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr(process_tuning, "keep_freed_memory", lambda: True)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    process_tuning.tune_process()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    process_tuning.tune_process()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_no_garbage_is_looked_for_while_loading():
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    try:
        with process_tuning.loading():
            assert not gc.isenabled()
            with process_tuning.loading():
                pass
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
    with pytest.raises(ZeroDivisionError), process_tuning.loading():
        raise ZeroDivisionError
    assert gc.isenabled()
