"""Opening files in libav's terms: the container, its video stream, whether it can be searched, its texts and fractions.

Every file that is read is opened here, and here alone it matters which PyAV is installed.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import av.container
import av.error
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from ..errors import StudioError
from ..machine.libav_log import silence_libav

_INDEXED = {"mov", "mp4", "matroska", "webm"}  # containers that know where their key frames are


# Bytes of a text that are no UTF-8 become surrogates. PyAV 19 does nothing else, and has no argument for it.
_TEXTS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_to_read(
    path: Path, options: dict[str, str] | None = None, hwaccel: HWAccel | None = None
) -> av.container.InputContainer:
    """Opens any file for reading. Raises FFmpegError or OSError. options: of libav's demuxer."""
    silence_libav()  # again: a host program may have imported torchvision since
    # an absolute name: libav takes what stands before a colon for a protocol
    return av.open(str(path.absolute()), "r", options=options, hwaccel=hwaccel, **_TEXTS)


def texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """A file's titles and the like, all of them proper text. What is no UTF-8 is taken for Latin-1 as Windows has it:
    libav does not tell the encoding."""
    return {_text(key): _text(value) for key, value in metadata.items()}


def _text(raw: str) -> str:
    data = raw.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


class _Ratio(Protocol):
    """A Fraction, or PyAV's own AVRational."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


def known(value: _Ratio | None) -> Fraction | None:
    """A rate, time base or aspect ratio of libav as a Fraction; None where it is not set, which PyAV before 19 gives as
    None or 0, and later ones as a number of their own that counts as false."""
    return Fraction(value.numerator, value.denominator) if value else None


def open_container(path: Path) -> av.container.InputContainer:
    """Raises StudioError for what is no video."""
    try:
        container = open_to_read(path)
    except av.error.FFmpegError as error:
        size = path.stat().st_size
        raise StudioError(
            f"{path} cannot be opened as a video ({error.strerror}; {size} bytes). Expected a complete video file such "
            "as .mp4, .mov, .mkv or .webm: check whether it plays elsewhere."
        ) from error
    if container.format.name == "tty":  # libav's name for text, which it would draw as pictures
        container.close()
        raise StudioError(f"{path} is a text file. Expected a video, a picture or a folder of pictures.")
    return container


def is_indexed(container: av.container.InputContainer) -> bool:
    """Whether it can be searched without losing packets of the time that is asked for."""
    return not _INDEXED.isdisjoint(container.format.name.split(","))


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first that is no cover. Raises StudioError where there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # cover art of music
            return stream
    kinds = {"a cover" if stream.type == "video" else stream.type for stream in container.streams} or {"nothing"}
    raise StudioError(
        f"{path} has no video in it, only {', '.join(sorted(kinds))}. Expected a file with a video track."
    )
