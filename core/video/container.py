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

from ..errors import StudioError
from ..machine.libav_log import silence_libav
from .codec_names import codec_name, is_encrypted

# libav's dispositions
_DEFAULT, _ATTACHED_PICTURE, _TIMED_THUMBNAILS, _DEPENDENT, _STILL = 0x1, 0x400, 0x800, 0x80000, 0x100000
_PICTURE_CODECS = {"mjpeg", "png", "bmp", "gif"}
_NO_MOVIE = _ATTACHED_PICTURE | _TIMED_THUMBNAILS | _DEPENDENT | _STILL

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
    if _is_list(path):
        raise StudioError(f"{path} is a list of other files. Expected a video: give the files that it lists.")
    try:
        container = open_to_read(path)
    except av.error.FFmpegError as error:
        size = path.stat().st_size
        if not size:
            raise StudioError(f"{path} is empty (0 bytes). Expected a complete video file: copy it again.") from error
        raise StudioError(
            f"{path} cannot be opened as a video ({error.strerror}; {size} bytes). Expected a complete video file such "
            "as .mp4, .mov, .mkv or .webm: check whether it plays elsewhere."
        ) from error
    if container.format.name == "tty":  # libav's name for text, which it would render as pictures
        container.close()
        raise StudioError(f"{path} is a text file. Expected a video, a picture or a folder of pictures.")
    return container


def _is_list(path: Path) -> bool:
    """Whether libav would open other files that this one names: a sender of a file must not choose what is read."""
    if not path.is_file():  # a pipe must not lose its beginning
        return False
    with path.open("rb") as file:
        head = file.read(1024)
    return head.startswith((b"ffconcat", b"#EXTM3U")) or b"<MPD" in head


def is_indexed(container: av.container.InputContainer) -> bool:
    """Whether a seek cannot miss packets of the requested time."""
    return not _INDEXED.isdisjoint(container.format.name.split(","))


def picture_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream that a player would show: the default one, else the largest. Covers, thumbnails, stills and the parts
    of other streams never count. None if there is no such stream."""
    streams = [s for s in container.streams.video if not _flags(s) & _NO_MOVIE]
    movies = [s for s in streams if s.codec_context is None or s.codec_context.name not in _PICTURE_CODECS]
    largest = max(map(_area, movies), default=0)
    streams = [s for s in streams if s in movies or _area(s) >= largest]  # pictures beside a larger movie: its preview
    chosen = [s for s in streams if _flags(s) & _DEFAULT] or streams
    return max(chosen, key=_area, default=None)  # the first of the largest


def _flags(stream: av.VideoStream) -> int:
    return int(getattr(stream.disposition, "value", stream.disposition))  # an enum in older PyAV


def _area(stream: av.VideoStream) -> int:
    context = stream.codec_context
    return 0 if context is None else context.width * context.height


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The stream of the picture. Raises StudioError if there is none, or libav cannot decode it."""
    stream = picture_stream(container)
    if stream is None:
        kinds = {"cover art" if s.type == "video" else s.type for s in container.streams} or {"nothing"}
        raise StudioError(
            f"{path} contains no video, only {', '.join(sorted(kinds))}. Expected a file with a video track."
        )
    if is_encrypted(path, container.format.name, "video"):
        raise StudioError(f"The video of {path} is encrypted. Expected one without copy protection.")
    if stream.codec_context is None:
        name = codec_name(path, container.format.name, "video")
        raise StudioError(
            f"The video of {path} has the codec {name}, which this libav cannot decode. Expected one such as "
            "H.264, HEVC, VP9, AV1 or ProRes: convert it with the program that made it."
        )
    return stream
