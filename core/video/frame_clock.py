"""Recognises a constant frame rate in rounded times, and gives the frames their exact times back.

Matroska, WebM and FLV store milliseconds, so 24000/1001 frames a second become intervals of 41 and 42 ms. The frames of
a constant rate are at most one rounding away from equal distances, over the whole clip; frames of a variable rate are
not, and keep the times that they have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

_NTSC = (12000, 15000, 24000, 30000, 48000, 60000, 120000, 240000)
_WHOLE = (5, 6, 8, 10, 12, 15, 16, 18, 20, 24, 25, 30, 36, 40, 45, 48, 50, 60, 72, 75, 90, 100, 120, 144, 240)
KNOWN_RATES = (*(Fraction(rate) for rate in _WHOLE), *(Fraction(rate, 1001) for rate in _NTSC))
_FINEST = Fraction(1, 10_000)  # seconds: smaller differences are no sign of a variable rate
_LARGEST_UNIT = 2**31 - 1  # ticks a second, which MOV can store
_LEAST_FRAMES = 3


@dataclass
class FrameClock:
    """The times of a clip's frames.

    Attributes:
        time_base: The unit of the times that `tick` returns, in seconds.
        rate: Frames per second.
        is_constant: Whether the frames are at equal distances, as far as they have been seen.
    """

    rate: Fraction
    time_base: Fraction
    _file_base: Fraction  # unit of the times given
    is_constant: bool = False
    _first: int = 0  # time of the frame that anchors the grid, in the file's unit
    _allowed: Fraction = Fraction(0)  # how far the times may spread around the grid, in seconds
    _low: Fraction = Fraction(0)
    _high: Fraction = Fraction(0)
    _last: int | None = None  # place on the grid

    def tick(self, time: int) -> int:
        """The exact time of a frame, in units of `time_base`.

        Args:
            time: As the clip's timeline has it, in the file's unit; later than that of the frame before.
        """
        if self.is_constant:
            place, off = _place(time, self._first, self._file_base, self.rate)
            self._low, self._high = min(self._low, off), max(self._high, off)
            if self._high - self._low <= self._allowed and (self._last is None or place > self._last):
                self._last = place
                return round((self._first * self._file_base + place / self.rate) / self.time_base)
            self.is_constant = False
        return round(time * self._file_base / self.time_base)


def clock_for(
    times: Sequence[int], time_base: Fraction, claimed: Fraction | None, *, roundings: int = 1, default: Fraction
) -> FrameClock:
    """The clock of a clip.

    Args:
        times: When its first frames are shown, in units of `time_base`, in any order. Some hundred are enough.
        time_base: The file's unit, in seconds.
        claimed: The frame rate in the file's header, if it has one.
        roundings: How often each time was rounded: twice in FLV.
        default: The frame rate if there is nothing to tell it.
    """
    shown = sorted(set(times))
    rate = claimed if claimed and _is_credible(claimed, time_base) else _usual_rate(shown, time_base)
    clock = FrameClock(rate or claimed or default, time_base, time_base)
    if len(shown) < _LEAST_FRAMES or (rate == claimed and rate and _is_exact(shown, 1 / (rate * time_base))):
        return clock  # too few to tell, or nothing to mend
    allowed = max(roundings * time_base, _FINEST)
    nearness = rate or clock.rate
    candidates = [*sorted(KNOWN_RATES, key=lambda known: abs(known - nearness)), nearness]
    for candidate in candidates:
        fine = _unit_of_both(candidate, time_base)
        if fine is None or not Fraction(2, 5) < candidate / nearness < Fraction(5, 2):
            continue
        places = [_place(time, times[0], time_base, candidate) for time in shown]
        low, high = (limit(off for _, off in places) for limit in (min, max))
        steps = [after - before for (before, _), (after, _) in pairwise(places)]
        if high - low <= allowed and min(steps) > 0 and sum(step == 1 for step in steps) * 2 > len(steps):
            return FrameClock(candidate, fine, time_base, True, times[0], allowed, low, high)
    return clock


def _place(time: int, first: int, time_base: Fraction, rate: Fraction) -> tuple[int, Fraction]:
    """(place on the grid, seconds beside it)."""
    seconds = (time - first) * time_base
    place = round(seconds * rate)
    return place, seconds - place / rate


def _unit_of_both(rate: Fraction, time_base: Fraction) -> Fraction | None:
    """The largest unit that holds the file's unit and the frames' distances; None if it would be too small."""
    unit = Fraction(
        math.gcd(time_base.numerator * rate.numerator, rate.denominator * time_base.denominator),
        time_base.denominator * rate.numerator,
    )
    return unit if unit.numerator == 1 and unit.denominator <= _LARGEST_UNIT else None


def _is_exact(shown: Sequence[int], distance: Fraction) -> bool:
    return all(((time - shown[0]) / distance).denominator == 1 for time in shown)


def _is_credible(rate: Fraction, time_base: Fraction) -> bool:
    """Whether a claimed rate can be one: where libav knows none, it may give the unit itself (1000 a second)."""
    return rate <= 480 and rate * time_base < 1


def _usual_rate(shown: Sequence[int], time_base: Fraction) -> Fraction | None:
    """The rate of the median distance; a known one if it is as near as the rounding."""
    distances = sorted(after - before for before, after in pairwise(shown))
    if not distances:
        return None
    distance = distances[len(distances) // 2]
    mean = Fraction(shown[-1] - shown[0], len(shown) - 1)
    typical = mean if abs(mean - distance) <= 1 else Fraction(distance)
    rate = 1 / (typical * time_base)
    nearest = min(KNOWN_RATES, key=lambda known: abs(known - rate))
    return nearest if abs(1 / (nearest * time_base) - typical) <= Fraction(1, 2) else rate.limit_denominator(1001)
