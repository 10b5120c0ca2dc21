"""Where bilinear interpolation reads: the geometry of torch's `F.interpolate(mode="bilinear", align_corners=False)`,
for code that does it by itself. Output i lies at (i + 1/2) * step - 1/2 of the input, computed in float32 as there.
"""

import functools
from typing import NamedTuple

import numpy as np


class Taps(NamedTuple):
    """Along one axis, for every output position: value = x[low] + part * (x[high] - x[low]).

    low, high: uint32 [outputs]; part: float32 [outputs], 0..1. Read-only: they are shared.
    """

    low: np.ndarray
    high: np.ndarray
    part: np.ndarray


@functools.lru_cache(maxsize=32)
def reducing_taps(size: int, outputs: int, ratio: float) -> Taps:
    """Of a reduction by scale factor: the step is exactly 1/ratio, also where size * ratio is no integer."""
    return _taps(size, outputs, np.float32(1 / ratio))


@functools.lru_cache(maxsize=32)
def enlarging_taps(size: int, outputs: int) -> Taps:
    """Of an interpolation to a size: the step is size / outputs."""
    return _taps(size, outputs, np.float32(size) / np.float32(outputs))


def _taps(size: int, outputs: int, step: np.float32) -> Taps:
    # Rounded once, as by a multiply-add instruction.
    place = np.maximum((np.arange(outputs) + 0.5) * np.float64(step) - 0.5, 0).astype(np.float32)
    low = np.minimum(place.astype(np.uint32), size - 1).astype(np.uint32)
    high = np.minimum(low + 1, size - 1).astype(np.uint32)
    part = np.clip(place - low.astype(np.float32), 0, 1).astype(np.float32)
    for array in (low, high, part):
        array.flags.writeable = False
    return Taps(low, high, part)
