"""A real ComfyUI for the tests in this folder: COMFYUI_PATH names the checkout; see README.md beside this file."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rvm_studio.core import MattingSession
from rvm_studio.core.engines import build, choose
from rvm_studio.core.weights.network_weights import load_network

from .comfy_client import ComfyClient
from .comfy_server import HERE, ComfyServer, Installation, make_base
from .sample_inputs import write_inputs

REASON = "{} tests need a ComfyUI checkout: set COMFYUI_PATH (tests/rvm_nodes/real/README.md)"


def pytest_collection_modifyitems(config, items):
    """Without a checkout one test stands for all, and says why it is skipped."""
    mine = [item for item in items if HERE in item.path.parents]
    if mine and Installation.from_environment() is None:
        mine[0].add_marker(pytest.mark.skip(reason=REASON.format(len(mine))))
        items[:] = [item for item in items if item not in mine[1:]]
        config.hook.pytest_deselected(items=mine[1:])


@pytest.fixture(scope="session")
def installation() -> Installation:
    found = Installation.from_environment()
    assert found
    return found


@pytest.fixture(scope="session")
def server(installation, reference_weights, tmp_path_factory):
    """ComfyUI, up and running, with the pack, its neighbours, the weights and the example workflows' inputs."""
    base = make_base(tmp_path_factory.mktemp("comfyui"), installation, reference_weights)
    write_inputs(base / "input")
    with ComfyServer(installation, base) as running:
        yield running


@pytest.fixture
def client(server):
    """A connection of its own for every test, and a server that is idle again afterwards."""
    connection = ComfyClient(server.url)
    yield connection
    connection.json("/queue", {"clear": True})
    while connection.json("/queue")["queue_running"]:
        connection.interrupt()
        time.sleep(0.2)
    connection.close()


@pytest.fixture
def schemas(client) -> dict[str, dict]:
    """/object_info"""
    return client.object_info()


@pytest.fixture
def model_file(server, client):
    """`model_file(name, contents)` puts a file into models/rvm for one test, known to the server."""
    made = []

    def put(name: str, source: Path | bytes) -> str:
        place = server.base / "models" / "rvm" / name
        made.append(place)
        place.write_bytes(source) if isinstance(source, bytes) else shutil.copyfile(source, place)
        return name

    yield put
    for place in made:
        place.unlink(missing_ok=True)


@pytest.fixture
def video_helper_suite(installation) -> None:
    if installation.video_helper_suite is None:
        pytest.skip("needs VideoHelperSuite: set COMFYUI_VHS_PATH")


@pytest.fixture
def kept(server) -> Callable[[str], np.ndarray]:
    """`kept(name)`: all that AAAKeep has written under the name, its runs joined along the frames."""

    def join(name: str) -> np.ndarray:
        folder = server.base / "output" / "kept"
        parts = [np.load(folder / f"{name}_{n}.npy") for n in range(len(list(folder.glob(f"{name}_*.npy"))))]
        assert parts, f"nothing was kept as {name}"
        return np.concatenate(parts)

    return join


@pytest.fixture(scope="session")
def engine(reference_weights):
    """As the nodes have it on a CPU."""
    return build(load_network(reference_weights), choose(torch.device("cpu"), precision="fp32"))


@pytest.fixture
def core_alpha(engine):
    """`core_alpha(images)`: alpha [T, H, W] of IMAGE frames [T, H, W, 3] by the core alone, in one session."""

    def matte(images: np.ndarray, **options) -> np.ndarray:
        session = MattingSession(engine, **{"warm_up": 12, **options})
        frames = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        return session.matte(frames)[1][:, 0].numpy()

    return matte


@pytest.fixture
def output(server) -> Callable[[str], Path]:
    """`output("video/part_1*.mov")`: the newest file of that name in the output folder."""

    def newest(pattern: str) -> Path:
        found = sorted((server.base / "output").glob(pattern), key=lambda path: path.stat().st_mtime)
        assert found, f"no {pattern} among {sorted(map(str, (server.base / 'output').rglob('*')))}"
        return found[-1]

    return newest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the server said lately goes under a failed test's report."""
    report = yield
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and running:
        report.sections.append(("ComfyUI's log", running.log(8000)))
    return report
