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
        assert stop.is_set()
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
@pytest.mark.parametrize("how", ["later", "third"])
def test_another_wish_ends_the_process_at_once(first, second, how):
    """128 + the signal's number, as shells say it; nothing behind it runs. A repeat at once is the same wish."""
    code = """
import os, sys, time
from rvm_studio.core.cli import stop_signals
stop_signals.SAME_WISH = 0 if sys.argv[3] == "later" else 60
with stop_signals.stop_on_signal() as (stop, received):
    os.kill(os.getpid(), int(sys.argv[1]))
    assert stop.is_set()
    if sys.argv[3] == "third":
        os.kill(os.getpid(), int(sys.argv[2]))
    print("still here", flush=True)
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(60)
print("too late")
"""
    command = [sys.executable, "-c", code, str(int(first)), str(int(second)), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
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


def test_two_signals_at_once_never_hang():
    """At many moments of the handler: each child gets two while it looks at the flag without a pause."""
    code = """
import os, signal, sys
from rvm_studio.core.cli.stop_signals import stop_on_signal
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
with stop_on_signal() as (stop, received):
    os.write(1, b"x")
    while not stop.is_set():
        sum(range(50))
sys.exit(0 if received else 1)
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
    for process in processes:
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in processes] == [0] * len(processes)
    for process in processes:
        process.stdout.close()


def test_a_handler_that_is_interrupted_by_another_signal_anywhere(monkeypatch):
    """At each of its lines."""
    lines = []

    def run(at):
        with stop_on_signal() as (stop, received):
            handler = signal.getsignal(signal.SIGINT)
            seen = [0]

            def trace(frame, event, _):
                if frame.f_code is not handler.__code__:
                    return None
                if event == "line":
                    seen[0] += 1
                    if seen[0] == at:
                        sys.settrace(None)
                        handler(signal.SIGTERM, None)
                return trace

            sys.settrace(trace)
            handler(signal.SIGINT, None)
            sys.settrace(None)
            lines.append(seen[0])
            return stop.is_set(), len(received)

    monkeypatch.setattr("os.write", lambda *_: 0)
    assert run(0) == (True, 1)
    for at in range(1, lines[0] + 1):
        assert run(at) == (True, 1), at
