"""The folded network and its parts, against the whole network with BatchNorm."""

# N frames of one stream, h, w small size

import copy

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines.small_network.small_network import (
    Decoder,
    Encoder,
    NetworkParts,
    first_states,
    folded,
    head_of,
    new_slope,
)
from torch import nn

VARIANTS = ["mobilenetv3", "resnet50"]


@pytest.fixture(scope="module", params=VARIANTS)
def network(request):
    """With random weights, and BatchNorm as after training: with means, variances, factors and offsets of all kinds."""
    torch.manual_seed(4)
    network = MattingNetwork(request.param).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for x, low, high in (
                *((module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5)),
                *((module.weight, 0.3, 0.7), (module.bias, -0.2, 0.2)),
            ):
                x.uniform_(low, high)
    return network


@pytest.fixture(scope="module")
def prepared(network):
    return folded(network)


def assert_equal(result, expected):
    """But for float32's rounding."""
    assert result.shape == expected.shape
    assert (result - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


def given(network, height, width, count=2):
    """A few pictures, and a state that is not zero."""
    generator = torch.manual_seed(width)
    rec = tuple(torch.rand(r.shape, generator=generator) - 0.5 for r in first_states(network, height, width))
    return torch.rand(count, 3, height, width, generator=generator), rec


def matted(network, small, rec):
    """The head's output, as the network makes it, hid and rec."""
    hid, rec = network._hidden(small, rec, 1)
    return network.project_mat(hid), hid, rec


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 51)])
def test_folded_equals_the_network(network, prepared, height, width):
    small, rec = given(network, height, width)
    (matte, hid, states), (expected, hid_before, states_before) = (
        matted(each, small, rec) for each in (prepared, network)
    )
    assert expected.std() > 0.01
    for result, truth in zip((matte, hid, *states), (expected, hid_before, *states_before), strict=True):
        assert_equal(result, truth)


def test_folded_is_a_copy_for_inference(network, prepared):
    before = copy.deepcopy(network.state_dict())
    again = folded(copy.deepcopy(network).double().train().requires_grad_(True))
    assert not any(module.training for module in again.modules() if not isinstance(module, nn.Identity))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in again.modules())
    assert {(x.dtype, x.requires_grad) for x in again.parameters()} == {(torch.float32, False)}
    for key, x in again.state_dict().items():
        torch.testing.assert_close(x, prepared.state_dict()[key])
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(x, before[key]) for key, x in network.state_dict().items())


def test_batch_norm_elsewhere_is_refused():
    network = MattingNetwork()
    network.more = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3))
    with pytest.raises(AssertionError, match="1 does not follow a convolution"):
        folded(network)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47), (1, 7)])
def test_first_states_begin_a_stream(network, height, width):
    small, _ = given(network, height, width)
    states = first_states(network, height, width)
    expected, _, expected_states = matted(network, small, None)
    result, _, _ = matted(network, small, states)
    assert [r.shape for r in states] == [r.shape for r in expected_states]
    assert torch.equal(result, expected)


@torch.inference_mode()
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 51)])
def test_encoder_and_decoder_are_the_network(network, prepared, height, width, foreground):
    small, rec = given(network, height, width)
    output = network(small[None], rec)
    features = Encoder(prepared)(small)
    matte, hid, *states = Decoder(prepared, foreground, hidden=True)(small, *features, *rec)
    assert matte.shape[1] == (4 if foreground else 1)
    assert_equal(matte[:, -1:].clamp(0, 1), output.pha[0])
    if foreground:
        assert_equal((matte[:, :3] + small).clamp(0, 1), output.fgr[0])
    for r, expected in zip(states, output.rec, strict=True):
        assert_equal(r, expected)
    assert_equal(head_of(prepared, foreground)(hid), matte)
    without = Decoder(prepared, foreground, hidden=False)(small, *features, *rec)
    assert all(torch.equal(x, y) for x, y in zip(without, (matte, *states), strict=True))


@torch.inference_mode()
def test_the_last_channel_alone(prepared):
    hid = torch.rand(2, 16, 9, 7, generator=torch.manual_seed(1)) - 0.5
    statistics = torch.rand(2, 8, 9, 7, generator=torch.manual_seed(2)) - 0.5
    alone = head_of(prepared, False)
    assert (alone.weight.shape, alone.bias.shape) == ((1, 16, 1, 1), (1,))
    assert_equal(alone(hid), head_of(prepared, True)(hid)[:, -1:])
    alpha, whole = (new_slope(prepared, foreground)(statistics, hid) for foreground in (False, True))
    assert_equal(alpha, whole[:, -1:])


@torch.inference_mode()
def test_the_slope_is_the_refiners(network, prepared):
    hid = torch.rand(2, 16, 9, 7, generator=torch.manual_seed(1)) - 0.5
    statistics = torch.rand(2, 8, 9, 7, generator=torch.manual_seed(2)) - 0.5
    expected = network.refiner.slope(*statistics.chunk(2, 1), hid)
    assert_equal(new_slope(prepared, True)(statistics, hid), expected)
    with pytest.raises(AssertionError):
        new_slope(MattingNetwork(refiner="fast_guided_filter"), True)


@torch.inference_mode()
def test_each_part_is_made_once_in_its_precision(network):
    parts = NetworkParts(folded(network), torch.bfloat16)
    made = [
        parts.encoder,
        *(parts.decoder(foreground, hidden) for foreground in (True, False) for hidden in (True, False)),
        *(parts.slope(foreground) for foreground in (True, False)),
    ]
    assert {x.dtype for part in made for x in part.parameters()} == {torch.bfloat16}
    for x in (x for part in made for x in part.parameters() if x.ndim == 4):
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert parts.decoder(True, False) is made[2]
    assert parts.slope(False) is made[-1]
    assert next(network.parameters()).dtype == torch.float32
