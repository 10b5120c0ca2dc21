"""Reduces frames to a largest side before anything else sees them."""

# H, W height and width

from fractions import Fraction

import av
import numpy as np

from ..errors import StudioError
from .color import MATRIX_RGB, PRIMARIES_BT709, RANGE_FULL, TRANSFER_SRGB, ColorTags, ToRGB

SMALLEST = 16  # pixels of the longest side
_RGB = ColorTags(MATRIX_RGB, RANGE_FULL, PRIMARIES_BT709, TRANSFER_SRGB)  # only the first two matter here


def reduced_size(height: int, width: int, max_size: int | None) -> tuple[int, int]:
    """(height, width) with the longest side reduced to `max_size`, and the other one in proportion, rounded to an even
    number; the given size if it is not longer, or `max_size` is None.

    >>> reduced_size(2160, 3840, 1920)
    (1080, 1920)
    """
    longest = max(height, width)
    if max_size is None or longest <= max_size:
        return height, width
    shorter = max(2, 2 * round(Fraction(min(height, width) * max_size, 2 * longest)))
    return (shorter, max_size) if width == longest else (max_size, shorter)


def checked_max_size(max_size: int | None) -> int | None:
    """Raises StudioError for a longest side that is too small."""
    if max_size is not None and max_size < SMALLEST:
        raise StudioError(f"The largest size is {max_size}. Expected at least {SMALLEST} pixels for the longest side.")
    return max_size


def reduced_picture(image: np.ndarray, max_size: int | None, to_rgb: ToRGB) -> np.ndarray:
    """[H, W, 3], uint8 or uint16, reduced by libav's scaler like the frames of videos. to_rgb: keeps its filters for
    pictures of one size."""
    height, width = image.shape[:2]
    size = reduced_size(height, width, max_size)
    if size == (height, width):
        return image
    depth = 16 if image.dtype == np.uint16 else 8
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb48le" if depth > 8 else "rgb24")
    return to_rgb(frame, _RGB, bit_depth=depth, size=size)
