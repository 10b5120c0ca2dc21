"""The worker's process: its start, its end, what it says without weights, and its check."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import rvm_environment
import rvm_frame_protocol as protocol
import rvm_slots
import torch
from patience import PATIENCE, wait_for
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.root import PACKAGE
from rvm_studio.core.stream.live import SharedEngines
from rvm_studio.core.weights import network_weights as weights
from worker_process import Camera, moving_pictures, session_alphas

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at once", "loading", "idle", "matting"])
def test_it_ends_with_its_input(start_worker, moment):
    """Even in the middle of work that never ends."""
    worker = start_worker(held=moment if moment in ("loading", "matting") else "")
    if moment == "loading":
        wait_for(lambda: worker.gate.held, "the loading")
        assert worker.state == protocol.STARTING
    elif moment != "at once":
        worker.wait_until(protocol.READY)
    if moment == "matting":
        camera = Camera(worker.arena.slots[0])
        camera.send(moving_pictures(360, 640, 1)[0])
        wait_for(lambda: worker.gate.held, "the matting")
        assert camera.control.matte_count == 0
    assert worker.leave() == 0
    assert worker.said() == ["", ""]


@pytest.mark.slow
def test_after_a_kill_a_new_one_goes_on_and_nothing_is_left(start_worker, network):
    shared_memory = Path("/dev/shm")
    before = sorted(shared_memory.iterdir()) if shared_memory.is_dir() else []
    worker = start_worker()
    camera = Camera(worker.arena.slots[0])
    pictures = moving_pictures(40, 60, 4)
    camera.alphas_of(pictures)
    number = camera.send(moving_pictures(720, 1280, 1)[0])
    wait_for(lambda: camera.control.taken == number, "the large picture")
    worker.process.kill()
    assert worker.process.wait() == -9
    worker.process.stdin.close()
    worker.start()
    assert worker.state_at_start == protocol.STARTING
    assert np.array_equal(camera.alphas_of(pictures, epoch=2), session_alphas(network, pictures))
    worker.process.kill()
    worker.process.wait()
    if shared_memory.is_dir():
        assert [path for path in sorted(shared_memory.iterdir()) if path not in before and "rvm" in path.name] == []


def test_it_leaves_when_another_has_taken_its_place(start_worker):
    worker = start_worker()
    worker.wait_until(protocol.READY)
    worker.arena.prepare_worker()
    assert worker.process.wait(PATIENCE) == 0
    assert worker.state == protocol.STARTING  # the other's
    assert "Another worker" in worker.said()[1]


@pytest.mark.slow
def test_missing_weights_do_not_end_it(start_worker, weights_file, tmp_path):
    worker = start_worker(RVM_WEIGHTS=str(tmp_path / "nowhere.pth"))
    camera = Camera(worker.arena.slots[0], "Desk")
    worker.wait_until(protocol.FAILED)
    assert worker.status["error"].startswith(f"Desk: RVM_WEIGHTS is {tmp_path / 'nowhere.pth'}, which does not exist")
    camera.write_settings(model=str(weights_file))
    camera.matte_of(moving_pictures(40, 60, 1)[0])
    worker.wait_until(protocol.READY)
    wait_for(lambda: worker.status["error"] == "")
    assert worker.status["model"] == str(weights_file)


def test_without_a_network_it_says_what_obs_can_do(start_worker, tmp_path):
    models = tmp_path / "models"
    worker = start_worker(RVM_WEIGHTS="", RVM_MODELS_DIR=str(models), RVM_MIRROR="http://127.0.0.1:9")
    Camera(worker.arena.slots[0], "Desk")
    worker.wait_until(protocol.FAILED)
    message, *choices = worker.status["error"].splitlines()
    assert message.startswith(
        "Desk: http://127.0.0.1:9/rvm_mobilenetv3.pth could not be downloaded: the server cannot be reached"
    )
    assert choices == [
        "  1. connect to a network: the download is tried again every 30 seconds",
        f"  2. put rvm_mobilenetv3.pth into {models}",
        "  3. use the bundled weights, which give a rough result: set the variable RVM_WEIGHTS to "
        f"{weights.STARTER_PATH}, then run {sys.executable} "
        f"{PACKAGE / 'install.py'} --obs and restart OBS",
    ]
    assert set(re.findall(r"RVM_\w+", "".join(choices))) <= set(rvm_environment.KEPT_VARIABLES)


def test_a_python_without_the_package_says_what_to_do(start_worker, tmp_path):
    venv.create(tmp_path / "bare", symlinks=os.name != "nt")
    python = rvm_environment.venv_python(str(tmp_path / "bare"))
    worker = start_worker(python=python)
    assert worker.process.wait(PATIENCE) == 1
    out, err = worker.said()
    sentence = json.loads(out.splitlines()[-1])["error"]
    assert sentence.startswith(f"The Python at {python} cannot load RVM Studio: No module named")
    assert "install.py --obs" in sentence
    assert worker.state == protocol.FAILED
    assert worker.status["error"] == sentence
    assert "Traceback" in err


def run_worker(*arguments, **variables):
    argv, env, options = rvm_environment.worker_command(sys.executable, *arguments)
    nothing, env = subprocess.DEVNULL, {**env, **variables}
    done = subprocess.run(argv, env=env, stdin=nothing, capture_output=True, text=True, timeout=PATIENCE, **options)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr


@pytest.mark.parametrize("name", ["nonsense", "fd:4096000:1:77", "tag:99:1:x"])
def test_an_arena_that_is_not_there(name):
    code, said = run_worker(name)
    assert code == 1
    assert name in said["error"]


def test_it_explains_itself():
    code, said = run_worker()
    assert code == 2
    assert "rvm_obs.py starts it" in said


@pytest.mark.slow
def test_the_check(weights_file, tmp_path):
    code, found = run_worker("--check", RVM_WEIGHTS=str(weights_file), RVM_THREADS="1")
    assert code == 0
    assert found["weights"] == str(weights_file)
    assert found["device"].startswith("CPU, 1 threads") or torch.cuda.is_available()
    code, found = run_worker("--check", RVM_WEIGHTS=str(tmp_path / "gone.pth"), RVM_THREADS="1")
    assert code == 1
    assert "gone.pth, which does not exist" in found["error"]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("RVM_WEIGHTS", "", "The weights of mobilenetv3 are not in "),
        ("RVM_THREADS", "many", "RVM_THREADS is 'many'"),
        ("RVM_THREADS", "0", "RVM_THREADS is '0'"),
    ],
)
def test_what_the_check_finds(monkeypatch, weights_file, tmp_path, variable, value, text):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("RVM_WEIGHTS", str(weights_file))
    monkeypatch.setenv("RVM_THREADS", "1")
    there, choice = rvm_slots.check(), SharedEngines().choice
    assert (there["engine"], there["precision"]) == (choice.engine, choice.precision)
    monkeypatch.setenv(variable, value)
    with pytest.raises(StudioError, match=text):
        rvm_slots.check()
