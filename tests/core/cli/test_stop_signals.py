"""Signals between two frames, in processes of their own: the second one ends them."""

import os
import signal
import subprocess
import sys

import pytest
from rvm_studio.core.cli.stop_signals import stop_on_signal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_work_goes_on(number, capfd):
    with stop_on_signal() as (stop, received):
        assert not stop.is_set()
        assert received == []
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert received == [number]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "rvm-studio: stopping, finishing the files (press Ctrl-C again to end at once)\n"


def test_afterwards_the_handlers_are_as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_on_signal():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(ValueError, match="mine"), stop_on_signal():
        raise ValueError("mine")
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_ends_the_process_at_once(first, second):
    """128 + the signal's number, as shells say it; nothing behind it runs."""
    code = """
import os, sys, time
from rvm_studio.core.cli.stop_signals import stop_on_signal
with stop_on_signal() as (stop, received):
    os.kill(os.getpid(), int(sys.argv[1]))
    stop.wait()
    print("still here", flush=True)
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(60)
print("too late")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(int(first)), str(int(second))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 128 + second
    assert done.stdout == "still here\n"
    assert done.stderr.count("stopping, finishing the files") == 1


def test_a_closed_standard_error_hinders_nothing():
    code = """
import os
from rvm_studio.core.cli.stop_signals import stop_on_signal
os.close(2)
with stop_on_signal() as (stop, received):
    os.kill(os.getpid(), 15)
    stop.wait()
print(received)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[15]\n")


def test_a_signal_while_the_event_is_in_use_does_not_hang():
    """Two signals right after each other reach the handler while it, or a wait, holds the lock of an ordinary event."""
    code = """
import os
from rvm_studio.core.cli.stop_signals import stop_on_signal
with stop_on_signal() as (stop, received):
    with stop._cond:
        os.kill(os.getpid(), 2)
    stop.wait()
    print(received)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[2]\n")
