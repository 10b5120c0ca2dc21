"""A constant rate is found in rounded times; a variable one stays as it is."""

import itertools
import math
from fractions import Fraction

import pytest
from rvm_studio.core.video.frame_clock import clock_for

MILLISECOND = Fraction(1, 1000)


def rounded(rate: Fraction, count: int, unit: Fraction = MILLISECOND, phase: float = 0.3, rule=round) -> list[int]:
    return [rule(phase + float(i / rate / unit)) for i in range(count)]


@pytest.mark.parametrize("rule", [round, math.floor])
@pytest.mark.parametrize("unit", [MILLISECOND, Fraction(1, 90000), Fraction(1, 600)])
@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)]
)
def test_equal_distances_come_back(rate, unit, rule):
    times = rounded(rate, 500, unit, rule=rule)
    clock = clock_for(times[:240], unit, rate, default=Fraction(25))
    exact = [clock.tick(time) * clock.time_base for time in times]
    assert {b - a for a, b in itertools.pairwise(exact)} == {1 / rate}
    assert max(abs(a - b * unit) for a, b in zip(exact, times, strict=True)) <= unit
    assert clock.rate == rate


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(30000, 1001), Fraction(30)])
def test_the_rate_is_found_without_a_claim(rate):
    """Neighbours such as 24 and 24000/1001 drift apart by more than a rounding within seconds."""
    for claimed in (None, Fraction(1000), Fraction(25)):
        assert clock_for(rounded(rate, 240), MILLISECOND, claimed, default=Fraction(25)).rate == rate


def test_times_rounded_twice():
    """FLV rounds the time of decoding down, and then what is between it and that of showing."""
    rate = Fraction(30000, 1001)
    delay = 2 / rate
    times = [math.floor(i / rate * 1000) + math.floor((i / rate + delay - i / rate) * 1000) for i in range(240)]
    times[3::4] = [time - 1 for time in times[3::4]]
    clock = clock_for(times, MILLISECOND, rate, roundings=2, default=Fraction(25))
    assert clock.is_constant


def test_dropped_frames_leave_gaps():
    rate = Fraction(24000, 1001)
    kept = [i for i in range(240) if i % 37 != 5]
    times = rounded(rate, 240)
    clock = clock_for([times[i] for i in kept], MILLISECOND, rate, default=Fraction(25))
    exact = [clock.tick(times[i]) * clock.time_base for i in kept]
    assert [(time - exact[0]) * rate for time in exact] == kept


def test_a_variable_rate_stays_variable():
    times = [0]
    for i in range(100):
        times.append(times[-1] + (33, 34, 30, 37, 33, 29)[i % 6])
    clock = clock_for(times, MILLISECOND, Fraction(30), default=Fraction(25))
    assert not clock.is_constant
    assert [clock.tick(time) * clock.time_base / MILLISECOND for time in times] == times


def test_a_rate_that_becomes_variable_later():
    steady = rounded(Fraction(24000, 1001), 300, phase=0)
    later = [steady[-1] + gap for gap in (50, 61, 133, 170)]
    clock = clock_for(steady[:240], MILLISECOND, Fraction(24000, 1001), default=Fraction(25))
    exact = [clock.tick(time) * clock.time_base for time in steady]
    assert exact[299] == Fraction(299 * 1001, 24000)
    assert [clock.tick(time) * clock.time_base / MILLISECOND for time in later] == later
    assert not clock.is_constant


def test_frames_at_half_the_claimed_rate():
    """Where a header gives the rate of the fields."""
    times = rounded(Fraction(30000, 1001), 240)
    clock = clock_for(times, MILLISECOND, Fraction(60000, 1001), default=Fraction(25))
    assert clock.rate == Fraction(30000, 1001)


def test_too_few_frames_to_tell():
    clock = clock_for([0, 40], MILLISECOND, None, default=Fraction(25))
    assert (clock.rate, clock.is_constant, clock.time_base) == (25, False, MILLISECOND)
    assert clock_for([], MILLISECOND, None, default=Fraction(25)).rate == 25
