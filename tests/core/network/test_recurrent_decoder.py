"""The decoder's parts against their formulas: the gated unit, the skipping half, doubling and pooling."""

import pytest
import torch
from rvm_studio.core.network.recurrent_decoder import (
    BottleneckBlock,
    ConvGRU,
    OutputBlock,
    Projection,
    RecurrentDecoder,
    UpsamplingBlock,
    double_to,
)

# B batch, T frames, C channels, H, W


def unit(channels=1) -> ConvGRU:
    torch.manual_seed(0)
    return ConvGRU(channels).double()


def test_the_gated_unit_is_the_papers_equation():
    """With kernels that are zero but in the middle every pixel is a unit of its own, worked out here as numbers."""
    gru, x = unit(), torch.randn(1, 3, 1, 2, 2, dtype=torch.float64)
    for conv in (gru.ih[0], gru.hh[0]):
        middle = conv.weight[..., 1, 1].clone()
        torch.nn.init.zeros_(conv.weight)
        with torch.no_grad():
            conv.weight[..., 1, 1] = middle
    (rx, rh), (zx, zh) = gru.ih[0].weight[:, :, 1, 1].tolist()
    r0, z0 = gru.ih[0].bias.tolist()
    ((cx, ch),), (c0,) = gru.hh[0].weight[:, :, 1, 1].tolist(), gru.hh[0].bias.tolist()
    outputs, last = gru(x.flatten(0, 1), None, 1)
    for row in range(2):
        for column in range(2):
            h = torch.zeros((), dtype=torch.float64)
            for t in range(3):
                pixel = x[0, t, 0, row, column]
                r, z = torch.sigmoid(rx * pixel + rh * h + r0), torch.sigmoid(zx * pixel + zh * h + z0)
                c = torch.tanh(cx * pixel + ch * r * h + c0)
                h = (1 - z) * h + z * c
                assert torch.isclose(outputs[t, 0, row, column], h, rtol=0, atol=1e-12)
            assert torch.isclose(last[0, 0, row, column], h, rtol=0, atol=1e-12)


def test_no_state_is_a_state_of_zeros_and_streams_are_apart():
    gru, x = unit(3), torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    both, last = gru(x.flatten(0, 1), None, 2)
    zeros = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    assert torch.equal(both, gru(x.flatten(0, 1), zeros, 2)[0])
    assert not zeros.any(), "the given state was written to"
    for stream in range(2):
        alone, state = gru(x[stream], None, 1)
        assert torch.allclose(both.unflatten(0, (2, 4))[stream], alone, atol=1e-12)
        assert torch.allclose(last[stream], state[0], atol=1e-12)


def test_the_state_stays_within_one():
    """It is a mean of values of tanh, however large the input is."""
    gru = unit(2)
    outputs, last = gru(1e3 * torch.randn(6, 2, 4, 4, dtype=torch.float64), None, 1)
    assert outputs.abs().max() <= 1
    assert last.abs().max() <= 1


def test_the_first_half_bypasses_the_unit():
    torch.manual_seed(0)
    block, f4 = BottleneckBlock(6), torch.randn(2, 6, 3, 4)
    out, r4 = block(f4, None, 1)
    assert torch.equal(out[:, :3], f4[:, :3])
    expected, state = block.gru(f4[:, 3:], None, 1)
    assert torch.equal(out[:, 3:], expected)
    assert torch.equal(r4, state)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (6, 7)])
def test_doubling_is_bilinear_and_cropped_to_the_picture(size):
    x = torch.arange(12.0).view(1, 1, 3, 4)  # 4 * row + column: linear, so known between its pixels
    doubled = double_to(x, torch.zeros(1, 3, *size))
    assert doubled.shape == (1, 1, *size)
    row, column = ((torch.arange(n) + 0.5) / 2 - 0.5 for n in size)
    truth = 4 * row.clamp(0, 2)[:, None] + column.clamp(0, 3)
    assert torch.allclose(doubled[0, 0], truth)


def test_pooling_keeps_an_odd_border_as_it_is():
    pool = RecurrentDecoder((2, 2, 2, 2), (2, 2, 2, 2)).pool
    x = torch.tensor([[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [2.0, 4.0, 9.0]]).view(1, 1, 3, 3)
    assert torch.equal(pool(x)[0, 0], torch.tensor([[2.0, 6.0], [3.0, 9.0]]))


def test_blocks_join_the_doubled_the_skipped_and_the_picture():
    torch.manual_seed(0)
    upsampling, output = UpsamplingBlock(4, 3, 2).eval(), OutputBlock(4, 2).eval()
    x, f, s = torch.randn(1, 4, 3, 4), torch.randn(1, 3, 5, 8), torch.rand(1, 3, 5, 8)
    found, r = upsampling(x, f, s, None, 1)
    joined = upsampling.conv(torch.cat([double_to(x, s), f, s], 1))
    assert torch.equal(found[:, :1], joined[:, :1])
    assert torch.equal(found[:, 1:], upsampling.gru(joined[:, 1:], None, 1)[0])
    assert r.shape == (1, 1, 5, 8)
    assert torch.equal(output(x, s), output.conv(torch.cat([double_to(x, s), s], 1)))


def test_shapes_of_hidden_features_and_states():
    decoder = RecurrentDecoder((2, 3, 4, 6), (8, 6, 4, 5)).eval()
    size = [(21, 35), (11, 18), (6, 9), (3, 5), (2, 3)]
    src, *features = (torch.rand(2, c, *hw) for c, hw in zip((3, 2, 3, 4, 6), size, strict=True))
    hid, rec = decoder(src, tuple(features), None, 2)
    assert hid.shape == (2, 5, 21, 35)
    assert [tuple(r.shape) for r in rec] == [
        (2, channels, *hw) for channels, hw in zip((2, 3, 4, 3), size[1:], strict=True)
    ]


def test_a_projection_is_a_matrix_at_each_pixel():
    torch.manual_seed(0)
    head, hid = Projection(16, 4).double(), torch.rand(1, 16, 2, 3, dtype=torch.float64)
    truth = torch.einsum("oi,nihw->nohw", head.conv.weight[:, :, 0, 0], hid) + head.conv.bias.view(4, 1, 1)
    assert torch.allclose(head(hid), truth, atol=1e-12)
