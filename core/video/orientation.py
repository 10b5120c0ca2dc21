"""How a stored picture is turned and flipped to stand upright: display matrices of videos, EXIF of stills."""

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from PIL import Image

_EXIF_ORIENTATION = 0x0112
# Decoders that give side data (the colour profile) a name. PyAV 14.2 to 19 frees that name with the side data, and then
# again with the frame: the process crashes.
_NAMES_SIDE_DATA = {"png", "apng"}


class Orientation(NamedTuple):
    """Makes a stored picture upright: flip left and right if `mirrored`, then turn clockwise by `rotation` degrees."""

    rotation: int  # 0, 90, 180 or 270
    mirrored: bool


# value of the EXIF tag Orientation -> what to do
_EXIF_TURNS = {
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
    """-> (width, height, sample aspect ratio) of the frame made upright; no ratio counts as 1."""
    aspect = Fraction(aspect) if aspect else Fraction(1)
    if orientation.rotation in (90, 270):
        return frame.height, frame.width, 1 / aspect
    return frame.width, frame.height, aspect


def display_orientation(frame: av.VideoFrame, codec: str) -> Orientation:
    """From the display matrix that mov, mkv and others carry, to the nearest quarter turn.

    codec: name of the decoder. Of those in _NAMES_SIDE_DATA a flip is not seen."""
    if codec in _NAMES_SIDE_DATA:
        return _turn(frame)
    try:
        # Not frame.side_data: the frame would keep what refers to it, and megabytes wait for Python's collector.
        data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except ValueError:  # PyAV does not know the type of some side data (EXIF), and then shows none
        return _turn(frame)
    return Orientation(0, False) if data is None else _matrix_orientation(np.frombuffer(bytes(data), np.int32))


def _turn(frame: av.VideoFrame) -> Orientation:
    """Without side data, which would tell a flip, too."""
    return Orientation(-round(frame.rotation / 90) * 90 % 360, False)


def _matrix_orientation(matrix: np.ndarray) -> Orientation:
    # row vectors: (x, y) of the stored picture -> (ax + cy, bx + dy) of the upright one, y downwards
    a, b, _, c, d = matrix[:5].tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored)


def picture_orientation(path: Path, frame: av.VideoFrame, codec: str) -> Orientation:
    """From EXIF, which libav does not read from all formats, else from the frame."""
    try:
        with Image.open(path) as image:
            value = image.getexif().get(_EXIF_ORIENTATION)
    except (OSError, SyntaxError, ValueError):  # a format or a fault that Pillow does not know, and libav does
        value = None
    return _EXIF_TURNS[value] if value in _EXIF_TURNS else display_orientation(frame, codec)
