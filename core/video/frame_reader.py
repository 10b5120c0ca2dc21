"""The interface of all frame readers: a clip's properties, its frames in order, and the damage found."""

# H, W height and width of the upright frame

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..errors import StudioError, boundary
from .color import ToRGB
from .picture_spec import PictureSpec

NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, kw_only=True)
class ClipInfo(PictureSpec):
    """What is known about a clip before its frames are read: what they have in common (see PictureSpec), and more.

    Attributes:
        path: The file, or the folder or pattern of an image sequence.
        kind: "video", "animation" (GIF, PNG, WebP, AVIF), "sequence" or "still".
        frame_count: Exact for sequences and stills, an estimate for videos, None if unknown.
        begins: The clip's time at pts 0, in seconds: 0 unless the clip is trimmed.
        ends: The requested end of a trimmed clip as the clip's time, in seconds.

    Example:
        >>> import rvm_studio
        >>> with rvm_studio.open_reader("clip.mp4") as reader:
        ...     info = reader.info
        >>> (info.height, info.width, info.kind, info.bit_depth)
        (48, 64, 'video', 8)
    """

    path: Path
    kind: str
    frame_count: int | None
    begins: Fraction = Fraction(0)
    ends: Fraction | None = None


@dataclass
class SourceFrame:
    """One frame of a clip.

    Example:
        >>> import rvm_studio
        >>> with rvm_studio.open_reader("clip.mp4") as reader:
        ...     numbers = [frame.number for frame in reader]
        >>> numbers[:3]
        [0, 1, 2]
    """

    image: np.ndarray  # [H, W, 3] uint8, or uint16 with white 65535 if ClipInfo.bit_depth > 8; full-range RGB
    pts: int  # in ClipInfo.time_base, strictly increasing
    number: int  # 0, 1, 2 ... in videos; the number in the file name in numbered sequences


class FrameReader:
    """Yields a clip's frames once. Made by `open_reader`; a context manager that closes the file.

    Attributes:
        info: The clip's properties (`ClipInfo`).
        damage: One line for each corrupt place found so far; reading continues after it.
        notes: One line for everything found so far that the frames do not show as it is in the file.
        skip: Number of leading frames that are yielded with an empty image [0, 0, 3], several times faster than with
            their pixels. Set it before iterating.

    Example:
        >>> import rvm_studio
        >>> with rvm_studio.open_reader("clip.mp4") as reader:
        ...     reader.skip = 10
        ...     heights = [len(frame.image) for frame in reader]
        >>> heights[9:]
        [0, 48, 48]
    """

    info: ClipInfo

    def __init__(self) -> None:
        self.damage: list[str] = []
        self.notes: list[str] = []
        self.skip = 0
        self._to_rgb = ToRGB()
        self._frames: Iterator[SourceFrame] | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        assert self._frames is not None, "a FrameReader is iterated once, and not after close()"
        frames, self._frames = self._frames, None
        return self._guarded(frames)

    def _guarded(self, frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
        with boundary(*unreadable(self.info.path)):
            yield from frames

    def _note(self, *notes: str) -> None:
        """Adds notes, each once."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]

    def close(self) -> None:
        """Closes the file, whether or not all frames were read. May be called more than once."""
        self._frames = None

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def unreadable(path: Path) -> tuple[str, str]:
    """What the boundary around reading says."""
    return f"{path} cannot be read", "check whether the file is complete and opens elsewhere"


class Span:
    """The requested part of a clip, in seconds and (`ticks`) in units of its time base."""

    def __init__(self, start: Fraction | float, duration: Fraction | float | None) -> None:
        if not 0 <= start < math.inf or (duration is not None and not 0 < duration < math.inf):
            raise StudioError(
                f"Cannot trim the clip to {duration} s from {start} s on: expected a start of at least 0 and a "
                "duration above 0, or none."
            )
        self.start = start
        self.end = None if duration is None else start + duration
        self.is_whole = start == 0 and duration is None

    def ticks(self, time_base: Fraction) -> tuple[int | None, int | None]:
        """The first tick of the span and the first one after it; None where the span is open."""
        # plus a millionth: as a float, 0.3 s is slightly less than three ticks of 0.1 s
        first, end = (None if x is None else math.floor(x / time_base + 1e-6) for x in (self.start, self.end))
        return (None if self.is_whole else first), end

    def __str__(self) -> str:
        until = "its end" if self.end is None else f"{float(self.end):g} s"
        return f"between {float(self.start):g} s and {until}"


def bit_depth_of(frame: av.VideoFrame, path: Path) -> int:
    depth = max(component.bits for component in frame.format.components)
    if depth > 16:
        raise StudioError(
            f"{path} has floating-point samples ({frame.format.name}). Expected 8 to 16 bits per channel: convert it "
            "first."
        )
    return max(8, depth)
