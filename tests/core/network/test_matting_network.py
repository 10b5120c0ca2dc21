"""Laws of the network that need no recorded data: chunk invariance, shapes, states as values, autograd."""

# B batch, T frames, C channels, H, W

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.network import small_size


def make(variant="mobilenetv3", refiner="deep_guided_filter", seed=0) -> MattingNetwork:
    torch.manual_seed(seed)
    return MattingNetwork(variant, refiner).eval()


@pytest.mark.parametrize("chunk", [1, 3, 7])
@pytest.mark.parametrize(("ratio", "refiner"), [(1.0, "deep_guided_filter"), (0.5, "deep_guided_filter")])
def test_chunks_of_any_size_give_the_same_matte(chunk, ratio, refiner):
    network = make(refiner=refiner)
    src = torch.rand(1, 9, 3, 72, 88, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = network(src, downsample_ratio=ratio)
        rec, fgr, pha = None, [], []
        for part in src.split(chunk, 1):
            output = network(part, rec, ratio)
            rec = output.rec
            fgr.append(output.fgr)
            pha.append(output.pha)
    assert (torch.cat(fgr, 1) - whole.fgr).abs().max() < 1e-5
    assert (torch.cat(pha, 1) - whole.pha).abs().max() < 1e-5
    for ours, theirs in zip(rec, whole.rec, strict=True):
        assert (ours - theirs).abs().max() < 1e-5


def test_one_frame_4d_equals_one_step_5d_and_streams_are_apart():
    network = make()
    src = torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        both = network(src)
        alone = [network(src[i][None, None]) for i in range(2)]
    assert both.fgr.shape == (2, 3, 48, 64)
    assert both.pha.shape == (2, 1, 48, 64)
    for i in range(2):
        assert (both.pha[i] - alone[i].pha[0, 0]).abs().max() < 1e-5


@pytest.mark.parametrize("variant", ["mobilenetv3", "resnet50"])
@pytest.mark.parametrize("size", [(1, 1), (17, 31), (33, 16)])
def test_any_size_down_to_one_pixel(variant, size):
    network = make(variant)
    with torch.inference_mode():
        output = network(torch.rand(1, 2, 3, *size))
        again = network(torch.rand(1, 1, 3, *size), output.rec)
    assert output.fgr.shape == (1, 2, 3, *size)
    assert again.pha.shape == (1, 1, 1, *size)
    assert output.pha.isfinite().all()


def test_the_given_state_is_not_written_to():
    network = make()
    src = torch.rand(1, 2, 3, 32, 32)
    with torch.inference_mode():
        rec = network(src).rec
        before = [r.clone() for r in rec]
        network(src, rec)
    assert all(torch.equal(r, b) for r, b in zip(rec, before, strict=True))


def test_ratio_one_never_touches_the_refiner():
    network = make()
    network.refiner = None
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 3, 32, 32)).pha.shape == (1, 1, 1, 32, 32)


def test_segmentation_is_at_the_small_size():
    with torch.inference_mode():
        output = make().segment(torch.rand(1, 2, 3, 101, 135), downsample_ratio=0.4)
    assert output.seg.shape == (1, 2, 1, *small_size(101, 135, 0.4))


def test_gradients_flow_through_time_and_refiner():
    network = make().train()
    src = torch.rand(1, 3, 3, 64, 64)
    network(src, downsample_ratio=0.5).pha[:, -1].sum().backward()
    without = {name for name, p in network.named_parameters() if p.grad is None}
    assert without == {"project_seg.conv.weight", "project_seg.conv.bias"}


@pytest.mark.parametrize("refiner", ["deep_guided_filter", "fast_guided_filter"])
def test_bfloat16_and_autocast_stay_close(refiner):
    """The filter's variances are float32 inside, so reduced precision costs its own rounding, no blow-up."""
    network = make(refiner=refiner)
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 128), indexing="ij")
    src = torch.stack([x, y, (x * 7).sin() / 2 + 0.5])[None, None]
    with torch.inference_mode():
        full = network(src, downsample_ratio=0.5).pha
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(src, downsample_ratio=0.5).pha
        half = network.to(torch.bfloat16)(src.to(torch.bfloat16), downsample_ratio=0.5).pha
    assert half.dtype == torch.bfloat16
    assert (mixed.float() - full).abs().mean() < 0.02
    assert (half.float() - full).abs().mean() < 0.02


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown variant 'mobilenetv2'; expected one of mobilenetv3, resnet50"):
        MattingNetwork("mobilenetv2")
    with pytest.raises(ValueError, match="unknown refiner"):
        MattingNetwork(refiner="none")


@pytest.mark.parametrize(
    ("src", "ratio", "message"),
    [
        (torch.rand(3, 32, 32), 1.0, r"\[B, T, 3, H, W\]"),
        (torch.rand(1, 4, 32, 32), 1.0, "3 channels"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), 1.0, "floating point"),
        (torch.rand(1, 3, 32, 32), 0.0, "downsample_ratio"),
        (torch.rand(1, 3, 32, 32), 1.5, "downsample_ratio"),
    ],
)
def test_wrong_calls_say_what_was_expected(src, ratio, message):
    with pytest.raises(AssertionError, match=message):
        make()(src, downsample_ratio=ratio)
