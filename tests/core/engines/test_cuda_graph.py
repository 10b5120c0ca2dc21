"""The GPU engine's logic on the CPU: its arithmetic, its recorded graphs (with a stand-in for CUDA's), its fallbacks.
Triton's kernels run in its interpreter (test_triton_kernels.py)."""

# T frames, H, W

import types

import pytest
import torch
from rvm_studio.core.engines import EagerEngine, build, choice, choose, cuda_graph
from rvm_studio.core.engines.cuda_graph import GRAPHS_KEPT, GraphEngine, agrees_with_eager
from rvm_studio.core.engines.full_size import full_size_gpu
from rvm_studio.core.errors import StudioError

CPU = torch.device("cpu")


@pytest.fixture
def networks(random_networks):
    return lambda refiner="deep_guided_filter": random_networks(refiner, 2)


def pictures(count, height, width, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)


class FakeGraph:
    """As CudaGraph: the same tensors are read and written by every replay."""

    made = 0

    def __init__(self, compute, given):
        FakeGraph.made += 1
        self.compute, self.inputs = compute, [x.clone() for x in given]
        self.outputs = compute(*self.inputs)

    def __call__(self, given):
        for own, x in zip(self.inputs, given, strict=True):
            own.copy_(x)
        for output, value in zip(self.outputs, self.compute(*self.inputs), strict=True):
            output.copy_(value)
        return [output.clone() for output in self.outputs]


@pytest.fixture
def graphs(monkeypatch):
    monkeypatch.setattr(FakeGraph, "made", 0)
    return FakeGraph


@pytest.mark.parametrize("record", [None, FakeGraph])
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("refiner", ["deep_guided_filter", "fast_guided_filter"])
@pytest.mark.parametrize(("height", "width", "ratio"), [(141, 233, 0.375), (64, 96, 1), (33, 47, 0.7)])
def test_as_eager(networks, height, width, ratio, refiner, foreground, record):
    network = networks(refiner)
    engine, eager = GraphEngine(network, CPU, torch.float32, record=record), EagerEngine(network, CPU, torch.float32)
    rec = expected_rec = None
    for frames in pictures(6, height, width).split([1, 1, 3, 1]):
        output = engine.run(frames, rec, ratio, foreground=foreground)
        expected = eager.run(frames, expected_rec, ratio, foreground=foreground)
        rec, expected_rec = output.rec, expected.rec
        assert (output.pha - expected.pha).abs().max() < 2e-3
        assert (output.fgr is None) is not foreground
        if foreground:
            assert (output.fgr - expected.fgr).abs().max() < 2e-3
        for r, truth in zip(rec, expected_rec, strict=True):
            assert (r - truth).abs().max() < 1e-4
    assert expected.pha.std() > 0.01


@pytest.mark.parametrize("out", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("source", [torch.uint8, torch.uint16, torch.float32, torch.float64])
def test_number_formats(networks, source, out):
    frames = pictures(2, 48, 64)
    given = {
        torch.uint8: frames,
        torch.uint16: (frames.int() * 257).to(torch.uint16),
        torch.float32: frames / 255,
        torch.float64: frames.double() / 255,
    }[source]
    engine, eager = (
        GraphEngine(networks(), CPU, torch.float32, record=FakeGraph),
        EagerEngine(networks(), CPU, torch.float32),
    )
    output = engine.run(given, None, 0.5, out=out)
    expected = eager.run(given, None, 0.5, out=out)
    for result, truth in zip(output[:2], expected[:2], strict=True):
        assert result.dtype == out
        assert (result.int() - truth.int()).abs().max() <= (1 if out == torch.uint8 else 130)


def test_results_outlive_the_next_frame_and_states_are_values(networks, graphs):
    engine = GraphEngine(networks(), CPU, torch.float32, record=graphs)
    first, second = pictures(1, 48, 64, seed=1), pictures(1, 48, 64, seed=2)
    one = engine.run(first, None, 0.5)
    kept = [x.clone() for x in (one.fgr, one.pha, *one.rec)]
    two = engine.run(second, one.rec, 0.5)
    assert all(torch.equal(x, copy) for x, copy in zip((one.fgr, one.pha, *one.rec), kept, strict=True))
    assert not torch.equal(two.pha, one.pha)
    again = engine.run(second, one.rec, 0.5)
    assert torch.equal(again.pha, two.pha), "the state that was passed in is unchanged"
    assert graphs.made == 1


def test_a_graph_for_each_size_ratio_chunk_and_order_the_last_few_kept(networks, graphs):
    engine = GraphEngine(networks(), CPU, torch.float32, record=graphs)
    frames = pictures(2, 48, 64)
    calls = [
        (frames[:1], 0.5, True),
        (frames, 0.5, True),
        (frames[:1], 0.75, True),
        (frames[:1], 0.5, False),
        (frames[:1].contiguous(), 0.5, True),
    ]
    for number, (given, ratio, foreground) in enumerate(calls, 1):
        engine.run(given, None, ratio, foreground=foreground)
        engine.run(given, None, ratio, foreground=foreground)
        assert graphs.made == number
    assert len(engine._graphs) == GRAPHS_KEPT
    engine.run(frames, None, 0.5)  # among the last four
    assert graphs.made == 5
    engine.run(frames[:1], None, 0.5)  # the oldest
    assert graphs.made == 6


def test_without_a_recording_it_still_runs(networks, caplog):
    def fails(compute, given):
        raise RuntimeError("operation not permitted when stream is capturing")

    engine = GraphEngine(networks(), CPU, torch.float32, record=fails)
    expected = EagerEngine(networks(), CPU, torch.float32).run(pictures(1, 48, 64), None, 0.5)
    for _ in range(2):
        assert (engine.run(pictures(1, 48, 64), None, 0.5).pha - expected.pha).abs().max() < 1e-3
    assert caplog.text.count("recording a CUDA graph failed") == 1


def test_out_of_memory_while_recording_is_the_callers(networks):
    def fails(compute, given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = GraphEngine(networks(), CPU, torch.float32, record=fails)
    with pytest.raises(torch.OutOfMemoryError):
        engine.run(pictures(1, 48, 64), None, 0.5)


def test_check_against_eager(networks):
    network = networks()
    assert agrees_with_eager(GraphEngine(network, CPU, torch.float32, record=FakeGraph), network) is None
    wrong = types.SimpleNamespace(
        reduce=full_size_gpu.reduce,
        apply=lambda solved, *rest: full_size_gpu.apply(solved * 0.5, *rest),
    )
    problem = agrees_with_eager(GraphEngine(network, CPU, torch.float32, record=None, kernels=wrong), network)
    assert "differ from those of eager" in problem
    broken = types.SimpleNamespace(reduce=full_size_gpu.reduce)
    problem = agrees_with_eager(GraphEngine(network, CPU, torch.float32, record=None, kernels=broken), network)
    assert problem.startswith("AttributeError")


def test_built_for_cards_and_replaced_where_it_goes_wrong(networks, monkeypatch, caplog):
    monkeypatch.setattr(choice, "choose_dtype", lambda wanted, device: torch.float16)
    chosen = choose(torch.device("cuda"), "graph")
    assert (chosen.engine, chosen.precision) == ("graph", "fp16")
    with pytest.raises(StudioError, match="needs a GPU"):
        choose(CPU, "graph")
    here = chosen._replace(device=CPU, precision="fp32")
    assert isinstance(build(networks(), here), GraphEngine)
    monkeypatch.setattr(cuda_graph.full_size_gpu, "apply", None)
    assert isinstance(build(networks(), here), EagerEngine)
    assert "falling back to eager PyTorch" in caplog.text
