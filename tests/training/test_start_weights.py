"""What a training starts from."""

import re

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.network.torchvision_import import models
from rvm_studio.training.run_options import make_parser
from rvm_studio.training.start_weights import start_network


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where torchvision keeps its downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def same_parameters(one, two) -> bool:
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_seed_is_a_network():
    one, fixed = start_network("mobilenetv3", 3, None)
    assert fixed == ()
    assert same_parameters(one, start_network("mobilenetv3", 3, None)[0])
    assert not same_parameters(one, start_network("mobilenetv3", 4, None)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "make", "entry"),
    [
        ("mobilenetv3", models.mobilenet_v3_large, models.MobileNet_V3_Large_Weights.IMAGENET1K_V1),
        ("resnet50", models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    ],
)
def test_the_encoder_as_torchvision_trained_it(hub, variant, make, entry):
    """A file of that name is there, as after a download; the classifier in it plays no part."""
    torch.manual_seed(1)
    classifier = make(weights=None)
    torch.save(classifier.state_dict(), hub / entry.url.rsplit("/", 1)[-1])
    network, fixed = start_network(variant, 3, "imagenet")
    assert fixed == ()  # its statistics are real ones, and are learnt on
    known = classifier.state_dict()
    for name, x in network.backbone.state_dict().items():
        assert torch.equal(x, known[name]), name
    assert same_parameters(network.decoder, start_network(variant, 3, None)[0].decoder)


def test_imagenet_out_of_reach_says_what_to_do(hub, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(StudioError, match=r"checkpoints by hand.*--init scratch"):
        start_network("mobilenetv3", 0, "imagenet")


def test_a_damaged_imagenet_file_says_what_to_do(hub):
    name = models.MobileNet_V3_Large_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    (hub / name).write_bytes(b"PK no checkpoint")
    with pytest.raises(StudioError, match=r"checkpoints by hand.*--init scratch"):
        start_network("mobilenetv3", 0, "imagenet")


@pytest.mark.parametrize("variant", ["mobilenetv3", "resnet50"])
def test_official_weights_out_of_reach_say_what_to_do(variant, tmp_path, monkeypatch):
    """With what a training reads."""
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("RVM_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(StudioError) as caught:
        start_network(variant, 0, "official")
    message, *choices = str(caught.value).splitlines()
    assert message.startswith(f"http://127.0.0.1:9/rvm_{variant}.pth could not be downloaded: ")
    assert [choice[:5] for choice in choices] == ["  1. ", "  2. ", "  3. "]
    assert f"put rvm_{variant}.pth into {tmp_path}" in choices[1]
    known = {option for action in make_parser()._actions for option in action.option_strings}
    assert set(re.findall(r"--[a-z-]+", str(caught.value))) == {"--init"} <= known


def test_from_the_starter_weights():
    network, fixed = start_network("mobilenetv3", 0, "starter")
    assert fixed == ()
    assert not same_parameters(network, start_network("mobilenetv3", 0, None)[0])
