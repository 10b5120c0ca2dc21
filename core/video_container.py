"""Opening video files, in libav's terms: the container, its video stream, whether it can be searched."""

from pathlib import Path

import av
import av.container
import av.error
from av.stream import Disposition

from .errors import StudioError

_INDEXED = {"mov", "mp4", "matroska", "webm"}  # containers that know where their key frames are


def open_container(path: Path) -> av.container.InputContainer:
    """Raises StudioError for what is no video."""
    try:
        # an absolute name: libav takes what stands before a colon for a protocol; titles may be in any encoding
        container = av.open(str(path.absolute()), metadata_errors="replace")
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
