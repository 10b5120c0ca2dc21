"""The encoders: sizes and channels of their features, what they do to the picture first, which places they look at."""

import math

import pytest
import torch
from rvm_studio.core.network.backbone import IMAGENET_MEAN, IMAGENET_STD, MobileNetV3Encoder, ResNet50Encoder

CHANNELS = {MobileNetV3Encoder: (16, 24, 40, 960), ResNet50Encoder: (64, 256, 512, 2048)}


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return {kind: kind().eval() for kind in CHANNELS}


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("size", [(64, 96), (37, 53), (1, 1)])
def test_features_at_a_half_to_a_sixteenth(encoders, kind, size):
    with torch.inference_mode():
        features = encoders[kind](torch.rand(2, 3, *size))
    wanted = [
        (2, channels, *(math.ceil(side / 2**step) for side in size)) for step, channels in enumerate(CHANNELS[kind], 1)
    ]
    assert [tuple(f.shape) for f in features] == wanted
    assert encoders[kind].channels == CHANNELS[kind]


def test_mobilenet_normalises_with_the_imagenet_statistics(encoders):
    encoder = encoders[MobileNetV3Encoder]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        ours, truth = encoder(normalised * std + mean), encoder.features_of(normalised)
    for found, wanted in zip(ours, truth, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())


def test_resnet_takes_the_picture_as_it_is(encoders):
    encoder = encoders[ResNet50Encoder]
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        f1 = encoder(x)[0]
        assert torch.equal(f1, torch.relu(encoder.bn1(torch.nn.functional.conv2d(x, encoder.conv1.weight, None, 2, 3))))


@pytest.mark.parametrize("kind", CHANNELS)
def test_the_statistics_are_no_part_of_the_state_dict(encoders, kind):
    names = encoders[kind].state_dict()
    assert not {"mean", "std"} & set(names)


@pytest.mark.parametrize("kind", CHANNELS)
def test_the_last_stage_is_dilated_and_not_strided(encoders, kind):
    convolutions = [module for module in encoders[kind].modules() if isinstance(module, torch.nn.Conv2d)]
    assert max(module.dilation[0] for module in convolutions) == 2
    last = [module for module in convolutions if module.dilation[0] == 2]
    assert all(module.stride == (1, 1) for module in last)
