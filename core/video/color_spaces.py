"""RGB colour spaces as numbers: the curves and primaries of ITU-T H.273, and the way from one space to another."""

# H, W height and width

from collections.abc import Callable

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]
"""Samples -> samples, float, of any shape."""

D65 = (0.3127, 0.3290)
REFERENCE_WHITE = 203.0  # nits of a PQ signal that are 1.0 in linear light (ITU-R BT.2408)
_HLG_WHITE = 0.26496  # linear light of HLG's 75 % signal, the same white
_ROWS = 256  # converted at once: no float copy of the whole picture

# H.273 code -> the chromaticities of red, green, blue and white
PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
}
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65)
ADOBE_GAMMA = 563 / 256
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _xyz(place: tuple[float, float]) -> np.ndarray:
    x, y = place
    return np.array([x / y, 1, (1 - x - y) / y])


def to_xyz(space: tuple[tuple[float, float], ...]) -> np.ndarray:
    """[3, 3]: linear RGB -> XYZ; white has Y = 1."""
    columns = np.stack([_xyz(place) for place in space[:3]], axis=1)
    return columns * np.linalg.solve(columns, _xyz(space[3]))


def adaptation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3]: XYZ seen under the white `source` -> the same under `target` (Bradford)."""
    gain = (_BRADFORD @ target) / (_BRADFORD @ source)
    return np.linalg.inv(_BRADFORD) @ (gain[:, None] * _BRADFORD)


def to_bt709(space: tuple[tuple[float, float], ...]) -> np.ndarray:
    """[3, 3]: linear RGB of `space` -> linear RGB with BT.709's primaries and white."""
    bt709 = PRIMARIES[1]
    adapted = adaptation(_xyz(space[3]), _xyz(bt709[3])) @ to_xyz(space)
    return np.linalg.inv(to_xyz(bt709)) @ adapted


def srgb_to_linear(signal: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1; continued beyond 0 and 1."""
    size = np.abs(signal)
    return np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), signal)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_to_linear`."""
    size = np.abs(light)
    return np.copysign(np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055), light)


def _bt709_to_linear(signal: np.ndarray) -> np.ndarray:
    return np.where(signal < 0.081, signal / 4.5, ((np.maximum(signal, 0) + 0.099) / 1.099) ** (1 / 0.45))


def _smpte240_to_linear(signal: np.ndarray) -> np.ndarray:
    return np.where(signal < 0.0913, signal / 4, ((np.maximum(signal, 0) + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq_to_linear(signal: np.ndarray) -> np.ndarray:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
    root = np.maximum(signal, 0) ** (1 / m2)
    return (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * (10000 / REFERENCE_WHITE)


def _hlg_to_linear(signal: np.ndarray) -> np.ndarray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100
    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light / _HLG_WHITE


# H.273 transfer code -> its curve from signal to linear light; 1.0 is diffuse white
_TO_LINEAR: dict[int, Curve] = {
    1: _bt709_to_linear,
    4: lambda signal: np.maximum(signal, 0) ** 2.2,
    5: lambda signal: np.maximum(signal, 0) ** 2.8,
    6: _bt709_to_linear,
    7: _smpte240_to_linear,
    8: lambda signal: signal,
    13: srgb_to_linear,
    14: _bt709_to_linear,
    15: _bt709_to_linear,
    16: _pq_to_linear,
    18: _hlg_to_linear,
}


def to_linear(transfer: int) -> Curve | None:
    """The curve from signal to linear light of an H.273 transfer code; 1.0 is diffuse white (PQ: 203 nits, HLG: 75 %).
    None for the codes that are no use for pictures.
    """
    return _TO_LINEAR.get(transfer)


def convert_to_srgb(image: np.ndarray, curves: list[np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """Converts pixels to sRGB by tables and a matrix, in strips.

    image: [H, W, 3] uint8 or uint16. curves: for each channel (or one for all) a table of its linear light at each
    sample value, 256 or 65536 long. matrix: [3, 3], linear RGB of the picture -> linear BT.709. Colours outside sRGB
    are clipped. -> a new array of the same type.
    """
    white = np.iinfo(image.dtype).max
    result = np.empty_like(image)
    tables = [curve.astype(np.float32) for curve in (curves if len(curves) == 3 else curves * 3)]
    weights = matrix.astype(np.float32).T
    for top in range(0, len(image), _ROWS):
        strip = image[top : top + _ROWS]
        light = np.stack([table[strip[..., channel]] for channel, table in enumerate(tables)], axis=-1) @ weights
        signal = linear_to_srgb(np.clip(light, 0, 1))
        result[top : top + _ROWS] = np.rint(signal * white).astype(image.dtype)
    return result
