"""Parts of the worker, in this process: a filter's place, settings, status and reporter."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rvm_frame_protocol as protocol
import rvm_slots
import rvm_worker
import torch
from patience import wait_for
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from worker_process import CPU, Camera

pytestmark = pytest.mark.usefixtures("one_thread")


class FakeEngine(Engine):
    """Alpha is red's value. Each run raises the next of `errors` while there are any."""

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
    """Replaces the module `time`; its time stands still."""

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
    """Serves the place until it has nothing to do."""
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
        if len(later) < 3:  # three newer pictures: the block is overwritten
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
        (1, [], "Loading mobilenetv3", "No such file.", protocol.STARTING),  # another try
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
    """The folder is the first place where the worker's Python looks for modules."""
    files = [path.stem for path in Path(rvm_worker.__file__).parent.glob("*.py")]
    assert all(name.startswith("rvm_") for name in files)
    assert not set(files) & set(sys.stdlib_module_names)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_reporter_tells_changes_beats_and_ends(arena, monkeypatch):
    left = []

    def leave(code, text):
        left.append((code, text))
        raise SystemExit  # ends the thread

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
