"""One worker is kept alive; its end, its silence and its errors are noticed."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import rvm_frame_protocol as protocol
import rvm_supervisor
from patience import PATIENCE, wait_for
from rvm_supervisor import Supervisor, restart_delay

PLUGIN = Path(rvm_supervisor.__file__).parent
BEGIN = f"""
import os, sys, threading, time
sys.path.insert(0, {str(PLUGIN)!r})
import rvm_frame_protocol as protocol
arena = protocol.Arena.attach(sys.argv[1])
"""
READY = BEGIN + "arena.write_status(protocol.READY, device='test')\n"
BEATING = """
def beat():
    while True:
        arena.beat()
        time.sleep(0.05)
threading.Thread(target=beat, daemon=True).start()
"""
PATIENT = READY + BEATING
GOOD = PATIENT + "os.read(0, 1)\n"
DEAF = PATIENT + "while True: time.sleep(1)\n"


UNSEEN = "a worker was started, and is not seen to be ready yet"


class Watched:
    """A supervisor of workers that run `code`."""

    def __init__(self, code, python=sys.executable):
        self.arena, self.code, self.python, self.log = protocol.Arena.create(1), code, python, []
        self.starts = []
        self.supervisor = Supervisor(self.arena, self.command, self.log.append)
        self.supervisor.start()

    def command(self, name):
        self.starts.append(time.monotonic())
        if isinstance(self.code, Exception):
            raise self.code
        self.supervisor.error = UNSEEN  # the supervisor takes that back once it has seen the worker ready
        return [self.python, "-c", self.code, name], dict(os.environ), {}

    def wait(self, condition):
        wait_for(condition, tells=lambda: (self.supervisor.error, self.log))

    def is_ready(self, but=0):
        return self.supervisor.pid not in (0, but) and self.supervisor.error == ""


class Process(subprocess.Popen):
    """A process that notes how long it was waited for, and whether it was killed."""

    def __init__(self, *arguments, **options):
        self.waits, self.kills = [], 0
        super().__init__(*arguments, **options)

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return super().wait(timeout)

    def kill(self):
        self.kills += 1
        super().kill()


@pytest.fixture
def processes(monkeypatch):
    """All that supervisors have started."""
    made = []

    def start(*arguments, **options):
        made.append(Process(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return made


@pytest.fixture
def delays(monkeypatch):
    """The seconds that supervisors choose to wait before they start a worker again; they wait a tenth of it."""
    made = []

    def note(*arguments):
        made.append(restart_delay(*arguments))
        return made[-1] / 10

    monkeypatch.setattr(rvm_supervisor, "restart_delay", note)
    return made


@pytest.fixture
def watch():
    made = []

    def start(*arguments):
        made.append(Watched(*arguments))
        return made[-1]

    yield start
    for watched in made:
        watched.supervisor.stop()
        watched.arena.close()


def test_a_good_worker_ends_with_its_input(watch, processes, monkeypatch):
    monkeypatch.setattr(rvm_supervisor, "STOP_TIMEOUT", PATIENCE)
    watched = watch(GOOD)
    watched.wait(watched.is_ready)
    watched.supervisor.stop()
    (process,) = processes
    assert (process.returncode, process.kills) == (0, 0)
    assert not psutil.pid_exists(process.pid)
    assert watched.arena.header.worker_state == protocol.ABSENT
    assert watched.log == []
    assert watched.supervisor.error == ""


def test_a_deaf_worker_is_killed(watch, processes):
    """After the two seconds that OBS may be kept waiting."""
    watched = watch(DEAF)
    watched.wait(watched.is_ready)
    watched.supervisor.stop()
    (process,) = processes
    assert (process.returncode, process.kills) == (-signal.SIGKILL, 1)
    assert process.waits == [2.0, None]
    assert not psutil.pid_exists(process.pid)


def test_a_killed_worker_comes_back_at_once(watch, delays):
    watched = watch(GOOD)
    watched.wait(watched.is_ready)
    for _ in range(3):
        pid = watched.supervisor.pid
        os.kill(pid, signal.SIGKILL)
        watched.wait(lambda pid=pid: watched.is_ready(pid))
    assert delays == [0.1] * 3
    assert len(watched.log) == 3
    assert all("code -9" in line for line in watched.log)


def test_restart(watch):
    watched = watch(GOOD)
    watched.wait(watched.is_ready)
    pid = watched.supervisor.pid
    watched.supervisor.restart()
    watched.wait(lambda: watched.is_ready(pid))
    assert watched.log == []


def test_a_silent_worker_is_replaced(monkeypatch, watch):
    monkeypatch.setattr(rvm_supervisor, "SILENCE", 0.5)
    monkeypatch.setattr(rvm_supervisor, "STOP_TIMEOUT", 0.2)
    watched = watch(READY + "time.sleep(60)\n")
    watched.wait(lambda: len(watched.starts) >= 2)
    assert "has not answered" in watched.log[0]


def test_what_a_crash_said_is_reported(watch):
    watched = watch(BEGIN + "print('loading')\nraise MemoryError('the GPU is full')\n")
    watched.wait(lambda: watched.log)
    assert watched.supervisor.error == "The worker ended with code 1: MemoryError: the GPU is full"


def test_an_error_in_json_is_reported(watch):
    watched = watch("print('12')\nprint('{\"error\": \"No arena.\"}')\nraise SystemExit(1)\n")
    watched.wait(lambda: watched.log)
    assert watched.supervisor.error == "The worker ended with code 1: No arena."


def test_what_the_worker_wrote_last_comes_first(watch):
    watched = watch(BEGIN + "arena.write_status(protocol.FAILED, error='No weights at x.')\nraise SystemExit(3)\n")
    watched.wait(lambda: watched.log)
    assert watched.supervisor.error == "The worker ended with code 3: No weights at x."


def test_it_waits_longer_each_time_that_nothing_gets_ready(watch, delays, monkeypatch):
    watched = watch(RuntimeError("Run install.py first."))
    watched.wait(lambda: len(delays) >= 4)
    assert watched.supervisor.error == "Run install.py first."
    assert delays[:4] == [1, 2, 4, 8]
    gaps = [after - before for before, after in pairwise(watched.starts)]
    assert all(gap >= delay / 10 for gap, delay in zip(gaps, delays, strict=False))
    monkeypatch.setattr(rvm_supervisor, "restart_delay", lambda *_: PATIENCE)
    watched.wait(lambda: len(watched.starts) >= 5)  # from now on it waits for good
    watched.code = GOOD
    watched.supervisor.restart()
    watched.wait(watched.is_ready)


def test_a_program_that_does_not_exist_is_reported(watch):
    watched = watch(GOOD, "/no/such/python")
    watched.wait(lambda: watched.log)
    assert "/no/such/python" in watched.supervisor.error


def test_delays():
    assert [restart_delay(False, n, n) for n in (1, 2, 3, 4, 9)] == [1, 2, 4, 8, 60]
    assert restart_delay(True, 0, 10) == 0.1
    assert restart_delay(True, 0, 16) == 10
