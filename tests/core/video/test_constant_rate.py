"""Frames at equal distances: which source frame is shown when, and sound that stays in step."""

from fractions import Fraction

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.constant_rate import ConstantRate, constant_rate
from rvm_studio.core.video.reader import open_reader

from .flashing_clips import clicks, flashes, flashing_clip
from .test_timeline import copied


@pytest.mark.parametrize(
    ("given", "exact"),
    [(25, Fraction(25)), ("29.97", Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)),
     (23.98, Fraction(24000, 1001)), (59.94, Fraction(60000, 1001)), (12.5, Fraction(25, 2)),
     (Fraction(24000, 1001), Fraction(24000, 1001))],
)  # fmt: skip
def test_rates_that_are_meant(given, exact):
    assert constant_rate(given) == exact


@pytest.mark.parametrize("given", [0, -1, 1001, float("nan"), "fast"])
def test_no_rate(given):
    with pytest.raises(StudioError, match="Expected a number above 0"):
        constant_rate(given)


def spread(milliseconds: list[int], rate: int, step: int = 40) -> list[tuple[int, int]]:
    """(tick, index of the frame shown there)."""
    frames = [av.VideoFrame(2, 2, "gray") for _ in milliseconds]
    made = ConstantRate(Fraction(rate), Fraction(1, 1000), Fraction(step, 1000))
    shown = list(made.frames(iter(zip(milliseconds, frames, strict=True))))
    assert made.repeated == len(shown) - len({id(frame) for _, frame in shown})
    assert made.left_out == len(frames) - len({id(frame) for _, frame in shown})
    return [(tick, next(i for i, f in enumerate(frames) if f is frame)) for tick, frame in shown]


def test_each_frame_goes_to_the_nearest_place():
    assert spread([0, 40, 80], 25) == [(0, 0), (1, 1), (2, 2)]
    assert spread([0, 41, 79, 121], 25) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert spread([0, 200, 240], 25) == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 2)]
    assert spread([0, 40, 50, 80], 25) == [(0, 0), (1, 2), (2, 3)]  # of two at one place the later
    assert spread([0, 40, 80, 120], 50) == [(i, i // 2) for i in range(8)]
    assert spread([500, 540], 25) == [(13, 0), (14, 1)]
    assert spread([], 25) == []


@pytest.mark.parametrize("rate", [10, 24, 25, Fraction(30000, 1001), 60])
def test_a_variable_clip_at_a_constant_rate(tmp_path, rate):
    times = [Fraction(0)]
    while times[-1] < 3:
        times.append(times[-1] + Fraction((31, 47, 16, 120, 33)[len(times) % 5], 1000))
    source = flashing_clip(tmp_path / "in.mkv", 3, times=[t for t in times if t < 3])
    damage, notes = copied(source, tmp_path / "out.mov", cfr=rate)
    assert damage == []
    assert "frames per second" in notes[0]
    with av.open(str(tmp_path / "out.mov")) as container:
        stream = container.streams.video[0]
        shown = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.size]
    assert [time * rate for time in shown] == list(range(len(shown)))
    assert abs(len(shown) - 3 * rate) <= 2 + rate / 8
    assert clicks(tmp_path / "out.mov") == pytest.approx([0, 1, 2], abs=0.003)
    seen = flashes(tmp_path / "out.mov")  # those that are not left out
    assert all(time % 1 < 0.13 for time in seen)


def test_parts_and_skipped_frames(tmp_path):
    source = flashing_clip(tmp_path / "in.mp4", 2, sound=None)
    with open_reader(source, start=0.4, duration=0.8, cfr=50) as reader:
        reader.skip = 3
        frames = list(reader)
        assert (reader.info.frame_rate, reader.info.time_base, reader.info.frame_count) == (50, Fraction(1, 50), 40)
    assert [(frame.pts, frame.number) for frame in frames] == [(i, i) for i in range(40)]
    assert [len(frame.image) for frame in frames[:5]] == [0, 0, 0, 48, 48]
