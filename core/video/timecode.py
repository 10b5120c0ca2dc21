"""Timecode: the recorder's count of frames at the beginning of a clip, with which editing programs find its source.

Formats: "01:00:00:00" and, where two (at 60: four) numbers are left out in nine minutes of ten so that the clock keeps
up with 30000/1001 frames a second, "01:00:00;00" (SMPTE ST 12-1, drop frame).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import av.container

from .container import texts

_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")
_DAY = 24 * 3600
# the rates at which timecode is counted; libav's MOV muxer refuses some others
_RATES = {
    *map(Fraction, (24, 25, 30, 48, 50, 60, 100, 120)),
    *(Fraction(n, 1001) for n in (24000, 30000, 60000, 120000)),
}


@dataclass(frozen=True)
class Timecode:
    """The timecode of a frame.

    Attributes:
        frames: Its number since midnight, as frames are counted.
        rate: Frames per second.
        drops: Whether numbers are left out (drop frame).
    """

    frames: int
    rate: Fraction
    drops: bool = False

    def shifted(self, frames: int) -> "Timecode":
        """That of the frame `frames` later; after midnight it begins again."""
        day = self._per_day()
        return Timecode((self.frames + frames) % day, self.rate, self.drops)

    def at_rate(self, rate: Fraction) -> "Timecode":
        """The same moment, counted in another number of frames per second."""
        if rate == self.rate:
            return self
        hours, minutes, seconds, frame = self._parts()
        nominal, other = round(self.rate), round(rate)
        drops = self.drops and _may_drop(rate)
        return _from_parts(hours, minutes, seconds, frame * other // nominal, rate, drops)

    def __str__(self) -> str:
        hours, minutes, seconds, frame = self._parts()
        digits = len(str(max(10, round(self.rate) - 1)))
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drops else ':'}{frame:0{digits}d}"

    def _per_day(self) -> int:
        nominal = round(self.rate)
        dropped = 24 * 6 * 9 * _dropped_a_minute(nominal) if self.drops else 0
        return _DAY * nominal - dropped

    def _parts(self) -> tuple[int, int, int, int]:
        nominal, number = round(self.rate), self.frames
        if self.drops:
            each = _dropped_a_minute(nominal)
            ten_minutes = 600 * nominal - 9 * each
            tens, rest = divmod(number, ten_minutes)
            number += 9 * each * tens
            if rest >= 60 * nominal:
                number += each * ((rest - 60 * nominal) // (60 * nominal - each) + 1)
        seconds, frame = divmod(number, nominal)
        return seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, frame


def parse_timecode(text: str, rate: Fraction) -> Timecode | None:
    """The timecode that a text such as "01:00:00:00" stands for; None if it is none at this rate."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds, frame = (int(found[group]) for group in (1, 2, 3, 5))
    nominal = round(rate)
    if nominal < 1 or frame >= nominal or minutes > 59 or seconds > 59 or hours > 23:
        return None
    return _from_parts(hours, minutes, seconds, frame, rate, found[4] != ":" and _may_drop(rate))


def _may_drop(rate: Fraction) -> bool:
    return rate.denominator == 1001 and rate.numerator % 30000 == 0


def _dropped_a_minute(nominal: int) -> int:
    return nominal // 15


def _from_parts(hours: int, minutes: int, seconds: int, frame: int, rate: Fraction, drops: bool) -> Timecode:
    nominal = round(rate)
    number = ((hours * 60 + minutes) * 60 + seconds) * nominal + frame
    if drops:
        each, whole = _dropped_a_minute(nominal), hours * 60 + minutes
        if seconds == 0 and minutes % 10 and frame < each:
            number += each - frame  # a number that is left out: the next one that is not
        number -= each * (whole - whole // 10)
    return Timecode(number, rate, drops)


def has_timecode_rate(rate: Fraction) -> bool:
    """Whether frames of this rate are counted by a timecode."""
    return rate in _RATES


def timecode_of(
    container: av.container.InputContainer, picture: av.VideoStream, rate: Fraction
) -> tuple[Timecode | None, str]:
    """(timecode of the picture's first frame, or None; the text that the file has).

    It is in the metadata of the picture, of a timecode track (MOV) or of the file (MXF, Matroska), in that order.
    """
    others = [stream for stream in container.streams if stream.type == "data"]
    for metadata in (picture.metadata, *(stream.metadata for stream in others), container.metadata):
        if text := _tag(texts(metadata)):
            return parse_timecode(text, rate), text
    return None, ""


def _tag(metadata: Mapping[str, str]) -> str:
    return next((value for key, value in metadata.items() if key.lower() == "timecode"), "")
