"""The settings are taken, or politely left out."""

import ctypes
import gc
import os
import subprocess
import sys

import pytest
from rvm_studio.core import process_tuning


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert process_tuning.keep_freed_memory() is False


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs Linux with glibc")
def test_freed_memory_stays_in_the_process():
    """Page faults of writing a fresh 64 MB buffer 60 times: every page each time, or only until the heap has room."""
    code = (
        "import resource, torch; from rvm_studio.core.process_tuning import keep_freed_memory\n"
        "if {tuned}: assert keep_freed_memory()\n"
        "torch.zeros(1); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(60): torch.ones(16 * 2**20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = {
        tuned: int(subprocess.check_output([sys.executable, "-c", code.format(tuned=tuned)], text=True))
        for tuned in (False, True)
    }
    assert faults[True] * 4 < faults[False]


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
