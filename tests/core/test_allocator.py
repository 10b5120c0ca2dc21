"""The allocator setting is taken, or politely left out."""

import ctypes
import subprocess
import sys

import pytest
from rvm_studio.core import allocator


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert allocator.keep_freed_memory() is False


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs Linux with glibc")
def test_freed_memory_stays_in_the_process():
    """Page faults of writing a fresh 64 MB buffer 20 times: every page each time, or only once."""
    code = (
        "import resource, torch; from rvm_studio.core.allocator import keep_freed_memory\n"
        "if {tuned}: assert keep_freed_memory()\n"
        "torch.zeros(1); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): torch.ones(16 * 2**20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = {
        tuned: int(subprocess.check_output([sys.executable, "-c", code.format(tuned=tuned)], text=True))
        for tuned in (False, True)
    }
    assert faults[True] * 4 < faults[False]
