"""Opens files with libav: the container, its video stream, its metadata and fractions, and whether it can be seeked.

Every file that is read is opened here. Only this module depends on the PyAV version.
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


# Bytes that are not UTF-8 become surrogates. PyAV 19 always does that, and has no argument for it.
_TEXTS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_to_read(
    path: Path, options: dict[str, str] | None = None, hwaccel: HWAccel | None = None
) -> av.container.InputContainer:
    """Opens any file for reading.

    Args:
        path: The file.
        options: Options of libav's demuxer.
        hwaccel: The device that decodes; None: software.

    Returns:
        The open container, to be closed by the caller.

    Raises:
        FFmpegError: libav cannot open the file.
        OSError: The file cannot be read.

    Example:
        >>> from rvm_studio import core
        >>> from pathlib import Path
        >>> with core.open_to_read(Path("clip.mp4")) as container:
        ...     stream = container.streams.video[0]
    """
    silence_libav()  # again: a host program may have imported torchvision since
    # an absolute path: in a relative one libav would parse text before a colon as a protocol
    return av.open(str(path.absolute()), "r", options=options, hwaccel=hwaccel, **_TEXTS)


def texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """A file's metadata (title and so on) as valid text. What is not UTF-8 is decoded as Windows-1252, because libav
    does not report the encoding.
    """
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
    """A rate, time base or aspect ratio of libav as a Fraction.

    Args:
        value: What PyAV returns: a Fraction, its own AVRational, or None.

    Returns:
        The fraction, or None where it is not set. PyAV before 19 reports that as None or 0, later versions as a falsy
        AVRational.

    Example:
        >>> import av
        >>> from rvm_studio import core
        >>> with av.open("clip.mp4") as container:
        ...     core.known(container.streams.video[0].average_rate)
        Fraction(25, 1)
    """
    return Fraction(value.numerator, value.denominator) if value else None


def open_container(path: Path) -> av.container.InputContainer:
    """The open container. Raises StudioError if the file is not a video."""
    try:
        container = open_to_read(path)
    except av.error.FFmpegError as error:
        size = path.stat().st_size
        raise StudioError(
            f"{path} cannot be opened as a video ({error.strerror}; {size} bytes). Expected a complete video file such "
            "as .mp4, .mov, .mkv or .webm: check whether it plays elsewhere."
        ) from error
    if container.format.name == "tty":  # libav's name for text, which it would render as pictures
        container.close()
        raise StudioError(f"{path} is a text file. Expected a video, a picture or a folder of pictures.")
    return container


def is_indexed(container: av.container.InputContainer) -> bool:
    """Whether a seek cannot miss packets of the requested time."""
    return not _INDEXED.isdisjoint(container.format.name.split(","))


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream that is not cover art. Raises StudioError if there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # cover art of an audio file
            return stream
    kinds = {"cover art" if stream.type == "video" else stream.type for stream in container.streams} or {"nothing"}
    raise StudioError(f"{path} contains no video, only {', '.join(sorted(kinds))}. Expected a file with a video track.")
