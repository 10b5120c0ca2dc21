"""Frames at equal distances from frames at any: each is repeated, or left out, so that the picture keeps its time."""

import math
from collections.abc import Iterator
from fractions import Fraction

import av

from ..errors import StudioError
from .frame_clock import KNOWN_RATES

_NEAR = Fraction(1, 200)  # 23.98 is 24000/1001, 29.97 is 30000/1001
_FASTEST = 1000


def constant_rate(rate: Fraction | float) -> Fraction:
    """A given frame rate as the exact one that it is short for: 29.97 is 30000/1001.

    Raises StudioError unless it is above 0 and at most 1000.
    """
    try:
        exact = Fraction(str(rate))
    except (ValueError, ZeroDivisionError):
        exact = Fraction(0)
    if not 0 < exact <= _FASTEST:
        raise StudioError(
            f"The constant frame rate is {rate}. Expected a number above 0 and up to {_FASTEST}, such as 25 or 29.97."
        )
    if exact.denominator == 1:
        return exact
    nearest = min(KNOWN_RATES, key=lambda known: abs(known - exact))
    return nearest if nearest.denominator == 1001 and abs(nearest - exact) < _NEAR else exact


class ConstantRate:
    """Puts frames at multiples of 1 / `rate` seconds. A frame goes to the nearest one, and is shown until the next.

    Attributes:
        repeated: The number of times that a frame was shown again.
        left_out: The number of frames that were not shown.
    """

    def __init__(self, rate: Fraction, time_base: Fraction, step: Fraction) -> None:
        """time_base: of the frames given. step: seconds for which the last one is shown."""
        self._rate, self._time_base, self._step = rate, time_base, step
        self.repeated = self.left_out = 0

    def frames(self, timed: Iterator[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(tick, frame) in units of the source's time base -> the same at 1 / rate; the same frame may come again."""
        shown: av.VideoFrame | None = None
        place, end = 0, Fraction(0)
        for tick, frame in timed:
            seconds = tick * self._time_base
            at = math.floor(seconds * self._rate + Fraction(1, 2))
            end = seconds + self._step
            if shown is None:
                place = at
            elif at <= place:
                self.left_out += 1
            else:
                yield from self._shown(shown, place, at)
                place = at
            shown = frame
        if shown is not None:
            yield from self._shown(shown, place, max(place + 1, math.floor(end * self._rate + Fraction(1, 2))))

    def _shown(self, frame: av.VideoFrame, place: int, until: int) -> Iterator[tuple[int, av.VideoFrame]]:
        self.repeated += until - place - 1
        for tick in range(place, until):
            yield tick, frame

    def note(self) -> str:
        """What was changed, for the report."""
        rate = f"{float(self._rate):.3f}".rstrip("0").rstrip(".")
        return f"a constant {rate} frames per second: {self.repeated} repeated, {self.left_out} left out"
