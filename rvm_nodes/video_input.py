"""ComfyUI's VIDEO as a file that can be streamed. Its class differs between versions, so only its methods are checked:
get_stream_source (0.3.44), get_active_trim_window, has_pending_frame_edits and get_bit_depth (newer).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core import StudioError
from . import comfy_host

if TYPE_CHECKING:
    from ..core import ClipInfo


class ClipFile(NamedTuple):
    """A file and the part of it to use: from `start`, for `duration` seconds (None: to the end)."""

    path: Path
    start: float
    duration: float | None
    info: "ClipInfo"  # of the part


@contextmanager
def clip_file(video: Any, whole: bool = False) -> Iterator[ClipFile]:
    """The file of a VIDEO, without loading it. If there is none (frames or bytes in memory, edits that ComfyUI has not
    applied yet), one is written to the temp folder and deleted at the end.

    whole: write a trimmed clip to a file of its own, too, for callers that cannot use `start` and `duration`. Raises
    StudioError."""
    if not hasattr(video, "get_components"):
        raise StudioError(
            f"The video input is {type(video).__name__}, not a VIDEO. Connect Load Video or Create Video. For frames "
            "(IMAGE) use RVM Matte."
        )
    from ..core import open_reader

    made = None
    try:
        if type(video).__name__ == "VideoFromComponents":
            made = _write_components(video)
            source, window = made, (0.0, 0.0)
        elif not hasattr(video, "get_stream_source") or _has_edits(video) or (whole and any(_window(video))):
            made = comfy_host.temporary_file(".mp4")
            video.save_to(str(made))
            source, window = made, (0.0, 0.0)
        else:
            source, window = video.get_stream_source(), _window(video)
            if not isinstance(source, (str, Path)):
                made = comfy_host.temporary_file(".clip")
                made.write_bytes(source.getbuffer())
                source = made
        path, start, duration = Path(source), window[0], window[1] or None
        with open_reader(path, start=start, duration=duration) as reader:
            info = reader.info
        yield ClipFile(path, start, duration, info)
    finally:
        if made:
            made.unlink(missing_ok=True)


def _has_edits(video: Any) -> bool:
    return getattr(video, "has_pending_frame_edits", lambda: False)()


def _window(video: Any) -> tuple[float, float]:
    """(start, duration) in seconds; a duration of 0 means to the end."""
    return getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()


def _write_components(video: Any) -> Path:
    """Writes frames and sound in memory (Create Video) to a lossless file, because clips are always streamed."""
    from ..core import write_frames

    parts = video.get_components()  # references, no copies
    depth = video.get_bit_depth() if hasattr(video, "get_bit_depth") else 8
    path, _ = write_frames(
        comfy_host.temporary_file(".mkv"),
        parts.images[..., :3],
        frame_rate=Fraction(parts.frame_rate),
        bit_depth=depth,
        audio=audio_track(parts.audio),
        stopped=comfy_host.is_cancelled,
    )
    return path


def audio_track(audio: Any) -> tuple[Any, int] | None:
    """ComfyUI's AUDIO -> (waveform [channels, samples], sample rate in Hz), or None if there is no sound."""
    if audio is None:
        return None
    try:
        waveform, rate = audio["waveform"], int(audio["sample_rate"])
        return (waveform[0], rate) if waveform.shape[-1] else None
    except (TypeError, ValueError, OverflowError, LookupError, AttributeError) as error:
        raise StudioError("The audio input is not an AUDIO. Connect Load Audio or Get Video Components.") from error
