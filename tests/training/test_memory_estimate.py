"""What a run will take on a card is worked out from what autograd keeps; here beside what it does keep."""

# B clips, T frames

import dataclasses

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.training.augmentation import MattingBatch
from rvm_studio.training.memory_estimate import SLACK, bytes_per_pixel, estimate, table
from rvm_studio.training.recipe import PRESETS
from rvm_studio.training.recomputation import recompute_activations
from rvm_studio.training.step import pass_loss, train_mode

GB = 2**30


@pytest.fixture(scope="module")
def estimates() -> dict[str, float]:
    return {name: estimate(PRESETS[name], "mobilenetv3") / GB for name in ("8gb", "12gb", "24gb", "full")}


@pytest.mark.slow
def test_each_preset_fits_its_card(estimates):
    """With half a gigabyte for the desktop."""
    assert estimates["8gb"] < 7.5
    assert estimates["12gb"] < 11.5
    assert estimates["24gb"] < 23.5
    assert estimates["full"] < 39.5


@pytest.mark.slow
def test_it_grows_with_what_is_asked(estimates):
    preset = PRESETS["8gb"]
    assert estimate(dataclasses.replace(preset, frames=(15, 64, 64, 64)), "mobilenetv3") / GB > estimates["8gb"]
    assert estimate(preset, "mobilenetv3", stages=(1,)) / GB < estimates["8gb"]
    assert estimate(preset, "mobilenetv3", clips=4) / GB > 3 * estimates["8gb"] - 3
    assert estimate(preset, "resnet50") / GB > estimates["8gb"]
    lines = table(preset, "mobilenetv3", (1, 2, 3, 4), None).splitlines()
    assert f"{estimates['8gb']:.1f} GB for this run" in lines[0]
    assert "24gb" in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", [False, True])
def test_it_is_what_the_allocator_gives_out(recomputed):
    """The most that is alive at once during forward and backward, counted from every allocation by the profiler."""
    T, side = 6, 160  # noqa: N806
    network = MattingNetwork()
    whole, between, block = bytes_per_pixel(network, 1.0)
    if recomputed:
        recompute_activations(network, 2)
    train_mode(network)
    dice = torch.Generator().manual_seed(0)
    src, fgr = (torch.rand(1, T, 3, side, side, generator=dice) for _ in range(2))
    batch = MattingBatch(src, fgr, torch.rand(1, T, 1, side, side, generator=dice))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loss, _ = pass_loss(network, batch)
        loss.backward()
    alive = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    gradients = 4 * sum(x.numel() for x in network.parameters())
    per_pixel = (most - gradients) / (T * side**2)
    expected = between + block if recomputed else whole
    assert 0.75 * expected < per_pixel < SLACK * expected, (per_pixel, expected)
