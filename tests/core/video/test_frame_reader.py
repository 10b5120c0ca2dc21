"""What all readers share: the part of a clip that is asked for, in units of its clock, and the depth of its samples."""

import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.frame_reader import FrameReader, Span, bit_depth_of

NTSC = Fraction(1001, 30000)
CLOCKS = [Fraction(1, 90000), Fraction(1, 1000), NTSC, Fraction(1, 25), Fraction(1, 12800)]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("kind", [float, Fraction])
@pytest.mark.parametrize("first", [0, 1, 3, 7, 29, 1001, 123456])
def test_times_that_are_whole_units_are_these(clock, kind, first):
    """Also as floats, which lie a little below or above: 0.3 s are three units of 0.1 s."""
    start, length = first * clock, 10 * clock
    begin, end = Span(kind(start), kind(length)).ticks(clock)
    assert (begin, end) == (first, first + 10)


@pytest.mark.parametrize(("start", "tick"), [(0.1, 2), (0.119, 2), (0.1201, 3), (0.04, 1)])
def test_a_time_within_a_unit_is_that_unit(start, tick):
    assert Span(start, None).ticks(Fraction(1, 25)) == (tick, None)


def test_a_whole_clip_has_no_first_tick():
    """It begins where its first frame is, before zero too."""
    assert Span(0, None).ticks(NTSC) == (None, None)
    assert Span(0, None).is_whole
    assert Span(0, 1).ticks(Fraction(1, 25)) == (0, 25)
    assert not Span(0, 1).is_whole
    assert not Span(Fraction(1, 25), None).is_whole


@pytest.mark.parametrize(
    ("start", "duration"),
    [
        (-0.001, None),
        (math.nan, None),
        (math.inf, None),
        (0, 0),
        (0, -1),
        (0, math.nan),
        (0, math.inf),
        (Fraction(-1), 1),
    ],
)
def test_a_part_that_cannot_be(start, duration):
    with pytest.raises(StudioError, match=f"Cannot trim the clip to {duration} s from {start} s on"):
        Span(start, duration)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(1.5, 2), "between 1.5 s and 3.5 s"),
        (Span(Fraction(1, 4), None), "between 0.25 s and its end"),
        (Span(0, Fraction(1, 3)), "between 0 s and 0.333333 s"),
    ],
)
def test_a_span_in_words(span, text):
    assert str(span) == text


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("yuv420p", 8),
        ("rgb24", 8),
        ("rgb565le", 8),  # 5 and 6 bits
        ("monow", 8),
        ("yuv420p10le", 10),
        ("yuv422p12le", 12),
        ("gray14le", 14),
        ("rgb48be", 16),
        ("yuva444p16le", 16),
    ],
)
def test_the_depth_of_samples(name, depth):
    assert bit_depth_of(av.VideoFrame(16, 16, name), Path("in.mov")) == depth


def test_floating_point_is_refused():
    with pytest.raises(StudioError, match=r"in\.exr has floating-point samples \(gbrpf32le\)"):
        bit_depth_of(av.VideoFrame(16, 16, "gbrpf32le"), Path("in.exr"))


def test_a_reader_is_iterated_once():
    class Numbers(FrameReader):
        def __init__(self):
            super().__init__()
            self.info = SimpleNamespace(path=Path("numbers"))
            self._frames = iter((1, 2))

    with Numbers() as reader:
        assert list(reader) == [1, 2]
        with pytest.raises(AssertionError, match="once"):
            iter(reader)
    closed = Numbers()
    closed.close()
    closed.close()
    with pytest.raises(AssertionError, match="not after close"):
        iter(closed)
