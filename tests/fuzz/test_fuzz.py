"""Hostile inputs from a fixed seed: the product's own error or a result, never another exception.

`python bench/fuzz.py --minutes 60` goes on for an hour."""

import sys

import pytest

from .targets import TARGETS, explore, host

EXAMPLES = {
    "videos": 120,
    "pictures": 250,
    "weights": 200,
    "states": 200,
    "frame protocol": 250,
    "node inputs": 400,
    "matting nodes": 80,
}


@pytest.fixture
def comfy(monkeypatch):
    """The stand-in for ComfyUI, which goes away with the test."""
    before = dict(sys.modules)
    host().install(monkeypatch)
    yield
    monkeypatch.undo()
    for name in set(sys.modules) - set(before):
        if name.split(".")[0] in ("comfy", "comfy_api", "folder_paths"):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_hostile_inputs(name, comfy):
    counts = explore(TARGETS[name], EXAMPLES[name], seed=16)
    print(f"{name}: {counts['taken']} taken, {counts['refused']} refused")
    assert counts["refused"] > EXAMPLES[name] // 20  # the inputs are hostile
    assert counts["taken"] > 0


def test_every_target_is_run():
    assert EXAMPLES.keys() == TARGETS.keys()
