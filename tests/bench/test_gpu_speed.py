"""The benchmark for graphics cards, tried out without one."""

import importlib.util
import types
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines.cuda_graph import GraphEngine
from rvm_studio.core.engines.transfers import Transfers

BENCH = Path(__file__).resolve().parents[2] / "bench"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def gpu_speed():
    spec = importlib.util.spec_from_file_location("gpu_speed", BENCH / "gpu_speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_whole_script(gpu_speed, reference_weights, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RVM_WEIGHTS", str(reference_weights))
    few = ["--sizes", "720p", "--frames", "2", "--rounds", "1", "--chunks", "1", "--engines", "graph", "--alpha-only"]
    gpu_speed.main(["--device", "cpu", *few, "--save", str(tmp_path)])
    (saved,) = tmp_path.iterdir()
    text = saved.read_text(encoding="utf-8")
    assert saved.name.startswith("gpu_speed_20")
    assert saved.name.endswith("_cpu.md")
    assert all(line in text for line in capsys.readouterr().out.splitlines()[:-1])
    tables = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    kinds = {cells[1]: cells for cells in tables if cells[0].startswith("720p")}
    assert {"eager fp32", "frozen TorchScript fp32", "graph fp32, 1 at once"} < set(kinds)
    assert {"graph fp32, 1 at once, without overlap", "reduce", "alpha", "alpha and foreground"} < set(kinds)
    assert kinds["frozen TorchScript fp32"][5] == "1.00x"
    assert all(float(cells[2]) > 0 for cells in kinds.values())


@pytest.mark.parametrize("problem", [None, "there is no C++ compiler"])
def test_what_does_not_work_is_left_out(gpu_speed, monkeypatch, problem):
    torch.manual_seed(0)
    network = MattingNetwork("mobilenetv3", "fast_guided_filter").eval()
    monkeypatch.setattr(gpu_speed, "compile_problem", lambda kind: problem)
    report = gpu_speed.Report()
    usable = gpu_speed.usable_engines(network, CPU, torch.float32, ["graph", "compile"], report)
    assert usable == (["graph"] if problem else ["graph", "compile"])
    assert report.lines == ([f"The engine compile cannot be used here: {problem}"] if problem else [])
    monkeypatch.setattr(gpu_speed, "agrees_with_eager", lambda *_: "no driver")
    assert gpu_speed.usable_engines(network, CPU, torch.float32, ["graph"], report) == []
    assert "no driver" in report.lines[-1]


class Ended:
    """A stream or event on which everything has happened."""

    def record(self, stream):
        pass

    def synchronize(self):
        pass

    def wait_stream(self, stream):
        pass


class AtOnce(Transfers):
    """Transfers without a card."""

    def __init__(self):
        self.brought = 0
        super().__init__(CPU, self)

    def Stream(self, device):  # noqa: N802
        return Ended()

    def Event(self, blocking):  # noqa: N802
        return Ended()

    def current_stream(self, device):
        return Ended()

    def stream(self, stream):
        return nullcontext()

    def _new_pinned(self, shape, dtype):
        return torch.empty(tuple(shape), dtype=dtype)

    def _is_pinned(self, x):
        return False

    def _uses(self, x, stream):
        pass

    def download(self, result):
        self.brought += len(result)
        return super().download(result)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 2])
def test_there_and_back(gpu_speed, chunk):
    torch.manual_seed(0)
    network = MattingNetwork("mobilenetv3", "fast_guided_filter").eval()
    frames = torch.randint(0, 256, (3, 48, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    states = []
    for transfers in (AtOnce(), None):
        engine = GraphEngine(network, CPU, torch.float32, record=None, transfers=transfers)
        _, state = gpu_speed.seconds_of(CPU, gpu_speed.there_and_back(engine, frames, 0.5, True, chunk), None)
        _, state = gpu_speed.seconds_of(CPU, gpu_speed.there_and_back(engine, frames, 0.5, True, chunk), state)
        states.append(state)
        assert transfers is None or transfers.brought == 12, "alpha and foreground of three frames, twice"
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_rounds_of_whole_chunks_as_a_session_takes_them(gpu_speed, monkeypatch):
    monkeypatch.setattr(gpu_speed, "frames_for", lambda size, count: count)
    for size, frames, chunks, count in (("720p", 60, [1, 12], 60), ("1080p", 60, [1, 11], 55), ("4K", 1, [1, 2], 2)):
        assert gpu_speed.chunks_for([1, 12], size) == chunks
        assert gpu_speed.round_of(types.SimpleNamespace(chunks=[1, 12], frames=frames), size) == count
