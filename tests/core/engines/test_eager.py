"""The eager engine gives what the network gives."""

# T frames, H, W

import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines import EagerEngine

CPU = torch.device("cpu")


def test_equals_the_network_and_leaves_it_alone():
    torch.manual_seed(0)
    network = MattingNetwork().train()
    engine = EagerEngine(network, CPU, torch.float32)
    assert network.training
    assert next(network.parameters()).requires_grad
    src = torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        expected = network.eval()(src[None], downsample_ratio=0.5)
    output = engine.run(src, None, 0.5)
    assert torch.equal(output.fgr, expected.fgr[0])
    assert torch.equal(output.pha, expected.pha[0])
    assert all(torch.equal(a, b) for a, b in zip(output.rec, expected.rec, strict=True))


def test_integers_in_and_out():
    engine = EagerEngine(MattingNetwork(), CPU, torch.float32)
    src = torch.randint(0, 256, (1, 3, 33, 47), dtype=torch.uint8)
    as_float = engine.run(src / 255, None, 1.0)
    output = engine.run(src, None, 1.0, out=torch.uint8, foreground=False)
    assert output.fgr is None
    assert output.pha.dtype == torch.uint8
    assert (output.pha / 255 - as_float.pha).abs().max() <= 0.5 / 255 + 1e-5
