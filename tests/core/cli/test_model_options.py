"""The options that choose a network: what they become on the way to it."""

import argparse

import pytest
import torch
from rvm_studio.core.cli.model_options import add_model_options, find_network, load_engine
from rvm_studio.core.engines import loading as engine_loading
from rvm_studio.core.weights import network_weights as weights


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return lambda *options: parser.parse_args(list(options))


@pytest.fixture
def calls(monkeypatch):
    """Everything that is asked of weights and engines, in order; nothing is loaded."""
    calls = []

    def noted(name, answer):
        return lambda *arguments: calls.append((name, *arguments)) or answer

    monkeypatch.setattr(weights, "find", noted("find", "the path"))
    monkeypatch.setattr(weights, "load_network", noted("load", "the network"))
    monkeypatch.setattr(engine_loading, "choose_device", noted("device", "the device"))
    monkeypatch.setattr(engine_loading, "choose", noted("choose", "the choice"))
    monkeypatch.setattr(engine_loading, "load_ahead", noted("ahead", None))
    monkeypatch.setattr(engine_loading, "build", noted("build", "the engine"))
    monkeypatch.setattr(torch, "set_num_threads", noted("threads", None))
    return calls


def test_the_defaults_leave_every_choice_to_the_machine(parse, calls):
    assert load_engine(parse()) == "the engine"
    assert calls == [
        ("device", "auto"),
        ("choose", "the device", "auto", "auto"),
        ("ahead", "the choice"),
        ("find", "mobilenetv3", None, None),
        ("load", "the path", "mobilenetv3", "auto"),
        ("build", "the network", "the choice"),
    ]


def test_every_option_arrives(parse, calls):
    options = "--variant resnet50 --weights w.pth --mirror http://m --refiner deep --device cuda:1 --engine folded"
    load_engine(parse(*options.split(), "--precision", "bf16", "--threads", "3"))
    assert calls == [
        ("threads", 3),
        ("device", "cuda:1"),
        ("choose", "the device", "folded", "bf16"),
        ("ahead", "the choice"),
        ("find", "resnet50", "w.pth", "http://m"),
        ("load", "the path", "resnet50", "deep_guided_filter"),
        ("build", "the network", "the choice"),
    ]


@pytest.mark.parametrize(
    ("short", "full"), [("auto", "auto"), ("deep", "deep_guided_filter"), ("fast", "fast_guided_filter")]
)
def test_the_refiners_names(parse, calls, short, full):
    assert find_network(parse("--refiner", short)) == "the network"
    assert calls[-1] == ("load", "the path", "mobilenetv3", full)
