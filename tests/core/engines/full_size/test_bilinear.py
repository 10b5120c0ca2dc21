"""Where bilinear interpolation reads: against its formula in float64, and against torch's."""

import numpy as np
import pytest
import torch
from rvm_studio.core.engines.full_size.bilinear import enlarging_taps, reducing_taps
from rvm_studio.core.network import small_size
from torch.nn import functional as F

REDUCTIONS = [(64, 0.5), (233, 0.375), (101, 0.4), (47, 0.9), (7, 0.3), (16, 0.07), (1, 1.0), (20, 1.0), (1920, 1 / 3)]
ENLARGEMENTS = [(32, 64), (87, 233), (40, 101), (42, 47), (1, 16), (2, 7), (1, 1), (20, 20), (640, 1920), (75, 301)]


def all_taps():
    for size, ratio in REDUCTIONS:
        yield size, 1 / ratio, reducing_taps(size, small_size(size, 1, ratio)[0], ratio)
    for size, outputs in ENLARGEMENTS:
        yield size, size / outputs, enlarging_taps(size, outputs)


def at_taps(x, taps) -> np.ndarray:
    """x [..., size] float64 -> [..., outputs]."""
    return x[..., taps.low] + taps.part.astype(np.float64) * (x[..., taps.high] - x[..., taps.low])


def rounding(size) -> float:
    """How far float32 places may be apart: a few of its steps at the end of the axis."""
    return 4 * float(np.spacing(np.float32(size)))


@pytest.mark.parametrize(("size", "step", "taps"), list(all_taps()))
def test_a_ramp_shows_the_places(size, step, taps):
    """Of x[k] = k, interpolation gives the place itself: (i + 1/2) * step - 1/2, held at both ends."""
    places = np.clip((np.arange(len(taps.low)) + 0.5) * step - 0.5, 0, size - 1)
    assert np.abs(at_taps(np.arange(size, dtype=np.float64), taps) - places).max() <= rounding(size)


@pytest.mark.parametrize(("size", "step", "taps"), list(all_taps()))
def test_neighbours_in_the_picture(size, step, taps):
    low, high = (x.astype(np.int64) for x in taps[:2])
    assert low.min() >= 0
    assert high.max() <= size - 1
    assert np.array_equal(high, np.minimum(low + 1, size - 1))
    assert taps.part.min() >= 0
    assert taps.part.max() <= 1
    assert (np.diff(low) >= 0).all()
    assert [x.dtype for x in taps] == [np.uint32, np.uint32, np.float32]


@pytest.mark.parametrize(("size", "ratio"), REDUCTIONS)
def test_reducing_reads_where_torch_does(size, ratio):
    """Impulses: one row for each place of the axis, which shows what it contributes to every output."""
    impulses = torch.eye(size)
    expected = F.interpolate(impulses[None], scale_factor=ratio, mode="linear", recompute_scale_factor=False)[0]
    taps = reducing_taps(size, expected.shape[1], ratio)
    assert expected.shape[1] == small_size(size, 1, ratio)[0]
    assert np.abs(at_taps(np.eye(size), taps) - expected.numpy()).max() <= rounding(size)


@pytest.mark.parametrize(("size", "outputs"), ENLARGEMENTS)
def test_enlarging_reads_where_torch_does(size, outputs):
    expected = F.interpolate(torch.eye(size)[None, None], (size, outputs), mode="bilinear", align_corners=False)[0, 0]
    taps = enlarging_taps(size, outputs)
    assert np.abs(at_taps(np.eye(size), taps) - expected.numpy()).max() <= rounding(size)


def test_the_step_of_a_reduction_is_that_of_its_ratio():
    """233 * 0.375 = 87.375: the step is 8/3, where 233 / 87 would be off by a whole pixel at the end."""
    taps = reducing_taps(233, 87, 0.375)
    last = taps.low[-1] + np.float64(taps.part[-1])
    assert abs(last - (86.5 * 8 / 3 - 0.5)) < 1e-4
    assert abs(last - (86.5 * 233 / 87 - 0.5)) > 0.9


@pytest.mark.parametrize("size", [1, 2, 33])
def test_the_same_size_reads_every_pixel_as_it_is(size):
    for taps in (reducing_taps(size, size, 1.0), enlarging_taps(size, size)):
        assert taps.low.tolist() == list(range(size))
        assert not taps.part.any()


def test_shared_taps_cannot_be_written():
    assert enlarging_taps(5, 9) is enlarging_taps(5, 9)
    for array in (*enlarging_taps(5, 9), *reducing_taps(9, 4, 0.5)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
