"""`load`: the engine that the command line would take."""

import pytest
import torch
from rvm_studio.core import MattingNetwork, StudioError, choose_engine, find_network, load
from rvm_studio.core.cli.main import make_parser
from rvm_studio.core.cli.model_options import load_engine


@pytest.fixture(autouse=True)
def starter(monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", "starter")


def test_by_default_it_is_the_command_lines():
    parsed = make_parser().parse_args(["matte", "clip.mp4", "-o", "cut.mov", "--device", "cpu"])
    by_command, by_call = load_engine(parsed), load(device="cpu")
    choice = choose_engine(torch.device("cpu"))
    assert by_call.name == by_command.name == f"{choice.engine} {choice.precision}"
    assert (by_call.variant, by_call.device) == ("mobilenetv3", torch.device("cpu"))


def test_as_asked_for():
    assert load(engine="eager", precision="fp32", device="cpu").name == "eager fp32"
    assert load(engine="folded", precision=torch.float32, device=torch.device("cpu")).name == "folded fp32"
    assert load(weights="starter", refiner="fast", engine="eager", device="cpu").network.refiner_name == (
        "fast_guided_filter"
    )


def test_threads():
    before = torch.get_num_threads()
    try:
        load(engine="eager", device="cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"variant": "huge"}, "huge"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"engine": "best"}, "Unknown engine 'best'"),
        ({"precision": "fp8"}, "Unknown precision 'fp8'"),
        ({"precision": torch.float64}, "Unknown precision 'torch.float64'"),
        ({"refiner": "best"}, "unknown refiner 'best'"),
        ({"threads": 0}, "The number of threads is 0"),
        ({"threads": "all"}, "The number of threads is 'all'"),
    ],
)
def test_what_cannot_be(options, says):
    with pytest.raises(StudioError) as caught:
        load(**({"device": "cpu"} | options))
    assert says in str(caught.value)


def test_the_bare_network():
    network = find_network(refiner="fast")
    assert isinstance(network, MattingNetwork)
    assert not network.training
    assert network.refiner_name == "fast_guided_filter"
