"""What every engine takes from its base class: what `run` refuses, hands on and does around the computation."""

# T frames, H, W

import inspect

import pytest
import torch
from rvm_studio.core.engines import Drawing, Engine, EngineOutput
from rvm_studio.core.engines.engine import Wanted


class Noting(Engine):
    """Notes what it is given; alpha is red's value, times a weight that could be trained."""

    name, variant, device, dtype = "noting", "mobilenetv3", torch.device("cpu"), torch.float32

    def __init__(self, draws=False):
        self.draws, self.given = draws, []
        self.weight = torch.ones(1, requires_grad=True)

    def _run(self, frames, rec, downsample_ratio, wanted):
        self.given.append((frames, rec, downsample_ratio, wanted))
        assert torch.is_inference_mode_enabled()
        return EngineOutput(None, frames[:, :1] * self.weight, rec)


FRAMES = torch.rand(2, 3, 4, 6, generator=torch.manual_seed(0))
REC = tuple(torch.zeros(1, 2, 2, 3) for _ in range(4))
COLOUR = Drawing("composite", torch.zeros(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, Wanted(torch.float32, True, None)),
        ({"out": torch.uint8, "foreground": False}, Wanted(torch.uint8, False, None)),
        ({"drawing": COLOUR, "out": torch.uint16}, Wanted(torch.uint16, True, COLOUR)),
    ],
)
def test_what_is_wanted_is_handed_on(asked, wanted):
    engine = Noting(draws=True)
    engine.run(FRAMES, REC, 0.5, **asked)
    ((frames, rec, ratio, handed),) = engine.given
    assert frames is FRAMES
    assert rec is REC
    assert ratio == 0.5
    assert handed == wanted


def test_the_defaults_are_those_of_wanted():
    parameters = inspect.signature(Engine.run).parameters
    assert {name: parameters[name].default for name in Wanted._fields} == Wanted()._asdict()


def test_no_frames_are_refused():
    engine = Noting()
    with pytest.raises(AssertionError, match="at least one frame"):
        engine.run(FRAMES[:0], None, 1.0)
    assert not engine.given


@pytest.mark.parametrize("drawing", [COLOUR, Drawing("matte"), Drawing("foreground")])
def test_an_engine_that_does_not_draw_refuses_a_drawing(drawing):
    engine = Noting()
    with pytest.raises(AssertionError, match="noting does not draw"):
        engine.run(FRAMES, None, 1.0, drawing=drawing)
    assert not engine.given


def test_nothing_is_recorded_for_training():
    engine = Noting()
    with torch.enable_grad():
        output = engine.run(FRAMES, None, 1.0)
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    assert output.pha.is_inference()
    assert not output.pha.requires_grad
    assert torch.equal(output.pha, FRAMES[:, :1])
