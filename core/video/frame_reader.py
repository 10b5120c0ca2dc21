"""What every reader of frames gives: the clip's facts, its frames in order, and what was damaged."""

# H, W height and width of the upright frame

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..errors import StudioError
from .color import ColorTags, ToRGB

NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class ClipInfo:
    """What is known before reading. For sequences and stills `frame_rate` is what was asked for."""

    path: Path
    kind: str  # "video", "sequence" or "still"
    width: int  # upright, that is after rotation
    height: int
    frame_rate: Fraction  # best guess, frames per second; frames may come at varying intervals all the same
    time_base: Fraction  # seconds per unit of SourceFrame.pts
    frame_count: int | None  # exact for sequences and stills, an estimate for videos, None if unknown
    bit_depth: int  # 8, or the source's real depth above 8 (10, 12, 16)
    tags: ColorTags
    sample_aspect_ratio: Fraction  # width of a pixel / its height, upright
    has_audio: bool
    begins: Fraction = Fraction(0)  # seconds on the file's own clock at pts 0: not 0 where the clip is trimmed
    ends: Fraction | None = None  # where on that clock a trimmed clip was asked to end


@dataclass
class SourceFrame:
    image: np.ndarray  # [H, W, 3] uint8, or uint16 with white 65535 if ClipInfo.bit_depth > 8; full-range RGB
    pts: int  # in ClipInfo.time_base, rising
    number: int  # 0, 1, 2 ... for videos; the file's own number for a numbered sequence


class FrameReader:
    """Iterate once over it for the frames, inside `with` or closed by hand. Made by `open_reader`.

    `info`: the ClipInfo. `damage`: one line per corrupt place met so far; reading went on after it. `skip`: so many
    frames come first with an image of no rows, for a caller who only wants to be past them: it is several times as
    fast. Set it before iterating.
    """

    info: ClipInfo

    def __init__(self) -> None:
        self.damage: list[str] = []
        self.skip = 0
        self._to_rgb = ToRGB()
        self._frames: Iterator[SourceFrame] | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        assert self._frames is not None, "a FrameReader is iterated once, and not after close()"
        frames, self._frames = self._frames, None
        return frames

    def close(self) -> None:
        """Frees the file, whether all frames were read or not; may be called again."""
        self._frames = None

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Span:
    """The part of a clip that is asked for, in seconds and (`ticks`) in units of its clock."""

    def __init__(self, start: Fraction | float, duration: Fraction | float | None) -> None:
        if not 0 <= start < math.inf or (duration is not None and not 0 < duration < math.inf):
            raise StudioError(
                f"The clip is to be trimmed to {duration} s from {start} s on: expected a start of at least 0 and a "
                "duration above 0, or none."
            )
        self.start = start
        self.end = None if duration is None else start + duration
        self.is_whole = start == 0 and duration is None

    def ticks(self, time_base: Fraction) -> tuple[int | None, int | None]:
        """First unit and the first one after the span; None where it is open."""
        # a millionth more: as a float 0.3 s is a little less than three units of 0.1 s
        first, end = (None if x is None else math.floor(x / time_base + 1e-6) for x in (self.start, self.end))
        return (None if self.is_whole else first), end

    def __str__(self) -> str:
        until = "its end" if self.end is None else f"{float(self.end):g} s"
        return f"between {float(self.start):g} s and {until}"


def bit_depth_of(frame: av.VideoFrame, path: Path) -> int:
    depth = max(component.bits for component in frame.format.components)
    if depth > 16:
        raise StudioError(
            f"{path} holds floating-point samples ({frame.format.name}). Expected 8 to 16 bits per channel: "
            "convert it first."
        )
    return max(8, depth)
