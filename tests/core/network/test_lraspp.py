"""The pooled pyramid against its formula: conv(x) gated by a sigmoid of conv(mean of x)."""

import torch
from rvm_studio.core.network.lraspp import LRASPP


def test_it_is_the_gated_product():
    torch.manual_seed(0)
    pool = LRASPP(6, 4).double().eval()
    norm = pool.aspp1[1]
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    features = torch.einsum("oi,nihw->nohw", pool.aspp1[0].weight[:, :, 0, 0], x)
    mean, var, weight, bias = (
        value[:, None, None] for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    features = ((features - mean) / (var + norm.eps).sqrt() * weight + bias).clamp(min=0)
    gate = 1 / (1 + (-torch.einsum("oi,ni->no", pool.aspp2[1].weight[:, :, 0, 0], x.mean((2, 3)))).exp())
    assert torch.allclose(pool(x), features * gate[..., None, None], rtol=0, atol=1e-12)


def test_a_gate_of_half_halves_the_features():
    pool = LRASPP(3, 3).eval()
    torch.nn.init.zeros_(pool.aspp2[1].weight)  # sigmoid(0)
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(pool(x), pool.aspp1(x) / 2)


def test_the_gate_sees_the_whole_picture():
    pool = LRASPP(1, 1).eval()
    torch.nn.init.ones_(pool.aspp1[0].weight)
    torch.nn.init.ones_(pool.aspp2[1].weight)
    x = torch.ones(1, 1, 2, 2)
    x[..., 1, 1] = 5  # the mean is 2
    assert torch.allclose(pool(x), pool.aspp1(x) * torch.tensor(2.0).sigmoid())
    assert torch.allclose(pool(x)[..., 0, 0], torch.tensor(2.0).sigmoid(), atol=1e-4)  # batch norm's epsilon
