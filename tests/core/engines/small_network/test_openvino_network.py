"""The small network as it is arranged for OpenVINO, run by PyTorch, against the small network as it stands."""

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines.small_network.openvino_network import SmallNetwork
from rvm_studio.core.engines.small_network.small_network import Decoder, Encoder, first_states, folded
from safetensors.torch import load_file


@pytest.fixture(scope="module", params=["mobilenetv3", "resnet50"])
def network(request, reference_weights, filled_state_dict):
    """With the real weights where there are any: through others rounding grows from layer to layer."""
    network = MattingNetwork(request.param).eval()
    state = filled_state_dict(network)
    if request.param == "mobilenetv3":
        state |= load_file(reference_weights)
    network.load_state_dict({key: value for key, value in state.items() if key in network.state_dict()})
    return folded(network)


def channels_last(x):
    return x.permute(0, 2, 3, 1).contiguous()


def given_to(network, height, width):
    """A picture, its halves, and states that are not zero."""
    generator = torch.manual_seed(width)
    small = torch.rand(1, 3, height, width, generator=generator)
    states = [torch.rand(r.shape, generator=generator) - 0.5 for r in first_states(network, height, width)]
    pictures = [small]
    for _ in range(3):
        pictures.append(network.decoder.pool(pictures[-1]))
    return pictures, states


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 51)])
@pytest.mark.parametrize(("foreground", "hidden"), [(True, True), (False, False)])
def test_it_is_the_same_network(network, height, width, foreground, hidden):
    pictures, states = given_to(network, height, width)
    expected = Decoder(network, foreground, hidden)(pictures[0], *Encoder(network)(pictures[0]), *states)
    arranged = SmallNetwork(network, foreground, hidden, encoder=torch.float32, decoder=torch.float32)
    results = arranged(*map(channels_last, (*pictures, *states)))
    assert len(results) == len(expected)
    for result, truth in zip(results, expected, strict=True):
        assert result.shape == channels_last(truth).shape
        assert (result - channels_last(truth)).abs().max() < 1e-5 * truth.abs().max().clamp(min=1)


@torch.inference_mode()
@pytest.mark.parametrize("encoder", [torch.float32, torch.bfloat16])
def test_halves_in_half_precision(network, encoder):
    """Near the float32 result, and the given network stays in float32."""
    pictures, states = given_to(network, 48, 64)
    given = [channels_last(x) for x in (*pictures, *states)]
    expected = SmallNetwork(network, True, False, encoder=torch.float32, decoder=torch.float32)(*given)
    results = SmallNetwork(network, True, False, encoder=encoder, decoder=torch.bfloat16)(*given)
    for result, truth in zip(results, expected, strict=True):
        assert result.dtype == torch.float32
        assert 0 < (result - truth).abs().mean() < 0.02 * truth.abs().mean().clamp(min=1)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
