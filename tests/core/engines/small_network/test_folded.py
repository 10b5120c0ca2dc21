"""The small network in plain PyTorch, in float32 and in bfloat16, against the network."""

# N frames of one stream, h, w small size

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines import build, choose
from rvm_studio.core.engines.small_network.folded import FoldedParts
from rvm_studio.core.engines.small_network.small_network import first_states

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(random_networks):
    return random_networks("deep_guided_filter", 2)


def given(network, height, width, count=3):
    """A few pictures, and a state that is not zero."""
    generator = torch.manual_seed(width)
    rec = tuple(torch.rand(r.shape, generator=generator) - 0.5 for r in first_states(network, height, width))
    return torch.rand(count, 3, height, width, generator=generator), rec


def by_the_network(network, small, rec):
    """matte, hid and rec."""
    hid, rec = network._hidden(small, rec, 1)
    return network.project_mat(hid), hid, rec


@torch.inference_mode()
@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 51)])
def test_float32_equals_the_network(network, height, width, foreground, hidden):
    small, rec = given(network, height, width)
    kept = [r.clone() for r in rec]
    expected, expected_hid, expected_rec = by_the_network(network, small, rec)
    matte, hid, states = FoldedParts(network).run(small, rec, foreground, hidden)
    assert matte.shape == (3, 4 if foreground else 1, height, width)
    assert (matte - (expected if foreground else expected[:, 3:])).abs().max() < 1e-5
    assert (hid is not None) is hidden
    if hidden:
        assert (hid - expected_hid).abs().max() < 1e-5
    for r, truth in zip(states, expected_rec, strict=True):
        assert (r - truth).abs().max() < 1e-5
    assert all(torch.equal(r, before) for r, before in zip(rec, kept, strict=True)), "a state is never written to"


@torch.inference_mode()
def test_bf16_within_its_rounding(network):
    """8 bits are left of a number: one rounding changes it by up to 1/256 of its value."""
    small, rec = given(network, 48, 64)
    expected, _, expected_rec = by_the_network(network, small, rec)
    matte, hid, states = FoldedParts(network, torch.bfloat16).run(small, rec, True, True)
    assert hid.dtype == torch.bfloat16
    for result, truth in zip((matte, *states), (expected, *expected_rec), strict=True):
        assert result.dtype == torch.float32
        assert 0 < (result - truth).abs().mean() < truth.abs().mean() / 100
        assert (result - truth).abs().max() < truth.abs().max() / 32


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 0.005)])
def test_the_slope_is_the_refiners(network, dtype, bound):
    generator = torch.manual_seed(3)
    statistics, hid = (torch.rand(2, n, 9, 7, generator=generator) - 0.5 for n in (8, 16))
    expected = network.refiner.slope(*statistics.chunk(2, 1), hid)
    parts = FoldedParts(network, dtype)
    for foreground, truth in ((True, expected), (False, expected[:, 3:])):
        slope = parts.slope(statistics, hid.to(dtype), foreground)
        assert slope.dtype == torch.float32
        assert slope.shape == truth.shape
        assert (slope - truth).abs().max() < bound


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frames_at_once_as_one_by_one(network, dtype):
    parts = FoldedParts(network, dtype)
    small, rec = given(network, 37, 51)
    whole, _, last = parts.run(small, rec, True, False)
    mattes = []
    for picture in small.split(1):
        matte, _, rec = parts.run(picture, rec, True, False)
        mattes.append(matte)
    bound = 1e-5 if dtype == torch.float32 else whole.abs().max() / 64
    assert (torch.cat(mattes) - whole).abs().max() < bound
    assert all((r - truth).abs().max() < bound for r, truth in zip(rec, last, strict=True))


def test_a_network_stays_as_it_is():
    torch.manual_seed(0)
    network = MattingNetwork().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    build(network, choose(CPU, "folded", "fp32")).run(torch.rand(1, 3, 32, 48), None, 0.5)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
