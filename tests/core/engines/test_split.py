"""The network cut at its refiner: as eager, and no part computes more than what is wanted."""

# T frames, H, W

import pytest
import torch
from rvm_studio.core.engines import Drawing, EagerEngine, split
from rvm_studio.core.engines.full_size.kernel_runner import compiled_kernels
from rvm_studio.core.engines.small_network.folded import FoldedParts
from rvm_studio.core.engines.split import SplitEngine
from rvm_studio.core.pictures.alpha_ops import composite
from rvm_studio.core.pictures.pixel_format import quantise

CPU = torch.device("cpu")
DEEP, FAST = "deep_guided_filter", "fast_guided_filter"


@pytest.fixture(scope="module")
def engines(random_networks):
    """`engines(refiner)` -> split and eager."""
    made = {}

    def get(refiner=DEEP):
        if refiner not in made:
            network = random_networks(refiner, 2)
            made[refiner] = SplitEngine(FoldedParts(network), "folded"), EagerEngine(network, CPU, torch.float32)
        return made[refiner]

    return get


def noise(count, height, width) -> torch.Tensor:
    shape = count, height, width, 3
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.manual_seed(height)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("refiner", [DEEP, FAST])
@pytest.mark.parametrize(("height", "width", "ratio"), [(48, 64, 1), (63, 95, 0.5), (101, 67, 0.375)])
def test_as_eager(engines, height, width, ratio, refiner, foreground):
    engine, eager = engines(refiner)
    rec = expected_rec = None
    for frames in noise(4, height, width).split([1, 2, 1]):
        output = engine.run(frames, rec, ratio, foreground=foreground)
        expected = eager.run(frames, expected_rec, ratio, foreground=foreground)
        rec, expected_rec = output.rec, expected.rec
        assert (output.pha - expected.pha).abs().max() < 1 / 255
        assert (output.fgr is None) is not foreground
        if foreground:
            assert (output.fgr - expected.fgr).abs().max() < 1 / 255
        for r, truth in zip(rec, expected_rec, strict=True):
            assert (r - truth).abs().max() < 1e-4
    assert expected.pha.std() > 0.01, "the case must not be clamped away"


class Noting(FoldedParts):
    """Notes which results it is asked for, and the dtypes of the states."""

    def __init__(self, network):
        super().__init__(network)
        self.asked, self.dtypes = [], set()

    def run(self, small, rec, foreground, hidden):
        self.asked.append(("run", foreground, hidden))
        self.dtypes.update(r.dtype for r in rec)
        return super().run(small, rec, foreground, hidden)

    def slope(self, statistics, hid, foreground):
        self.asked.append(("slope", foreground))
        return super().slope(statistics, hid, foreground)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_states_of_any_precision_come_in_and_float32_goes_out(random_networks, dtype):
    engine = SplitEngine(Noting(random_networks(DEEP, 2)), "noting")
    frames = noise(2, 48, 64)
    rec = tuple(r.to(dtype) for r in engine.run(frames[:1], None, 0.5).rec)
    kept = [r.clone() for r in rec]
    output = engine.run(frames[1:], rec, 0.5)
    expected = engine.run(frames[1:], tuple(r.float() for r in rec), 0.5)
    assert {r.dtype for r in output.rec} == engine.parts.dtypes == {torch.float32}
    assert torch.equal(output.pha, expected.pha)
    assert all(r.dtype == dtype and torch.equal(r, before) for r, before in zip(rec, kept, strict=True))


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(
    ("refiner", "ratio", "foreground", "asked"),
    [
        (DEEP, 1, True, [("run", True, False)]),
        (DEEP, 1, False, [("run", False, False)]),
        (FAST, 0.5, True, [("run", True, False)]),
        (FAST, 0.5, False, [("run", False, False)]),
        (DEEP, 0.5, True, [("run", True, True), ("slope", True)]),
        # the learned filter needs the colours, but computes alpha alone from them
        (DEEP, 0.5, False, [("run", True, True), ("slope", False)]),
    ],
)
def test_no_part_computes_more_than_is_wanted(random_networks, refiner, ratio, foreground, asked, drawn):
    engine = SplitEngine(Noting(random_networks(refiner, 2)), "noting")
    if drawn and not engine.draws:
        pytest.skip("numba is not installed")
    if drawn:  # needs the colours, whether the foreground is wanted or not
        asked = [(part, True, *rest) for part, _, *rest in asked]
    out = torch.uint8 if drawn else torch.float32
    drawing = Drawing("matte") if drawn else None
    output = engine.run(noise(1, 32, 48), None, ratio, out=out, foreground=foreground, drawing=drawing)
    assert engine.parts.asked == asked
    assert (output.fgr is not None) is foreground
    assert (output.pictures is not None) is drawn


@pytest.mark.parametrize("foreground", [True, False])
def test_a_drawing_beside_the_results(engines, foreground):
    engine, eager = engines()
    if not engine.draws:
        pytest.skip("numba is not installed")
    frames, bgr = noise(2, 48, 64), torch.tensor([0, 0.7, 0.25]).view(1, 3, 1, 1)
    floats = eager.run(frames, None, 0.5)
    output = engine.run(frames, None, 0.5, out=torch.uint8, foreground=foreground, drawing=Drawing("composite", bgr))
    expected = quantise(composite(floats.fgr, floats.pha, bgr), torch.uint8).permute(0, 2, 3, 1)
    assert output.pictures.shape == (2, 48, 64, 3)
    assert (output.pictures.int() - expected.int()).abs().max() <= 1
    assert (output.pha.int() - quantise(floats.pha, torch.uint8).int()).abs().max() <= 1
    assert (output.fgr is None) is not foreground


def test_it_draws_where_the_kernels_are(engines, monkeypatch):
    engine, _ = engines()
    assert engine.draws is (compiled_kernels() is not None)
    monkeypatch.setattr(split, "compiled_kernels", lambda: None)
    assert not engine.draws
    with pytest.raises(AssertionError, match="folded does not draw"):
        engine.run(noise(1, 8, 8), None, 1, drawing=Drawing("matte"))
