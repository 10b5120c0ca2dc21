"""Losses against the golden values and gradients, their definitions written out again, and dtype rules."""

import json

import pytest
import torch
from rvm_studio.training.losses import (
    SMALLEST_SIDE,
    gaussian_kernel,
    laplacian_loss,
    laplacian_pyramid,
    matting_loss,
    segmentation_loss,
)
from torch import Tensor
from torch.autograd import gradcheck

INPUTS = ("pred_fgr", "pred_pha", "true_fgr", "true_pha")
TERMS = ("pha_l1", "pha_laplacian", "pha_coherence", "fgr_l1", "fgr_coherence", "total")


@pytest.fixture(scope="module")
def losses(golden) -> tuple[dict[str, Tensor], dict[str, float]]:
    tensors, metadata = golden("g_losses")
    return tensors, {name: float(value) for name, value in json.loads(metadata["values"]).items()}


def inputs(frames: int = 3, height: int = 66, width: int = 70, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    random = torch.Generator().manual_seed(frames * height + width)
    return [
        torch.rand(2, frames, channels, height, width, generator=random, dtype=torch.float64).to(dtype)
        for channels in (3, 1, 3, 1)
    ]


@pytest.mark.parametrize(
    ("dtype", "prefix", "tolerance"), [(torch.float32, "loss", 1e-6), (torch.float64, "loss64", 1e-13)]
)
def test_golden_values(losses, dtype, prefix, tolerance):
    tensors, values = losses
    terms = matting_loss(*(tensors[name].to(dtype) for name in INPUTS))
    for name in TERMS:
        term = getattr(terms, name)
        assert term.dtype == dtype
        assert term.shape == ()
        assert term.item() == pytest.approx(values[f"{prefix}_{name}"], rel=tolerance)
    seg = segmentation_loss(tensors["pred_seg"].to(dtype), tensors["true_seg"].to(dtype))
    assert seg.item() == pytest.approx(values[f"{prefix}_segmentation"], rel=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_golden_gradients(losses, dtype):
    tensors, _ = losses
    leaves = {name: tensors[name].to(dtype, copy=True).requires_grad_() for name in (*INPUTS, "pred_seg")}
    matting_loss(*(leaves[name] for name in INPUTS)).total.backward()
    segmentation_loss(leaves["pred_seg"], tensors["true_seg"].to(dtype)).backward()
    for name, gradient in (
        ("pred_fgr", "grad_total_pred_fgr"),
        ("pred_pha", "grad_total_pred_pha"),
        ("pred_seg", "grad_seg_pred_seg"),
    ):
        true = tensors[gradient].to(dtype)
        found = leaves[name].grad
        assert found is not None
        torch.testing.assert_close(found, true, rtol=1e-5, atol=2e-7 * true.abs().max().item())


def test_golden_pyramid_and_kernel(losses):
    tensors, _ = losses
    torch.testing.assert_close(gaussian_kernel(tensors["pred_pha"]), tensors["gauss_kernel"], rtol=0, atol=0)
    levels = laplacian_pyramid(tensors["pred_pha"].flatten(0, 1))
    assert len(levels) == 5
    for i, level in enumerate(levels):
        torch.testing.assert_close(level, tensors[f"pred_pha_pyramid_{i}"], rtol=0, atol=1e-6)


def test_terms_are_their_definitions():
    pred_fgr, pred_pha, true_fgr, true_pha = inputs(dtype=torch.float64)
    true_pha[:, :, :, :30] = 0
    terms = matting_loss(pred_fgr, pred_pha, true_fgr, true_pha)
    visible = (true_pha > 0).double()

    def changes(x: Tensor) -> Tensor:
        return torch.stack([x[:, t] - x[:, t - 1] for t in range(1, x.shape[1])], 1)

    pha_change = changes(pred_pha) - changes(true_pha)
    fgr_change = changes(pred_fgr * visible) - changes(true_fgr * visible)
    expected = {
        "pha_l1": (pred_pha - true_pha).abs().mean(),
        "pha_coherence": 5 * (pha_change**2).mean(),
        "fgr_l1": ((pred_fgr - true_fgr) * visible).abs().mean(),
        "fgr_coherence": 5 * (fgr_change**2).mean(),
        "total": sum(terms[:-1]),
    }
    for name, value in expected.items():
        assert getattr(terms, name).item() == pytest.approx(float(value), rel=1e-12)


def test_equal_inputs_cost_nothing():
    _, _, true_fgr, true_pha = inputs()
    assert all(term.item() == 0 for term in matting_loss(true_fgr, true_pha, true_fgr, true_pha))


def test_pyramid_levels_halve_and_ignore_brightness():
    picture = torch.rand(1, 1, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    levels = laplacian_pyramid(picture)
    assert [list(level.shape[2:]) for level in levels] == [[64, 96], [32, 48], [16, 24], [8, 12], [4, 6]]
    # A constant is all in the remainder that is dropped. (Not at the bottom and right border, where the mirrored
    # zeros between the spread pixels are not as regular as inside.)
    brighter = laplacian_pyramid(picture + 0.25)
    torch.testing.assert_close(brighter[0][..., :-2, :-2], levels[0][..., :-2, :-2], rtol=0, atol=1e-12)


def test_foreground_counts_only_where_the_subject_is():
    pred_fgr, pred_pha, true_fgr, true_pha = inputs(frames=2)
    true_pha[..., 20:] = 0
    pred_fgr.requires_grad_()
    terms = matting_loss(pred_fgr, pred_pha, true_fgr, true_pha)
    terms.total.backward()
    assert pred_fgr.grad is not None
    assert pred_fgr.grad[..., 20:].abs().max() == 0
    assert pred_fgr.grad[..., :20].abs().min() > 0
    no_subject = matting_loss(pred_fgr, pred_pha, true_fgr, torch.zeros_like(true_pha))
    assert no_subject.fgr_l1.item() == no_subject.fgr_coherence.item() == 0


def test_single_frame_has_no_coherence_and_no_nan():
    pred_fgr, pred_pha, true_fgr, true_pha = inputs(frames=1)
    pred_fgr.requires_grad_()
    pred_pha.requires_grad_()
    terms = matting_loss(pred_fgr, pred_pha, true_fgr, true_pha)
    assert terms.pha_coherence.item() == terms.fgr_coherence.item() == 0
    terms.total.backward()
    for leaf in (pred_fgr, pred_pha):
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autocast_changes_nothing(dtype):
    """Same values and gradients, bit by bit, though autocast would run the blur in bfloat16."""

    def run() -> list[Tensor]:
        leaves = [x.requires_grad_() for x in inputs(dtype=dtype)]
        seg = torch.linspace(-9, 9, leaves[1].numel(), dtype=dtype).view_as(leaves[1]).requires_grad_()
        terms = matting_loss(*leaves)
        seg_loss = segmentation_loss(seg, leaves[3].detach())
        (terms.total + seg_loss).backward()
        pyramid = laplacian_pyramid(leaves[1].detach().flatten(0, 1))
        gradients = [x.grad for x in (leaves[0], leaves[1], seg) if x.grad is not None]
        return [*terms, seg_loss, laplacian_loss(pyramid[0], pyramid[0] * 0.5), *pyramid, *gradients]

    plain = run()
    with torch.autocast("cpu", torch.bfloat16):
        probe = torch.nn.functional.conv2d(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 5, 5))
        assert probe.dtype == torch.bfloat16  # autocast is really on
        mixed = run()
    assert len(plain) == 6 + 2 + 5 + 3
    for a, b in zip(plain, mixed, strict=True):
        assert a.dtype == b.dtype == dtype
        assert torch.equal(a, b)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_inputs_are_computed_in_float32(half):
    halves = inputs(dtype=half)
    terms = matting_loss(*halves)
    same = matting_loss(*(x.float() for x in halves))
    for a, b in zip(terms, same, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
    assert all(level.dtype == torch.float32 for level in laplacian_pyramid(halves[1].flatten(0, 1)))
    assert segmentation_loss(halves[1], halves[3]).dtype == torch.float32


def test_prediction_half_truth_float32():
    pred_fgr, pred_pha, true_fgr, true_pha = inputs()
    assert matting_loss(pred_fgr.half(), pred_pha.half(), true_fgr, true_pha).total.dtype == torch.float32


def test_laplacian_gradient_by_finite_differences():
    random = torch.Generator().manual_seed(3)
    pred = torch.rand(1, 1, 64, 64, dtype=torch.float64, generator=random, requires_grad=True)
    true = torch.rand(1, 1, 64, 64, dtype=torch.float64, generator=random)
    assert gradcheck(lambda x: laplacian_loss(x, true), pred, fast_mode=True, atol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 64), (67, 127), (64, 95), (101, 135)])
def test_odd_sizes_work(height, width):
    assert bool(matting_loss(*inputs(frames=2, height=height, width=width)).total.isfinite())


@pytest.mark.parametrize(("height", "width"), [(63, 64), (64, 63), (1, 200), (0, 64)])
def test_too_small_for_five_levels(height, width):
    assert SMALLEST_SIDE == 64
    with pytest.raises(AssertionError, match=f"64 pixels or more, got {height} x {width}"):
        laplacian_pyramid(torch.zeros(1, 1, height, width))


def test_wrong_shapes_are_named():
    pred_fgr, pred_pha, true_fgr, true_pha = inputs()
    with pytest.raises(AssertionError, match="pred_pha and true_pha"):
        matting_loss(pred_fgr, pred_pha, true_fgr, true_pha[:, :2])
    with pytest.raises(AssertionError, match="pred_pha and true_pha"):
        matting_loss(pred_fgr[0], pred_pha[0], true_fgr[0], true_pha[0])
    with pytest.raises(AssertionError, match="pred_fgr and true_fgr"):
        matting_loss(pred_fgr[:, :2], pred_pha, true_fgr[:, :2], true_pha)
    with pytest.raises(AssertionError, match="pred_seg and true_seg"):
        segmentation_loss(pred_pha, true_pha[..., 1:])
    with pytest.raises(AssertionError, match=r"\[N, 1, H, W\]"):
        laplacian_pyramid(torch.zeros(1, 3, 64, 64))
