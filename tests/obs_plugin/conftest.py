"""OBS with the script and a worker whose mattes are known, skipped where OBS or an X server is missing; and the worker
without OBS."""

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent.parent / "obs_plugin"
sys.path.extend([str(PLUGIN), str(HERE), str(HERE.parent / "patience")])

import headless_obs  # noqa: E402
import torch  # noqa: E402
from patience import PATIENCE  # noqa: E402
from rvm_studio.core import MattingNetwork  # noqa: E402
from rvm_studio.core.weights import network_weights as weights  # noqa: E402
from worker_process import Worker  # noqa: E402

# Stands in the place of the product's module of this name: starts the worker that the test asks for.
ENVIRONMENT = """
import os

def find_python(folder):
    return {python!r}

def worker_command(python, arena_name):
    env = {{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}}
    return [python, "-u", {worker!r}, arena_name, *{arguments!r}], env, {{}}
"""


# The product's own worker, in the environment of the tests.
REAL_ENVIRONMENT = """
from rvm_real_environment import *

def find_python(folder):
    return {python!r}
"""


def copy_plugin(folder: Path, arguments=None) -> Path:
    """Copies the plugin's files into a folder whose name is not all ASCII. known_worker.py is their worker, with these
    arguments; without any it is the product's own. Returns the script to add in OBS."""
    plugin = folder / "obs_plügin"
    plugin.mkdir(exist_ok=True)
    for path in PLUGIN.iterdir():
        if path.is_file():
            shutil.copy(path, plugin)
    environment = plugin / "rvm_environment.py"
    if arguments is None:
        environment.rename(plugin / "rvm_real_environment.py")
        environment.write_text(REAL_ENVIRONMENT.format(python=sys.executable))
    else:
        known = str(HERE / "known_worker.py")
        text = ENVIRONMENT.format(python=sys.executable, worker=known, arguments=[str(a) for a in arguments])
        environment.write_text(text)
    return plugin / "rvm_obs.py"


# In OBS's log: a failed drawing, an error in the Python script, and any line of the filter: it reports errors only.
COMPLAINTS = (
    "(GL) failed",
    "Could not find attribute",
    "Error compiling",
    "[Lua: rvm_filter.lua]",
    "Traceback",
    "cannot draw",
)


class Control:
    """Runs Python inside OBS (obs_control.py)."""

    def __init__(self, folder: Path):
        self.path = folder / "control"

    def __call__(self, code: str):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.path))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(code).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.read())
        assert "error" not in answer, answer["error"]
        return answer["result"]


def read_report(obs) -> dict:
    path = obs.folder / "report.json"
    if not path.exists():
        obs.wait_until(path.exists, "the worker")
    return json.loads(path.read_text())


def pytest_collection_modifyitems(items):
    for item in items:
        if "start_obs" in getattr(item, "fixturenames", ()):
            item.add_marker("alone")


@pytest.fixture
def start_obs(tmp_path):
    """start_obs(sources, mask=None, delay=0, control=False, scripts=(), held=False, **options of HeadlessObs): OBS with
    the script and known_worker.py; without a mask, with the product's worker. obs.report(): what the known worker
    reports. While there is a file obs.hold it gives no mattes; held: from the beginning.
    control: obs.control(code) runs Python inside OBS, and the script is loaded by the script that does so, under the
    path obs.script."""
    if headless_obs.missing():
        pytest.skip(headless_obs.missing())
    started = []

    def start(
        sources, mask=None, delay=0, control=False, scripts=(), held=False, **options
    ) -> headless_obs.HeadlessObs:
        folder = tmp_path / f"obs{len(started)}"
        folder.mkdir()
        script = copy_plugin(folder, None if mask is None else (mask, delay, folder / "report.json"))
        scripts = [HERE / "obs_control.py" if control else script, *scripts]
        if control:
            environment = {"RVM_CONTROL": str(folder / "control"), "RVM_CONTROL_LOADS": str(script)}
            options["env"] = {**options.get("env", {}), **environment}
        obs = headless_obs.HeadlessObs(folder, sources, scripts, **options)
        obs.script, obs.control, obs.report = script, Control(folder), lambda: read_report(obs)
        obs.hold = folder / "report.json.hold"
        if held:
            obs.hold.touch()
        started.append(obs)
        return obs.start()

    yield start
    for obs in started:
        obs.stop()
    for obs in started:
        assert not [line for line in obs.log_text().splitlines() if any(sign in line for sign in COMPLAINTS)]


# ---- the worker without OBS


@pytest.fixture(scope="module")
def one_thread():
    """Like the worker that the results are compared with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MattingNetwork().eval()


@pytest.fixture(scope="module")
def weights_file(network, tmp_path_factory):
    return weights.save(network, tmp_path_factory.mktemp("weights") / "random.safetensors", {})


@pytest.fixture
def start_worker(tmp_path, weights_file):
    started = []

    def start(**options):
        started.append(Worker(tmp_path, **{"RVM_WEIGHTS": str(weights_file), **options}))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture(scope="module")
def shared_worker(tmp_path_factory, weights_file):
    worker = Worker(tmp_path_factory.mktemp("worker"), RVM_WEIGHTS=str(weights_file))
    yield worker
    worker.stop()


@pytest.fixture
def worker(shared_worker):
    """A running worker whose slots are free."""
    assert shared_worker.process.poll() is None, shared_worker.said()
    yield shared_worker
    for slot in shared_worker.arena.slots:
        slot.control.instance = 0
    assert shared_worker.process.poll() is None, shared_worker.said()
