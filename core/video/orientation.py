"""The rotation and flip that make a stored picture upright: display matrices of videos, EXIF of stills."""

import math
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

EXIF_ORIENTATION = 0x0112
# Decoders that name their side data (the colour profile). PyAV 14.2 to 19 frees that name twice, with the side data and
# with the frame, which crashes the process.
_NAMES_SIDE_DATA = {"png", "apng"}


class Orientation(NamedTuple):
    """Makes a stored picture upright: flip left and right if `mirrored`, then rotate clockwise by `rotation`
    degrees.
    """

    rotation: int  # 0, 90, 180 or 270
    mirrored: bool


# value of the EXIF tag Orientation -> the correction
EXIF_TURNS = {
    1: Orientation(0, False),
    2: Orientation(0, True),
    3: Orientation(180, False),
    4: Orientation(180, True),
    5: Orientation(270, True),
    6: Orientation(90, False),
    7: Orientation(90, True),
    8: Orientation(270, False),
}


def upright(frame: av.VideoFrame, orientation: Orientation, aspect: Fraction | None) -> tuple[int, int, Fraction]:
    """-> (height, width, sample aspect ratio) of the upright frame; a missing ratio counts as 1."""
    aspect = Fraction(aspect) if aspect else Fraction(1)
    if orientation.rotation in (90, 270):
        return frame.width, frame.height, 1 / aspect
    return frame.height, frame.width, aspect


def display_orientation(frame: av.VideoFrame, codec: str) -> Orientation:
    """The orientation in a frame's display matrix, as in .mov and .mkv, rounded to the nearest quarter turn.

    Args:
        frame: A decoded frame.
        codec: Name of its decoder. A flip cannot be read from `png` and `apng`, where PyAV would crash.

    Returns:
        The rotation (clockwise; 0, 90, 180 or 270 degrees) and whether to flip left and right before it.

    Example:
        >>> import av
        >>> from rvm_studio import core
        >>> with av.open("clip.mp4") as container:
        ...     frame = next(container.decode(video=0))
        ...     orientation = core.display_orientation(frame, container.streams.video[0].codec_context.name)
        >>> (orientation.rotation, orientation.mirrored)
        (0, False)
    """
    if codec in _NAMES_SIDE_DATA:
        return _turn(frame)
    try:
        # Not frame.side_data, which makes a reference cycle: its megabytes would wait for the garbage collector.
        data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except ValueError:  # PyAV does not know some side data types (EXIF), and then returns none at all
        return _turn(frame)
    return Orientation(0, False) if data is None else _matrix_orientation(np.frombuffer(bytes(data), np.int32))


def _turn(frame: av.VideoFrame) -> Orientation:
    """The rotation alone, without reading side data, which a flip needs."""
    return Orientation(-round(frame.rotation / 90) * 90 % 360, False)


def _matrix_orientation(matrix: np.ndarray) -> Orientation:
    # row vectors: (x, y) of the stored picture -> (ax + cy, bx + dy) of the upright one, y downwards
    a, b, _, c, d = matrix[:5].tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored)


def turned(image: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A stored picture [H, W, C] -> the upright one, contiguous."""
    if orientation.mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -orientation.rotation // 90))
