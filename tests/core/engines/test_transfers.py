"""Transfers beside a card's work, with a stand-in for the card: its streams do what is queued in them only when
somebody waits for it, and new memory is full of rubbish. A wait that is missing shows as rubbish, one too many in the
log."""

# T frames, H, W

import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from rvm_studio.core.clips.batches import matte_pictures
from rvm_studio.core.clips.matte_clip import matte_clip
from rvm_studio.core.clips.options import ClipOptions, Output
from rvm_studio.core.engines.cuda_graph import GraphEngine, agrees_with_eager
from rvm_studio.core.engines.engine import EngineOutput
from rvm_studio.core.engines.transfers import Transfers
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.pictures.pixel_format import frames_from_pictures
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.reader import open_reader

CPU = torch.device("cpu")
RUBBISH = 77


class FakeStream:
    def __init__(self, card, name):
        self.card, self.name, self.queue, self.done = card, name, [], 0

    def add(self, work) -> None:
        self.queue.append(work)

    def run(self, until=None) -> None:
        with self.card.lock:
            while self.done < (len(self.queue) if until is None else until):
                self.queue[self.done]()
                self.done += 1

    def wait_stream(self, other) -> None:
        """A card would go on with something else; here what is waited for is done at once."""
        self.card.log.append(f"{self.name} waits for {other.name}")
        other.run()


class FakeEvent:
    def __init__(self, card):
        self.card = card

    def record(self, stream) -> None:
        self.stream, self.place = stream, len(stream.queue)

    def synchronize(self) -> None:
        self.card.waited.append((self.stream.name, threading.current_thread().name))
        self.stream.run(self.place)


class FakeCuda:
    """The part of torch.cuda that Transfers uses. The current stream computes at once, on the CPU."""

    def __init__(self):
        self.log, self.waited, self.lock = [], [], threading.RLock()
        self.main = FakeStream(self, "main")
        self.now, self._names = self.main, iter(["up", "down"])

    def Stream(self, device) -> FakeStream:  # noqa: N802
        return FakeStream(self, next(self._names))

    def Event(self, blocking=False) -> FakeEvent:  # noqa: N802
        assert blocking, "threads that wait must not burn the cores that encode"
        return FakeEvent(self)

    def current_stream(self, device) -> FakeStream:
        return self.now

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream
        yield
        self.now = before


class FakeTransfers(Transfers):
    def __init__(self):
        self.card = FakeCuda()
        self.used, self.all_pinned = [], set()
        super().__init__(CPU, self.card)

    def _new(self, shape, dtype):
        return torch.full(tuple(shape), RUBBISH, dtype=torch.float32).to(dtype)

    def _new_pinned(self, shape, dtype):
        memory = self._new(shape, dtype)
        self.all_pinned.add(memory.data_ptr())
        self.card.log.append("pinned")
        return memory

    def _is_pinned(self, x):
        return x.data_ptr() in self.all_pinned

    def _copy(self, target, source):
        stream = self.card.now
        assert stream is not self.card.main, "copies go beside the computing"
        self.card.log.append(f"copy {stream.name}")
        stream.add(lambda: target.copy_(source))

    def _uses(self, x, stream):
        self.used.append((x.data_ptr(), stream.name))


class FakeGraph:
    """As CudaGraph: the same tensors are read and written by every replay."""

    def __init__(self, compute, given):
        self.compute, self.inputs = compute, [x.clone() for x in given]
        self.outputs = compute(*self.inputs)

    def __call__(self, given):
        for own, x in zip(self.inputs, given, strict=True):
            own.copy_(x)
        for output, value in zip(self.outputs, self.compute(*self.inputs), strict=True):
            output.copy_(value)
        return [output.clone() for output in self.outputs]


@pytest.fixture
def transfers():
    return FakeTransfers()


@pytest.fixture
def network(random_networks):
    return random_networks("fast_guided_filter", 2)


@pytest.fixture
def engines(network, transfers):
    """The engine with transfers, and without."""
    return [GraphEngine(network, CPU, torch.float32, record=FakeGraph, transfers=way) for way in (transfers, None)]


def pictures(count, height=40, width=56) -> torch.Tensor:
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=torch.manual_seed(count))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
@pytest.mark.parametrize("interleaved", [True, False])
def test_frames_arrive_in_their_memory_order(transfers, interleaved, dtype):
    frames = pictures(2).permute(0, 3, 1, 2).float().to(dtype)
    frames = frames if interleaved else frames.contiguous()
    moved = transfers.upload(frames)
    assert torch.equal(moved.float(), frames.float())
    assert moved.dtype == dtype
    assert moved.stride() == frames.stride()
    assert transfers.card.log == ["pinned", "copy up", "main waits for up"]
    assert transfers.used == [(moved.data_ptr(), "main")]
    assert not transfers.card.waited, "the caller goes on at once"


def test_frames_in_pinned_memory_are_copied_once(transfers):
    some = [picture.numpy() for picture in pictures(3)]
    frames = frames_from_pictures(some, new=transfers.pinned)
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), np.stack(some))
    assert torch.equal(transfers.upload(frames), frames)
    assert transfers.card.log == ["pinned", "copy up", "main waits for up"]


def test_a_result_is_waited_for_at_its_use(transfers):
    result = torch.rand(3, 4)
    download = transfers.download(result)
    assert transfers.card.log == ["down waits for main", "pinned", "copy down"]
    assert (result.data_ptr(), "down") in transfers.used
    assert not transfers.card.waited
    array = download.numpy()
    assert np.array_equal(array, result.numpy())
    assert not np.shares_memory(array, result.numpy())
    assert download.tensor() is download.tensor()
    assert len(transfers.card.waited) == 1


def test_no_more_than_one_earlier_run_is_on_its_way(transfers):
    done = []
    for number in range(4):
        transfers.pace()
        assert done == list(range(number - 1)), "all runs but the last have ended"
        transfers.card.main.add(lambda number=number: done.append(number))


def test_without_pinned_memory_the_plain_one(transfers, monkeypatch, caplog):
    def none_left(shape, dtype):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(transfers, "_new_pinned", none_left)
    frames = pictures(2).permute(0, 3, 1, 2)
    assert torch.equal(transfers.upload(frames), frames)
    result = torch.rand(5)
    assert torch.equal(transfers.download(result).tensor(), result)
    assert caplog.text.count("no pinned memory") == 1


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("interleaved", [True, False])
def test_results_are_used_while_the_next_run_computes(transfers, interleaved, foreground):
    def results():
        for number in range(3):
            transfers.card.log.append(f"run {number}")
            fgr = torch.full((2, 4, 6, 3) if interleaved else (2, 3, 4, 6), float(number))
            fgr = fgr.permute(0, 3, 1, 2) if interleaved else fgr
            yield EngineOutput(fgr if foreground else None, torch.full((2, 1, 4, 6), float(number)), (fgr,) * 4)

    seen = []
    for number, output in enumerate(transfers.downloads(results())):
        transfers.card.log.append(f"use {number}")
        assert (output.pha == number).all()
        assert output.rec[0].mean() == number
        if foreground:
            assert output.fgr.shape == (2, 3, 4, 6)
            assert (output.fgr == number).all()
            assert output.fgr.is_contiguous() is not interleaved
        else:
            assert output.fgr is None
        seen.append(number)
    assert seen == [0, 1, 2]
    order = [line for line in transfers.card.log if line.split()[0] in ("run", "use")]
    assert order == ["run 0", "run 1", "use 0", "run 2", "use 1", "use 2"]
    assert list(transfers.downloads(iter([]))) == []


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("foreground", [True, False])
def test_a_session_gives_the_same(engines, transfers, foreground, chunk):
    frames = pictures(7).permute(0, 3, 1, 2)
    results = []
    for engine in engines:
        session = MattingSession(engine, downsample_ratio=0.5, chunk=chunk)
        results.append(session.matte(frames, foreground=foreground))
        assert session.state.frame_count == 7
    assert torch.equal(results[0][1], results[1][1])
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1].std() > 0.01
    assert transfers.card.log.count("copy up") == len(frames.split(chunk))


@pytest.mark.parametrize("foreground", [True, False])
def test_batches_of_pictures_give_the_same(engines, foreground):
    batch = pictures(5).float() / 255
    results, progress = [], []
    for engine in engines:
        session = MattingSession(engine, downsample_ratio=0.5, chunk=2)
        results.append(
            matte_pictures(session, batch, foreground=foreground, on_progress=lambda *now: progress.append(now))
        )
    assert torch.equal(*results)
    assert progress == [(2, 5), (4, 5), (5, 5)] * 2


@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (["alpha"], {}),
        (["matte", "alpha"], {}),
        (["composite", "preview"], {"background": "blur"}),
        (["foreground"], {"decontaminate": 0.5, "edges": EdgeOptions(feather=1.0)}),
    ],
)
def test_a_clip_becomes_the_same_and_only_writers_wait(engines, transfers, kinds, options, make_clip, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=7)
    suffixes = {"alpha": ".mkv", "matte": ".mov", "composite": ".mkv", "preview": ".mkv", "foreground": ".mkv"}
    written = []
    for name, engine in zip(("with", "without"), engines, strict=True):
        outputs = [Output(tmp_path / f"{name}_{number}{suffixes[kind]}", kind) for number, kind in enumerate(kinds)]
        session = MattingSession(engine, downsample_ratio=0.5, chunk=3, warm_up=2)
        results = []
        report = matte_clip(
            clip, outputs, session, ClipOptions(**options), on_result=lambda *now, kept=results: kept.append(now)
        )
        assert report.frames == 7
        assert len(results) == 3
        written.append([pixels_of(output.path) for output in outputs])
    for kind, moved, plain in zip(kinds, *written, strict=True):
        other = np.argwhere(moved != plain)
        assert not len(other), f"{kind}: {len(other)} of {moved.size} values differ, up to {difference(moved, plain)}"
    waits = [thread for stream, thread in transfers.card.waited if stream == "down"]
    assert len(waits) == 7 * len(kinds)
    assert all(thread.startswith("rvm-write") for thread in waits)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())


def pixels_of(path: Path) -> np.ndarray:
    with open_reader(path) as reader:
        return np.stack([frame.image for frame in reader])


def test_stopped_in_the_middle_nothing_is_lost(engines, make_clip, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=9)
    written = []
    for name, engine in zip(("with", "without"), engines, strict=True):
        session = MattingSession(engine, downsample_ratio=0.5, chunk=2)
        asked = iter([False, False, True])
        out = Output(tmp_path / f"{name}.mkv", "alpha")
        report = matte_clip(clip, [out], session, stopped=lambda asked=asked: next(asked))
        assert (report.stopped, report.frames) == (True, 4)
        resumed = matte_clip(
            clip, [out], MattingSession(engine, downsample_ratio=0.5, chunk=2), ClipOptions(resume=True)
        )
        assert (resumed.resumed, resumed.frames) == (4, 9)
        written.append(pixels_of(out.path))
    assert len(written[0]) == 9
    assert np.array_equal(*written)


def test_the_check_against_eager_goes_both_ways(engines, network, transfers):
    assert agrees_with_eager(engines[0], network) is None
    assert "copy up" in transfers.card.log
    assert "copy down" in transfers.card.log
    transfers._copy = lambda target, source: None  # a card that brings nothing
    assert "differ from those of eager" in agrees_with_eager(engines[0], network)
