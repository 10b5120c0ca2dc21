"""The worker, as a process with the filter's side of the protocol in this one, and its parts in this process."""

# T frames, H, W

import json
import os
import re
import subprocess
import sys
import threading
import venv
from pathlib import Path

import filter_side
import numpy as np
import psutil
import pytest
import rvm_environment
import rvm_frame_protocol as protocol
import rvm_slots
import rvm_worker
import torch
from patience import PATIENCE, wait_for
from rvm_studio.core import MattingNetwork, MattingSession
from rvm_studio.core.engines import Engine, EngineOutput, build, choose
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.root import PACKAGE
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.stream.live import SharedEngines
from rvm_studio.core.weights import network_weights as weights

HELD_WORKER = Path(__file__).with_name("held_worker.py")
SLOTS = 3
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the worker that is compared with."""
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


class Gate:
    """Lets through what held_worker.py holds."""

    def __init__(self, path: Path):
        self.path = path
        path.write_bytes(b"")

    def open(self) -> None:
        """For one more."""
        with self.path.open("ab") as file:
            file.write(b".")

    @property
    def held(self) -> int:
        """How many have been held so far, the one that is held now included."""
        path = self.path.with_name(self.path.name + ".held")
        return path.stat().st_size if path.exists() else 0


class Worker:
    """A worker process and the arena it serves. held: "loading" or "matting", where `gate` holds it."""

    def __init__(self, folder: Path, python=sys.executable, slots=SLOTS, held="", **variables):
        self.arena, self._folder, self._python, self._variables = (
            protocol.Arena.create(slots),
            folder,
            python,
            variables,
        )
        self._held, self.gate = held, Gate(folder / "gate")
        self.start()

    def start(self):
        argv, env, options = rvm_environment.worker_command(self._python, self.arena.prepare_worker())
        self.state_at_start = self.state
        if self._held:
            argv = [*argv[:2], str(HELD_WORKER), self._held, str(self.gate.path), argv[-1]]
        env = {**env, "RVM_THREADS": "1", **self._variables}
        with (self._folder / "out.txt").open("w") as out, (self._folder / "err.txt").open("w") as err:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err, pass_fds=self.arena.inherited, **options
            )

    @property
    def state(self):
        return self.arena.header.worker_state

    @property
    def status(self):
        return self.arena.read_status()

    def wait_until(self, state):
        wait_for(lambda: self.state == state or self.process.poll() is not None, f"state {state}")
        assert self.state == state, f"{self.status} {self.said()}"

    def said(self):
        return [(self._folder / name).read_text() for name in ("out.txt", "err.txt")]

    def leave(self) -> int:
        """Ends the input; the process's code."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.arena.close()


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


instances = iter(range(1, 10**6))
numbers = iter(range(1, 10**9))  # of pictures: they never repeat in an arena


class Camera(filter_side.FilterSide):
    """A filter with the time of its pictures, which waits for mattes."""

    def __init__(self, slot, name="camera", **settings):
        super().__init__(slot, next(instances), name)
        self.time_ns = 0
        if settings:
            self.write_settings(**settings)

    def send(self, picture: np.ndarray, epoch=1, padding=0, after=1 / 30) -> int:
        """picture: [H, W, 4]. Returns its number."""
        height, width = picture.shape[:2]
        rows = np.zeros((height, 4 * width + padding), np.uint8)
        rows[:, : 4 * width] = picture.reshape(height, 4 * width)
        self.time_ns += int(after * 1e9)
        number = next(numbers)
        self.write_picture(number, width, height, rows.tobytes(), rows.shape[1], epoch, self.time_ns)
        return number

    def matte_of(self, picture: np.ndarray, **options):
        number = self.send(picture, **options)
        mattes = wait_for(lambda: [m for m in self.read_mattes() if m.number == number], "the matte")
        assert (mattes[0].height, mattes[0].width) == picture.shape[:2]
        return mattes[0]

    def alphas_of(self, pictures, **options) -> np.ndarray:
        """[T, H, W]"""
        return np.stack(
            [np.frombuffer(self.matte_of(x, **options).alpha, np.uint8).reshape(x.shape[:2]) for x in pictures]
        )


def moving_pictures(height=57, width=90, count=5, seed=0) -> np.ndarray:
    """[T, H, W, 4] of smooth moving colours."""
    t, y, x = np.meshgrid(np.arange(count), np.linspace(0, 3, height), np.linspace(0, 4, width), indexing="ij")
    t = t + 7 * seed
    planes = [np.sin(x + t / 9), np.cos(y * 2 - t / 8), np.sin(x * y + t / 9), np.ones_like(x)]
    return np.round(127.5 * (np.stack(planes, -1) + 1)).astype(np.uint8)


def session_alphas(network, pictures, edges=None, **settings) -> np.ndarray:
    """[T, H, W] uint8: what a session makes of the pictures, one by one, in the engine that is chosen here."""
    session = MattingSession(build(network, choose(CPU)), **{"scene_cut": True, **settings})
    out = torch.float32 if edges else torch.uint8
    pha = [session.matte(picture[None, ..., :3], out=out, foreground=False)[1] for picture in pictures]
    if not edges:
        return torch.cat(pha)[:, 0].numpy()
    return quantise(refine_edges(torch.cat(pha), edges), torch.uint8)[:, 0].numpy()


# ---- mattes


@pytest.mark.slow
def test_mattes_are_a_sessions_own(worker, network):
    camera = Camera(worker.arena.slots[0])
    pictures = moving_pictures()
    assert np.array_equal(camera.alphas_of(pictures), session_alphas(network, pictures))
    assert worker.state == protocol.READY
    assert camera.control.work_ns > 0
    assert camera.control.taken == camera.slot.picture_headers[camera.control.picture_count % 3].number


def test_padded_rows_change_nothing(worker, network):
    pictures = moving_pictures(33, 51, 3)
    camera = Camera(worker.arena.slots[0])
    assert np.array_equal(camera.alphas_of(pictures, padding=52), session_alphas(network, pictures))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (35, 2)])
def test_tiny_pictures(worker, network, height, width):
    pictures = moving_pictures(height, width, 2)
    camera = Camera(worker.arena.slots[0], scene_cuts=False)
    assert np.array_equal(camera.alphas_of(pictures), session_alphas(network, pictures, scene_cut=None))


@pytest.mark.slow
def test_several_filters_each_have_their_own_memory(worker, network):
    cameras = [Camera(slot, f"camera {slot.index}") for slot in worker.arena.slots]
    pictures = [moving_pictures(40 + 9 * i, 60, 4, seed=i) for i in range(SLOTS)]
    alphas = [[] for _ in cameras]
    for t in range(4):
        for i, camera in enumerate(cameras):
            alphas[i] += list(camera.alphas_of(pictures[i][t : t + 1]))
    for i in range(SLOTS):
        assert np.array_equal(np.stack(alphas[i]), session_alphas(network, pictures[i]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "options"),
    [([(57, 90), (41, 60)], {}), ([(57, 90)] * 2, {"epoch": 2}), ([(57, 90)] * 2, {"after": 1.5})],
    ids=["another size", "another source", "a gap"],
)
def test_a_new_stream_begins_with_a_clean_memory(worker, network, sizes, options):
    one, other = moving_pictures(*sizes[0], 3), moving_pictures(*sizes[1], 4)
    camera = Camera(worker.arena.slots[0], scene_cuts=False)
    camera.alphas_of(one)
    first = camera.alphas_of(other[:1], **options)
    rest = camera.alphas_of(other[1:], epoch=options.get("epoch", 1))
    expected = session_alphas(network, other, scene_cut=None)
    assert np.array_equal(np.concatenate([first, rest]), expected)


def test_another_filter_in_the_same_slot_begins_with_a_clean_memory(worker, network):
    pictures = moving_pictures()
    Camera(worker.arena.slots[0]).alphas_of(pictures)
    worker.arena.slots[0].control.instance = 0
    assert np.array_equal(Camera(worker.arena.slots[0]).alphas_of(pictures), session_alphas(network, pictures))


def test_settings_are_followed(worker, network):
    pictures = moving_pictures(57, 90, 6)
    camera = Camera(worker.arena.slots[0], downsample="0.5", scene_cuts=False)
    half = session_alphas(network, pictures[:2], downsample_ratio=0.5, scene_cut=None)
    assert np.array_equal(camera.alphas_of(pictures[:2]), half)
    camera.write_settings(downsample="auto", scene_cuts=False)
    camera.matte_of(pictures[2])  # a new session: what it begins with is the first picture that comes after
    camera.write_settings(downsample="auto", scene_cuts=False, edge_shift=-1.5, edge_feather=2.0)
    edges = EdgeOptions(grow=-1.5, feather=2.0)
    expected = session_alphas(network, pictures[2:5], edges, scene_cut=None)
    assert np.array_equal(camera.alphas_of(pictures[3:5]), expected[1:])
    assert camera.matte_of(pictures[5]).correction_size == (0, 0)


def test_a_correction_comes_if_asked_for(worker):
    camera = Camera(worker.arena.slots[0], decontaminate=1.0)
    matte = camera.matte_of(moving_pictures(58, 90, 1)[0])
    assert matte.correction_size == (45, 29)
    correction = np.frombuffer(matte.correction, np.uint8).reshape(29, 45, 4)
    assert (correction[..., 3] == 255).all()
    assert (correction[..., :3] != 128).any()


def test_wrong_settings_are_said_and_those_before_hold(worker, network):
    pictures = moving_pictures(57, 90, 3)
    camera = Camera(worker.arena.slots[0], "Desk", edge_feather=2.0)
    expected = session_alphas(network, pictures, EdgeOptions(feather=2.0))
    alphas = [camera.alphas_of(pictures[:1])]
    camera.write_settings(edge_feather=-1)
    alphas.append(camera.alphas_of(pictures[1:2]))
    wait_for(lambda: "Desk: The edge option feather is -1" in worker.status.get("error", ""), "the error")
    camera.write_settings(edge_feather=2.0)
    alphas.append(camera.alphas_of(pictures[2:]))
    assert np.array_equal(np.concatenate(alphas), expected)
    wait_for(lambda: worker.status.get("error") == "", "the error's end")


# ---- when pictures come faster than mattes


@pytest.mark.slow
def test_the_newest_picture_wins_and_filters_take_turns(start_worker):
    """While one picture is matted, several come from each filter."""
    worker = start_worker(held="matting")
    cameras = [Camera(slot, f"camera {slot.index}") for slot in worker.arena.slots[:2]]
    picture = moving_pictures(40, 60, 1)[0]
    newest = [camera.send(picture) for camera in cameras]
    wait_for(lambda: worker.gate.held == 1, "the first picture")
    turn = next(i for i in range(2) if cameras[i].control.taken)
    for matted in range(1, 9):
        taken = cameras[turn].control.taken
        assert taken == newest[turn]
        for _ in range(4):
            newest = [camera.send(picture) for camera in cameras]
        worker.gate.open()
        wait_for(lambda matted=matted: worker.gate.held == matted + 1, "the next picture")
        assert [matte.number for matte in cameras[turn].read_mattes()] == [taken]
        turn = 1 - turn
        assert cameras[turn].read_mattes() == []


def test_what_the_panel_shows(worker, network):
    Camera(worker.arena.slots[0]).matte_of(moving_pictures(40, 60, 1)[0])
    wait_for(lambda: worker.status.get("model"))
    assert worker.state == protocol.READY
    assert worker.status["device"].startswith("CPU, 1 threads")
    assert worker.status["engine"] == build(network, choose(CPU)).name
    assert worker.status["model"] == "mobilenetv3"
    assert worker.status["message"] == worker.status["error"] == ""
    assert psutil.Process(worker.process.pid).nice() == min(19, psutil.Process().nice() + rvm_worker.NICENESS)
    beat = worker.arena.header.worker_beat
    wait_for(lambda: worker.arena.header.worker_beat >= beat + 10, "ten beats")


# ---- garbage


def spoil_size(camera, rng):
    camera.write_picture(next(numbers), 60000, 60000, b"")


def spoil_rows(camera, rng):
    camera.write_picture(next(numbers), 100, 100, bytes(40000), linesize=399)


def spoil_settings(camera, rng):
    text = rng.bytes(200)
    protocol.ctypes.memmove(protocol.ctypes.addressof(camera.control) + protocol.Control.settings.offset, text, 200)
    camera.control.settings_length, camera.control.settings_sequence = 200, camera.control.settings_sequence + 2


def spoil_types(camera, rng):
    camera.write_settings(model=["a"], downsample={}, edge_shift="far", decontaminate=None, scene_cuts="maybe")


def spoil_name(camera, rng):
    camera.control.name = b"\xff\xfe" * 20


def spoil_pages(camera, rng):
    """Everything that the filter writes, but for who it is."""
    for structure in (camera.control, *camera.slot.picture_headers):
        size = protocol.ctypes.sizeof(type(structure))
        skipped = 8 if structure is camera.control else 0
        protocol.ctypes.memmove(
            protocol.ctypes.addressof(structure) + skipped, rng.bytes(size - skipped), size - skipped
        )


@pytest.mark.parametrize("spoil", [spoil_size, spoil_rows, spoil_settings, spoil_types, spoil_name, spoil_pages])
def test_garbage_in_a_slot_harms_nobody(worker, network, spoil):
    rng = np.random.default_rng(0)
    pictures = moving_pictures(40, 60, 4)
    bad, good = Camera(worker.arena.slots[0]), Camera(worker.arena.slots[1])
    good.matte_of(pictures[0])
    for t in range(1, 4):
        spoil(bad, rng)
        good.matte_of(pictures[t])
    bad.release()
    for structure in (bad.control, *bad.slot.picture_headers):
        protocol.ctypes.memset(protocol.ctypes.addressof(structure), 0, protocol.ctypes.sizeof(type(structure)))
    again = Camera(worker.arena.slots[0])
    assert np.array_equal(again.alphas_of(pictures), session_alphas(network, pictures))


def test_an_impossible_picture_is_said(worker):
    camera = Camera(worker.arena.slots[0], "Desk")
    spoil_size(camera, None)
    wait_for(lambda: "Desk: A picture of 60000x60000 pixels" in worker.status.get("error", ""), "the error")
    camera.matte_of(moving_pictures(40, 60, 1)[0])


# ---- the process's life


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at once", "loading", "idle", "matting"])
def test_it_ends_with_its_input(start_worker, moment):
    """Also from the middle of work that would never end."""
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


# ---- parts, in this process


class FakeEngine(Engine):
    """alpha is red's value; what is in `errors` is raised, one a run."""

    name, variant, device, dtype = "fake", "mobilenetv3", CPU, torch.float32

    def __init__(self):
        self.errors = []

    def _run(self, frames, rec, downsample_ratio, wanted):
        if self.errors:
            raise self.errors.pop(0)
        seen = torch.ones(1, 1, 1, 1)
        return EngineOutput(None, quantise(to_float(frames)[:, :1], wanted.out), (seen, seen, seen, seen))


class FakeEngines:
    device = CPU

    def __init__(self):
        self.engine, self.asked = FakeEngine(), []

    def get(self, model):
        self.asked.append(model)
        return self.engine


@pytest.fixture
def engines():
    return FakeEngines()


@pytest.fixture
def arena():
    arena = protocol.Arena.create(1)
    name = arena.prepare_worker()
    arena.token = int(name.split(":")[2])
    yield arena
    arena.close()


class Clock:
    """Stands in the place of the module `time`, and stands still."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(rvm_slots, "time", clock)
    return clock


@pytest.fixture
def place(arena, engines, clock):
    return rvm_slots.Place(arena.slots[0], engines)


def red(value):
    picture = np.zeros((20, 30, 4), np.uint8)
    picture[..., 0] = value
    return picture


def serve(place):
    """Until the place has nothing to do."""
    while place.serve():
        pass


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("a kernel broke"), "RuntimeError: a kernel broke"),
        (MemoryError(), "Not even one 30x20 frame fits in the memory of cpu"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "Not even one 30x20 frame fits"),
        (StudioError("Change this."), "Change this."),
    ],
)
def test_a_run_that_fails_is_said_and_tried_again(place, engines, arena, clock, error, text):
    camera = Camera(arena.slots[0])
    camera.send(red(3))
    serve(place)
    assert camera.read_mattes()[-1].alpha == bytes([3]) * 600
    engines.engine.errors = [error]
    number = camera.send(red(4))
    serve(place)
    assert text in place.error
    assert camera.read_mattes() == []
    clock.now += rvm_slots.PAUSE - 0.01
    assert not place.serve()
    clock.now += 0.02
    serve(place)
    assert [matte.number for matte in camera.read_mattes()] == [number]
    assert place.error == ""


def test_the_rate_is_that_of_the_last_two_seconds(place, arena, clock):
    camera, rates = Camera(arena.slots[0]), []
    serve(place)
    for frame in range(60):
        clock.now += 0.1 if frame < 40 else 0.2
        camera.send(red(frame))
        serve(place)
        rates.append(camera.control.rate_milli / 1000)
    assert rates[4] == pytest.approx(10, abs=0.01)  # from the first second on
    assert rates[39] == pytest.approx(10, abs=0.51)
    assert rates[59] == pytest.approx(5, abs=0.51)
    clock.now += 2.1
    serve(place)
    assert camera.control.rate_milli == 0


def test_a_failing_warm_up_is_said_too(place, engines, arena):
    engines.engine.errors = [RuntimeError("no kernel for this size")]
    Camera(arena.slots[0]).send(red(4))
    serve(place)
    assert "no kernel for this size" in place.error


def test_an_error_that_repeats_is_printed_once(place, engines, arena, monkeypatch, capsys):
    monkeypatch.setattr(rvm_slots, "PAUSE", 0.0)
    engines.engine.errors = [RuntimeError("a kernel broke") for _ in range(5)]
    Camera(arena.slots[0]).send(red(4))
    for _ in range(5):
        place.serve()
    assert engines.engine.errors == []
    assert capsys.readouterr().err.count("Traceback") == 1


def test_a_lost_graphics_card_ends_the_worker(place, engines, arena, monkeypatch):
    engines.device = torch.device("cuda", 0)
    engines.engine.errors = [RuntimeError("an illegal memory access was encountered")]
    monkeypatch.setattr(rvm_slots, "release_cached_memory", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some Card")

    def synchronize(device):
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    Camera(arena.slots[0]).send(red(4))
    with pytest.raises(RuntimeError, match="Some Card no longer responds: illegal"):
        place.serve()


def test_a_picture_that_is_written_over_meanwhile_is_not_matted(place, arena, monkeypatch):
    camera = Camera(arena.slots[0])
    camera.send(red(1))
    serve(place)
    camera.read_mattes()
    copy, later = rvm_slots.pixels_of, []

    def overtaken(picture):
        if len(later) < 3:  # three newer ones: the block is written to again
            later.extend(camera.send(red(10 + i)) for i in range(3))
        return copy(picture)

    monkeypatch.setattr(rvm_slots, "pixels_of", overtaken)
    camera.send(red(2))
    serve(place)
    mattes = camera.read_mattes()
    assert [(matte.number, matte.alpha[0]) for matte in mattes] == [(later[-1], 12)]


def test_no_matte_for_a_filter_that_left_meanwhile(place, arena, engines, monkeypatch):
    camera = Camera(arena.slots[0])
    camera.send(red(1))
    serve(place)
    run = engines.engine.run
    monkeypatch.setattr(engines.engine, "run", lambda *a, **k: camera.release() or run(*a, **k))
    camera.send(red(2))
    place.serve()
    assert camera.control.matte_count == 1


def test_the_model_of_the_settings_is_asked_for(place, arena, engines):
    camera = Camera(arena.slots[0], model="resnet50")
    place.serve()
    camera.write_settings(model="C:/my weights.pth")
    place.serve()
    assert engines.asked == ["resnet50", "C:/my weights.pth"]


@pytest.mark.parametrize(
    ("found", "sign"),
    [({"model": 3}, "model 3"), ({"downsample": 0.5}, "0.5"), ({"edge_shift": True, "decontaminate": 2}, "is 2")],
)
def test_settings_of_a_wrong_kind(found, sign):
    with pytest.raises(StudioError, match=sign):
        rvm_slots.settings_of(found)


def test_settings_that_are_missing_have_their_defaults():
    assert rvm_slots.settings_of({}) == rvm_slots.LiveSettings()


def test_a_status_that_is_too_long_is_cut_where_it_is_longest():
    texts = {"error": "é" * 5000, "message": "m" * 300, "device": "CPU"}
    cut = rvm_worker.fitted(texts)
    assert len(json.dumps(cut).encode()) <= 2048
    assert cut["message"] == texts["message"]
    assert cut["device"] == "CPU"
    assert len(cut["error"]) > 150
    assert cut["error"].endswith("é…")


class Reported:
    def set(self, state, **texts):
        self.state, self.texts = state, texts


@pytest.mark.parametrize(
    ("instances", "loaded", "progress", "error", "state"),
    [
        (0, [], "", "", protocol.READY),
        (1, [], "Loading mobilenetv3", "", protocol.STARTING),
        (1, [], "", "No such file.", protocol.FAILED),
        (1, [], "Loading mobilenetv3", "No such file.", protocol.STARTING),  # a new try
        (1, ["mobilenetv3"], "", "No such file.", protocol.READY),
        (1, ["resnet50"], "", "No such file.", protocol.FAILED),
    ],
)
def test_when_the_worker_counts_as_ready(place, instances, loaded, progress, error, state):
    place.begin(instances)
    place.error = error
    engines = FakeEngines()
    engines.loaded, engines.progress = lambda: {model: FakeEngine() for model in loaded}, lambda: progress
    reported = Reported()
    rvm_slots.report([place], engines, reported)
    assert reported.state == state
    assert reported.texts["error"] == error
    assert reported.texts["message"] == progress


def test_nothing_in_the_folder_hides_a_module_of_others():
    """The folder becomes the first place that the worker's Python looks for modules in."""
    files = [path.stem for path in Path(rvm_worker.__file__).parent.glob("*.py")]
    assert all(name.startswith("rvm_") for name in files)
    assert not set(files) & set(sys.stdlib_module_names)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_reporter_tells_changes_beats_and_ends(arena, monkeypatch):
    left = []

    def leave(code, text):
        left.append((code, text))
        raise SystemExit  # of the thread

    monkeypatch.setattr(rvm_worker, "leave", leave)
    reporter = rvm_worker.Reporter(arena)
    wait_for(lambda: arena.read_status().get("message") == "starting")
    reporter.set(protocol.READY, message="", device="Toaster")
    wait_for(lambda: arena.header.worker_state == protocol.READY and arena.read_status()["device"] == "Toaster")
    sequence, beat = arena.header.status_sequence, arena.header.worker_beat
    reporter.set(protocol.READY, message="", device="Toaster")
    wait_for(lambda: arena.header.worker_beat > beat + 3)
    assert arena.header.status_sequence == sequence  # what has not changed is not written again
    arena.prepare_worker()
    wait_for(lambda: left)
    assert left == [(0, "Another worker has replaced this one.")]
    wait_for(lambda: "reporter" not in [thread.name for thread in threading.enumerate()])
