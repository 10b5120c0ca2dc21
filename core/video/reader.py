"""Frames of a video, a picture sequence or a still: upright full-range RGB with the file's own timestamps.

libav decodes videos, Pillow most pictures; color.py converts the pixels. Interlaced frames and HDR signals (PQ, HLG)
are passed through unchanged, with their tags in `ClipInfo.tags`. Only the decoder's own few frames are held in memory.
"""

import os
from fractions import Fraction
from pathlib import Path

from ..errors import StudioError, boundary
from ..machine.given_path import given_path
from .animation_reader import AnimationReader
from .animation_times import picture_kind
from .constant_rate import constant_rate
from .container import open_container, video_stream
from .deinterlacing import check_mode
from .frame_reader import ClipInfo, FrameReader, SourceFrame, Span, unreadable
from .hardware_decoding import HWACCELS
from .picture_reader import PictureReader
from .picture_sequence import Picture, find_pictures
from .reduced_size import checked_max_size
from .video_reader import VideoReader
from .video_track import DEFAULT_FRAME_RATE

__all__ = ["ClipInfo", "FrameReader", "SourceFrame", "check_source", "given_rate", "open_reader"]


def open_reader(
    path: str | os.PathLike[str],
    frame_rate: Fraction | float | None = None,
    *,
    start: Fraction | float = 0,
    duration: Fraction | float | None = None,
    hwaccel: str = "none",
    max_size: int | None = None,
    cfr: Fraction | float | None = None,
    deinterlace: str = "no",
) -> FrameReader:
    """Opens a video, a picture or an image sequence for reading. Decodes the first frame.

    The pts of a trimmed clip begin at 0. `start` and `start + duration` are rounded down to the clip's time base, as
    ComfyUI trims a video.

    Args:
        path: A video file, a still picture, a folder of pictures, a glob ("shots/*.png") or a pattern
            ("shot_%05d.png").
        frame_rate: Frames per second of a sequence or still (default 25). Ignored for videos, which have timestamps.
        start: Time of the first frame to read, in seconds from the clip's beginning, which the file's clock may put at
            any time; 0 is a sequence's first picture.
        duration: Length of the part to read, in seconds; None or 0: to the end.
        hwaccel: Decode on a device: "none", "auto", "cuda", "videotoolbox", "d3d11va" or "vaapi". Falls back to
            software.
        max_size: Reduce larger frames so that their longest side has this many pixels; None: as they are.
        cfr: Frames per second of a video, at equal distances: frames are repeated or left out. 29.97 is 30000/1001.
            None: the times of the file.
        deinterlace: "no"; "frame" or "field" for one whole frame from each interlaced frame or from each field.

    Returns:
        A reader, to be closed or used as a context manager.

    Raises:
        StudioError: The path cannot be read as any of these, or the requested part has no frames.

    Example:
        >>> import rvm_studio
        >>> with rvm_studio.open_reader("clip.mp4") as reader:
        ...     width, height = reader.info.width, reader.info.height
        ...     images = [frame.image for frame in reader]  # [H, W, 3] uint8, or uint16 above 8 bits
        >>> len(images), images[0].shape == (height, width, 3), images[0].dtype.name
        (12, True, 'uint8')
    """
    path = given_path(path)
    with boundary(*unreadable(path)):
        return _opened(path, frame_rate, Span(start, duration or None), hwaccel, max_size, cfr, deinterlace)


def _opened(
    path: Path,
    frame_rate: Fraction | float | None,
    span: Span,
    hwaccel: str,
    max_size: int | None,
    cfr: Fraction | float | None,
    deinterlace: str,
) -> FrameReader:
    rate = DEFAULT_FRAME_RATE if frame_rate is None else given_rate(frame_rate)
    if hwaccel not in HWACCELS:
        raise StudioError(f"Unknown decoder {hwaccel!r}. Use {', '.join(HWACCELS)}.")
    checked_max_size(max_size)
    constant = None if cfr is None else constant_rate(cfr)
    check_mode(deinterlace)
    pictures = find_pictures(path)
    if pictures is not None:
        return PictureReader(path, "sequence", pictures, rate, span, max_size)
    _refuse_missing(path)
    kind = picture_kind(path)
    if kind == "animation":
        return AnimationReader(path, span, max_size)
    if kind == "still":
        return PictureReader(path, "still", [Picture(path, 0)], rate, span, max_size)
    if deinterlace != "no":
        hwaccel = "none"  # a device's frames are in its own format
    return VideoReader(path, span, hwaccel, max_size, constant, deinterlace)


def check_source(path: str | os.PathLike[str]) -> None:
    """Checks within milliseconds whether a path can be opened, so that callers need not load a network first.

    Args:
        path: As for `open_reader`. Nothing is decoded.

    Raises:
        StudioError: The path does not exist or is not a clip, as from `open_reader`.

    Example:
        >>> from rvm_studio import core
        >>> core.check_source("clip.mp4")
    """
    path = given_path(path)
    with boundary(*unreadable(path)):
        if find_pictures(path) is None:
            _refuse_missing(path)
            if picture_kind(path) is None:
                with open_container(path) as container:
                    video_stream(container, path)


def given_rate(frame_rate: Fraction | float) -> Fraction:
    """A frame rate as its exact decimal value: 29.97 is 2997/100. Raises StudioError unless it is above 0."""
    try:
        rate = Fraction(str(frame_rate))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise StudioError(f"The frame rate is {frame_rate}. Expected a number above 0, such as 25 or 30000/1001.")
    return rate


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise StudioError(
            f"{path} does not exist. Expected a video, a picture or a folder of pictures: check the path."
        )
