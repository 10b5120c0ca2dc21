"""Metrics against the golden values, against a second implementation in numpy and scipy, and their rules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rvm_studio.core.evaluation import metrics
from rvm_studio.core.evaluation.metrics import MetricAccumulator, largest_component, matting_metrics
from scipy import ndimage
from torch import Tensor

ALPHA_NAMES = ["mad", "mse", "grad", "conn", "dtssd"]


def clip(frames: int = 3, height: int = 21, width: int = 34, seed: int = 0) -> list[Tensor]:
    """Smooth random mattes with flat 0 and 255 areas, in 8 bits: pred_pha, true_pha, pred_fgr, true_fgr."""
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.standard_normal((frames, height, width)), (1, 2, 2))
    true = np.clip(noise / noise.std() + 0.5, 0, 1)
    pred = np.clip(true + ndimage.gaussian_filter(random.standard_normal(true.shape), (0, 1, 1)) * 0.5, 0, 1)
    fgr = random.random((2, frames, 3, height, width))
    return [torch.from_numpy((x * 255).round().astype(np.uint8)) for x in (pred, true, *fgr)]


def largest_component_scipy(mask: np.ndarray) -> np.ndarray:
    """scipy numbers components in reading order and argmax takes the first of equals."""
    labels, count = ndimage.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else np.zeros_like(mask)


def conn_scipy(pred: np.ndarray, true: np.ndarray) -> float:
    level = np.full(true.shape, -1.0)
    for i in range(1, 11):
        kept = largest_component_scipy((pred >= i / 10) & (true >= i / 10))
        level[(level < 0) & ~kept] = (i - 1) / 10
    level[level < 0] = 1
    phi = [1 - (x - level) * (x - level >= 0.15) for x in (pred, true)]
    return np.abs(phi[0] - phi[1]).sum() / 1000


def grad_scipy(pred: np.ndarray, true: np.ndarray, normalize: bool) -> float:
    at = np.arange(-4, 5)
    smooth = np.exp(-(at**2) / (2 * 1.4**2))
    kernel = np.outer(smooth, at * smooth)
    kernel /= np.linalg.norm(kernel)

    def magnitude(x: np.ndarray) -> np.ndarray:
        if normalize:
            x = (x - x.min()) / (np.ptp(x) or 1)
        return np.hypot(*(ndimage.correlate(x, k, mode="nearest") for k in (kernel, kernel.T)))

    return ((magnitude(pred) - magnitude(true)) ** 2).sum() / 1000


def expected(pred8: Tensor, true8: Tensor, pred_fgr8: Tensor, true_fgr8: Tensor, high: bool) -> dict[str, list[float]]:
    pred, true, pred_fgr, true_fgr = (x.numpy() / 255 for x in (pred8, true8, pred_fgr8, true_fgr8))
    frames = range(len(pred))
    seen = [np.broadcast_to(t > 0, f.shape) for t, f in zip(true, true_fgr, strict=True)]
    values = {
        "mad": [np.abs(pred[t] - true[t]).mean() * 1e3 for t in frames],
        "mse": [((pred[t] - true[t]) ** 2).mean() * 1e3 for t in frames],
        "grad": [grad_scipy(pred[t], true[t], not high) for t in frames],
        "conn": [conn_scipy(pred[t], true[t]) for t in frames],
        "dtssd": [
            np.sqrt((((pred[t] - pred[t - 1]) - (true[t] - true[t - 1])) ** 2).mean()) * 1e2 if t else 0 for t in frames
        ],
        "fgr_mad": [np.abs(pred_fgr[t] - true_fgr[t])[seen[t]].mean() * 1e3 for t in frames],
        "fgr_mse": [((pred_fgr[t] - true_fgr[t])[seen[t]] ** 2).mean() * 1e3 for t in frames],
    }
    if high:
        del values["conn"]
    return values


def assert_same(found: dict[str, Tensor], true: dict[str, Tensor], rtol: float) -> None:
    assert list(found) == list(true)
    for name in true:
        torch.testing.assert_close(found[name], true[name], rtol=rtol, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_golden(golden):
    """The official code computed in float32, which left up to 1.7e-7 in these figures."""
    tensors, _ = golden("i_metrics")
    fgr = [tensors[name].permute(0, 3, 1, 2) for name in ("pred_fgr", "true_fgr")]
    found = matting_metrics(tensors["pred_pha"], tensors["true_pha"], *fgr)
    assert list(found) == [*ALPHA_NAMES, "fgr_mad", "fgr_mse"]
    for name, value in found.items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, tensors[name], rtol=3e-7, atol=0)


@pytest.mark.parametrize("high_resolution", [False, True])
@pytest.mark.parametrize(("frames", "height", "width"), [(3, 21, 34), (1, 9, 9), (2, 1, 13), (2, 5, 1), (4, 64, 50)])
def test_second_implementation(frames, height, width, high_resolution):
    tensors = clip(frames, height, width, seed=height)
    found = matting_metrics(*tensors, high_resolution=high_resolution)
    true = {name: torch.tensor(v, dtype=torch.float64) for name, v in expected(*tensors, high=high_resolution).items()}
    assert_same(found, true, rtol=1e-12)


def test_normalisation_is_the_difference_between_the_flavours():
    _, true, _, _ = (x / 255 for x in clip())
    low, high = matting_metrics(true / 2, true), matting_metrics(true / 2, true, high_resolution=True)
    assert low["grad"].max() < 1e-12  # a faint alpha of the right shape, stretched to 0..1
    assert high["grad"].min() > 1e-3
    assert "conn" in low
    assert "conn" not in high


def test_inputs_of_every_kind_mean_the_same():
    tensors = clip()
    true = matting_metrics(*tensors)
    pred_pha, true_pha, pred_fgr, true_fgr = tensors
    assert_same(matting_metrics(pred_pha[:, None], true_pha[:, None], pred_fgr, true_fgr), true, rtol=0)
    assert_same(matting_metrics(*(x / 255 for x in tensors)), true, rtol=1e-6)  # float32
    assert_same(matting_metrics(*(x.double() / 255 for x in tensors)), true, rtol=0)
    assert_same(matting_metrics(pred_pha.double() / 255, true_pha, pred_fgr, true_fgr), true, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_8_bit_values_reach_every_threshold_they_equal(dtype):
    """0.2, 0.4 .. 1 are 8-bit values: a rounding error in a threshold or a division would move whole areas.

    A subject of that alpha with a separate smaller one: the small one lies loose above 0, the large one does not.
    """
    for level in (51, 102, 153, 204, 255):
        true = torch.zeros(1, 10, 20, dtype=torch.uint8)
        true[:, 1:9, 1:9] = level
        pred = true.clone()
        pred[:, 4:6, 14:16] = level
        alpha = level / 255
        loose = 4 * alpha / 1000 if alpha >= 0.15 else 0
        assert matting_metrics(pred, true)["conn"].item() == pytest.approx(loose, rel=1e-12)
        half = (pred.to(dtype) / 255, true.to(dtype) / 255)
        assert matting_metrics(*half)["conn"].item() == pytest.approx(loose, rel=1e-6)
        both = true.clone()
        both[:, 4:6, 14:16] = level  # loose in both: the same fault on both sides is no difference
        assert matting_metrics(both, both)["conn"].item() == 0


def test_perfect_prediction_scores_zero():
    _, true_pha, _, true_fgr = clip()
    for value in matting_metrics(true_pha, true_pha, true_fgr, true_fgr).values():
        assert value.tolist() == [0, 0, 0]


def test_flat_and_empty_frames_are_finite():
    """A frame without subject: no foreground pixel to average, nothing to stretch, no component."""
    zero = torch.zeros(2, 8, 9)
    fgr = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    values = matting_metrics(zero, zero, fgr, 1 - fgr)
    assert all(value.tolist() == [0, 0] for value in values.values())
    values = matting_metrics(zero + 1, zero, fgr, fgr)
    assert values["mad"].tolist() == values["mse"].tolist() == [1000, 1000]
    assert values["grad"].tolist() == [0, 0]
    assert values["conn"].tolist() == [0.072, 0.072]
    assert values["dtssd"].tolist() == [0, 0]


def test_dtssd_sees_flicker_not_a_constant_error():
    true = torch.zeros(4, 6, 6)
    assert matting_metrics(true + 0.5, true)["dtssd"].tolist() == [0, 0, 0, 0]
    flicker = true.clone()
    flicker[1] = 0.5
    assert matting_metrics(flicker, true)["dtssd"].tolist() == [0, 50, 50, 0]


@pytest.mark.parametrize("high_resolution", [False, True])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_change_nothing(chunk, high_resolution):
    tensors = clip(frames=7)
    whole = matting_metrics(*tensors, high_resolution=high_resolution)
    accumulator = MetricAccumulator(high_resolution)
    buffers = [torch.empty_like(x[:chunk]) for x in tensors]  # used again and again, as a reader does
    for start in range(0, 7, chunk):
        parts = [x[start : start + chunk] for x in tensors]
        for buffer, part in zip(buffers, parts, strict=True):
            buffer[: len(part)] = part
        accumulator.update(*(buffer[: len(part)] for buffer, part in zip(buffers, parts, strict=True)))
        for buffer in buffers:
            buffer.fill_(0)
    assert accumulator.frame_count == 7
    assert_same(accumulator.frames(), whole, rtol=1e-13)
    for name, value in accumulator.result().items():
        assert value == pytest.approx(whole[name].mean().item(), rel=1e-13)


def test_conn_in_parts_changes_nothing(monkeypatch):
    pred, true, _, _ = clip(frames=5)
    whole = matting_metrics(pred, true)["conn"]
    monkeypatch.setattr(metrics, "_CONN_PIXELS", 10 * 21 * 34 * 2)
    assert torch.equal(matting_metrics(pred, true)["conn"], whole)
    monkeypatch.setattr(metrics, "_CONN_PIXELS", 1)
    assert torch.equal(matting_metrics(pred, true)["conn"], whole)


def test_previous_frame_with_or_without_a_channel():
    pred, true, _, _ = clip(frames=3)
    whole = matting_metrics(pred, true)["dtssd"][1:]
    flat = matting_metrics(pred[1:], true[1:], previous=(pred[0], true[0]))["dtssd"]
    channel = matting_metrics(pred[1:, None], true[1:, None], previous=(pred[:1], true[:1]))["dtssd"]
    assert torch.equal(flat, whole)
    assert torch.equal(channel, whole)


# ---- connected components


def assert_like_scipy(masks: np.ndarray) -> None:
    found = largest_component(torch.from_numpy(masks))
    assert found.dtype == torch.bool
    for mask, kept in zip(masks, found.numpy(), strict=True):
        np.testing.assert_array_equal(kept, largest_component_scipy(mask))


def spiral(size: int) -> np.ndarray:
    """A one pixel wide path from the corner to the middle, one pixel apart from itself."""
    mask = np.zeros((size, size), bool)
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = True
    turns = 0
    while turns < 2:
        ahead, beyond = (y + dy, x + dx), (y + 2 * dy, x + 2 * dx)
        inside = 0 <= ahead[0] < size and 0 <= ahead[1] < size
        free = not (0 <= beyond[0] < size and 0 <= beyond[1] < size and mask[beyond])
        if inside and free:
            y, x = ahead
            mask[y, x] = True
            turns = 0
        else:
            dy, dx = dx, -dy
            turns += 1
    return mask


def comb(size: int) -> np.ndarray:
    """Teeth that meet in the last row only."""
    mask = np.zeros((size, size), bool)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


def snake(size: int) -> np.ndarray:
    """Rows joined by turns at alternating ends."""
    mask = np.zeros((size, size), bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    return mask


def test_spirals_combs_and_snakes():
    shapes = [spiral(61), comb(61), snake(61)]
    assert [ndimage.label(mask)[1] for mask in shapes] == [1, 1, 1]
    shapes += [mask[::-1] for mask in shapes] + [mask.T for mask in shapes] + [mask[:, ::-1] for mask in shapes]
    cut = [mask.copy() for mask in shapes]
    for mask in cut:
        mask[31, ::2] = False
    assert_like_scipy(np.stack(shapes + cut + [~mask for mask in shapes]))


@pytest.mark.parametrize("density", [0.3, 0.5, 0.59, 0.7, 0.95])
def test_random_masks(density):
    """0.593 is where clusters span the square lattice: the most ragged components there are."""
    assert_like_scipy(np.random.default_rng(int(density * 100)).random((20, 53, 47)) < density)


@settings(max_examples=200)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7), elements=st.booleans()))
def test_any_small_mask(masks):
    """Small masks are full of components of equal size: the one met first in reading order must win."""
    assert_like_scipy(masks)


def test_ties_diagonals_and_edges():
    tie = np.zeros((4, 7), bool)
    tie[3, 0:2] = True  # left and low
    tie[0, 5:7] = True  # right and high: met first
    diagonal = np.eye(4, 7, dtype=bool)  # touching corners are not connected
    u = np.zeros((4, 7), bool)  # two arms, met apart, joined below
    u[:, 0] = u[:, 4] = u[3, :5] = True
    wrap = np.zeros((4, 7), bool)  # the end of a row and the start of the next are no neighbours
    wrap[0, 6] = wrap[1, 0] = wrap[3, 6] = True
    masks = np.stack([tie, diagonal, u, wrap, np.zeros_like(tie), np.ones_like(tie)])
    assert_like_scipy(masks)
    kept = largest_component(torch.from_numpy(masks))
    assert kept[0].nonzero().tolist() == [[0, 5], [0, 6]]
    assert kept[1].nonzero().tolist() == [[0, 0]]
    assert torch.equal(kept[2], torch.from_numpy(u))
    assert kept[3].nonzero().tolist() == [[0, 6]]
    assert not kept[4].any()
    assert kept[5].all()


# ---- wrong use


def test_wrong_inputs_are_named():
    pred, true, pred_fgr, true_fgr = clip()
    for arguments, message in (
        ((pred, true[:2]), "pred_pha and true_pha differ in shape"),
        ((pred[..., 1:], true), "pred_pha and true_pha differ in shape"),
        ((pred[0], true[0]), r"pred_pha must be \[T, H, W\]"),
        ((pred_fgr, true), r"pred_pha must be \[T, H, W\] or \[T, 1, H, W\]"),
        ((pred.int(), true), "pred_pha must be uint8 0..255 or floating 0..1, got torch.int32"),
        ((pred > 9, true), "got torch.bool"),
        ((pred, true.float()), "true_pha must lie in 0..1"),
        ((pred / -255, true), "pred_pha must lie in 0..1"),
        ((torch.full_like(pred, torch.nan, dtype=torch.float32), true), "pred_pha must lie in 0..1"),
        ((pred[:0], true[:0]), "pred_pha is empty"),
        ((pred, true, pred_fgr), "pred_fgr and true_fgr, or neither"),
        ((pred, true, pred_fgr.permute(0, 2, 3, 1), true_fgr), r"pred_fgr must be \[T, 3, H, W\]"),
        ((pred, true, pred_fgr[:2], true_fgr), "pred_fgr and true_fgr differ in shape"),
        ((pred, true, pred_fgr[:2], true_fgr[:2]), "differ in frames or size"),
        ((pred, true, None, None, False, (pred[0, 1:], true[0])), "previous pred_pha and the frames after it"),
    ):
        with pytest.raises(AssertionError, match=message):
            matting_metrics(*arguments)


def test_accumulator_wrong_use():
    pred, true, pred_fgr, true_fgr = clip()
    accumulator = MetricAccumulator()
    with pytest.raises(AssertionError, match="no frame"):
        accumulator.result()
    accumulator.update(pred, true)
    with pytest.raises(AssertionError, match="only some chunks have foregrounds"):
        accumulator.update(pred, true, pred_fgr, true_fgr)
    with pytest.raises(AssertionError, match="previous pred_pha"):
        accumulator.update(pred[..., 1:], true[..., 1:])
    assert accumulator.frame_count == 3
    assert set(accumulator.result()) == set(ALPHA_NAMES)
