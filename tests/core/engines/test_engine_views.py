"""A view in every engine: at the same place, in any chunks, and without one nothing changes."""

# T frames, H, W

import copy

import pytest
import torch
from rvm_studio.core.engines import EagerEngine, Engine, SegmentationEngine
from rvm_studio.core.engines.choice import openvino_problem
from rvm_studio.core.engines.cuda_graph import GraphEngine
from rvm_studio.core.engines.engine import Drawing
from rvm_studio.core.engines.small_network.folded import FoldedParts
from rvm_studio.core.engines.split import SplitEngine
from rvm_studio.core.pictures.cube_lut import cube_view
from rvm_studio.core.pictures.view import PQ, View, hdr_view
from rvm_studio.core.stream.session import MattingSession

CPU, FLOAT = torch.device("cpu"), torch.float32
SWAPPED = "LUT_3D_SIZE 2\n" + "\n".join(f"{i >> 2} {i >> 1 & 1} {i & 1}" for i in range(8))


def pictures(count, height, width) -> torch.Tensor:
    """Smooth ones, as of a camera; 16-bit."""
    generator = torch.Generator().manual_seed(5)
    small = torch.rand(count, 3, 5, 6, generator=generator)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return (large * 65535).round().to(torch.int32).to(torch.uint16)


def openvino(network) -> Engine:
    if problem := openvino_problem():
        pytest.skip(problem)
    from rvm_studio.core.engines.small_network.openvino_parts import OpenVINOParts

    return SplitEngine(OpenVINOParts(network, "fp32"), "openvino")


class Replayed:
    """A stand-in for a CUDA graph, which reads and writes the same tensors again."""

    def __init__(self, compute, given):
        self.compute, self.inputs = compute, [x.clone() for x in given]

    def __call__(self, given):
        for own, x in zip(self.inputs, given, strict=True):
            own.copy_(x)
        return self.compute(*self.inputs)


ENGINES = {
    "folded": lambda network: SplitEngine(FoldedParts(network), "folded"),
    "openvino": openvino,
    "graph": lambda network: GraphEngine(network, CPU, FLOAT, record=Replayed),
}


DEEP, FAST = "deep_guided_filter", "fast_guided_filter"
VIEWS = {"pq": hdr_view(PQ), "lut": cube_view(SWAPPED, "swapped")}


@pytest.mark.parametrize(
    ("name", "refiner", "view", "ratio"),
    [
        ("folded", DEEP, "pq", 0.5),
        ("folded", FAST, "pq", 0.5),
        ("folded", FAST, "lut", 1),
        ("graph", DEEP, "lut", 0.5),
        ("graph", FAST, "pq", 1),
        ("openvino", FAST, "pq", 0.5),  # compiling takes seconds
    ],
)
def test_every_engine_sees_what_eager_sees(random_networks, name, refiner, view, ratio):
    view = VIEWS[view]
    network = random_networks(refiner, 2)
    engine, eager = ENGINES[name](network), EagerEngine(network, CPU, FLOAT)
    frames = pictures(2, 66, 98)
    for foreground in (True, False):
        found = engine.run(frames, None, ratio, foreground=foreground, view=view)
        expected = eager.run(frames, None, ratio, foreground=foreground, view=view)
        assert (found.pha - expected.pha).abs().max() < 2e-3
        if foreground:
            assert found.fgr is not None
            assert expected.fgr is not None
            assert (found.fgr - expected.fgr).abs().max() < 2e-3
    assert (expected.pha - eager.run(frames, None, ratio).pha).abs().max() > 1e-3  # it does something


@pytest.mark.parametrize("name", ["eager", "folded", "graph"])
def test_a_view_that_changes_nothing_changes_nothing(random_networks, name):
    network = random_networks("fast_guided_filter", 2)
    engine = EagerEngine(network, CPU, FLOAT) if name == "eager" else ENGINES[name](network)
    frames, same = pictures(2, 66, 98), View(lambda x: x, "same")
    for foreground in (True, False):
        seen = engine.run(frames, None, 0.5, foreground=foreground, view=same)
        plain = engine.run(frames, None, 0.5, foreground=foreground)
        assert torch.equal(seen.pha, plain.pha)
        if foreground:
            assert torch.allclose(seen.fgr, plain.fgr, atol=2e-4)  # through the curve and back


def test_the_refiner_keeps_the_sources_values(random_networks):
    """Where the network predicts no difference, the foreground is the source, whatever it was shown."""
    network = copy.deepcopy(random_networks("fast_guided_filter", 2))
    with torch.no_grad():
        network.project_mat.conv.weight[:3] = 0
        network.project_mat.conv.bias[:3] = 0
    frames = pictures(2, 66, 98)
    for engine in (EagerEngine(network, CPU, FLOAT), SplitEngine(FoldedParts(network), "folded")):
        fgr = engine.run(frames, None, 0.5, out=torch.uint16, view=hdr_view(PQ)).fgr
        assert fgr is not None
        assert (fgr.int() - frames.int()).abs().max() <= 2


def test_drawing_engines_draw_with_a_view(random_networks):
    engine = ENGINES["folded"](random_networks("fast_guided_filter", 2))
    if not engine.draws:
        pytest.skip("numba is not installed")
    frames, view = pictures(1, 66, 98), hdr_view(PQ)
    drawn = engine.run(frames, None, 0.5, out=torch.uint16, drawing=Drawing("matte"), view=view)
    plain = engine.run(frames, None, 0.5, out=torch.uint16, view=view)
    assert drawn.pictures is not None
    assert (drawn.pictures[..., 3].int() - plain.pha[:, 0].int()).abs().max() <= 1


def test_the_segmentation_head_sees_it_too(random_networks):
    engine = SegmentationEngine(random_networks("fast_guided_filter", 2), CPU, FLOAT)
    frames = pictures(1, 66, 98)
    assert not torch.equal(engine.run(frames, None, 0.5).pha, engine.run(frames, None, 0.5, view=hdr_view(PQ)).pha)


@pytest.mark.parametrize("name", ["eager", "folded"])
def test_any_chunks_give_the_same(random_networks, name):
    network = random_networks("fast_guided_filter", 2)
    engine = EagerEngine(network, CPU, FLOAT) if name == "eager" else ENGINES[name](network)
    frames = pictures(6, 66, 98)
    results = []
    for chunk in (1, 4, 6):
        session = MattingSession(engine, chunk=chunk, warm_up=3, downsample_ratio=0.5, view=hdr_view(PQ))
        results.append(session.matte(frames))
    for fgr, pha in results[1:]:
        assert torch.allclose(fgr, results[0][0], atol=1e-5)
        assert torch.allclose(pha, results[0][1], atol=1e-5)


def test_graphs_of_different_views_are_different(random_networks):
    engine = GraphEngine(random_networks("fast_guided_filter", 2), CPU, FLOAT, record=Replayed)
    frames = pictures(1, 66, 98)
    plain = engine.run(frames, None, 0.5).pha
    assert not torch.equal(engine.run(frames, None, 0.5, view=hdr_view(PQ)).pha, plain)
    assert torch.equal(engine.run(frames, None, 0.5).pha, plain)
