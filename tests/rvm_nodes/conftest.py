"""The nodes without ComfyUI: a stand-in host, a small network, and clips whose matte can be checked."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from rvm_studio.core.engines import choose
from rvm_studio.core.network import MattingNetwork
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.rvm_nodes.model import RVMModel

HERE = Path(__file__).resolve().parent


def load_fake():
    spec = importlib.util.spec_from_file_location("rvm_fake_comfy", HERE / "fake_comfy.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fake_comfy = load_fake()


@pytest.fixture
def comfy(tmp_path, monkeypatch):
    """A ComfyUI that notes what it is asked for."""
    host = fake_comfy.FakeComfy(tmp_path / "ComfyUI")
    host.install(monkeypatch)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "cache"))
    return host


@pytest.fixture(scope="session")
def network() -> MattingNetwork:
    """A network with fixed random weights, scaled so that signals live: its mattes mean nothing, but they use the whole
    range, and every frame changes what follows."""
    torch.manual_seed(3)
    network = MattingNetwork("mobilenetv3", "fast_guided_filter").requires_grad_(False)
    src = moving_pictures(6).permute(0, 3, 1, 2)[None]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # takes the statistics as they are
            module.reset_running_stats()
    network.train()(src)
    network.eval()
    raw = []
    hook = network.project_mat.register_forward_hook(lambda module, inputs, output: raw.append(output[:, 3]))
    network(src)
    hook.remove()
    mean, deviation = raw[0].mean(), raw[0].std()
    conv = network.project_mat.conv
    conv.weight[3] *= 0.25 / deviation
    conv.bias[3] = (conv.bias[3] - mean) * 0.25 / deviation + 0.5
    conv.weight[:3] *= 0.02  # the foreground is nearly the picture: lossy files could not hold noise in colour
    return network


@pytest.fixture
def model(comfy, network) -> RVMModel:
    """What RVM Load Model would give for it."""
    device = torch.device("cpu")
    patcher = fake_comfy.ModelPatcher(network, device, device)
    return RVMModel(patcher, network, device, torch.float32, "random.safetensors", choose(device, "eager"))


@pytest.fixture
def weights_file(comfy, network) -> Path:
    """The network's weights in models/rvm."""
    return weights.save(network, comfy.root / "models" / "rvm" / "mine.safetensors", {"source": "random"})


def moving_pictures(count: int, height: int = 64, width: int = 80) -> torch.Tensor:
    """IMAGE [T, H, W, 3]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    t = torch.arange(count)[:, None, None] / 7
    planes = [
        0.5 + 0.45 * torch.sin(5 * x + t),
        0.5 + 0.45 * torch.cos(4 * y - 2 * t),
        0.5 + 0.4 * torch.sin(7 * (x + y) + t),
    ]
    return torch.stack(planes, -1)


@pytest.fixture(scope="session")
def frames():
    """`frames(T, H, W)` -> IMAGE [T, H, W, 3] that moves."""
    return moving_pictures


@pytest.fixture(scope="session")
def fake():
    """The module fake_comfy."""
    return fake_comfy
