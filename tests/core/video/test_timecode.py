"""Timecode arithmetic against counting every frame of the rule, and libav's own reading of written files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.video.timecode import Timecode, parse_timecode

from .test_timeline import copied

NTSC = Fraction(30000, 1001)


def numbers(nominal: int, drops: bool, minutes: int):
    """Every timecode of the first minutes, by the rule's own words (SMPTE ST 12-1)."""
    left_out = nominal // 15
    for minute in range(minutes):
        for second in range(60):
            for frame in range(nominal):
                if drops and second == 0 and frame < left_out and minute % 10:
                    continue
                yield f"{minute // 60:02d}:{minute % 60:02d}:{second:02d}{';' if drops else ':'}{frame:02d}"


@pytest.mark.parametrize(
    ("rate", "drops"),
    [(NTSC, True), (NTSC, False), (Fraction(60000, 1001), True), (Fraction(24000, 1001), False), (Fraction(25), False)],
)
def test_every_frame_of_some_minutes(rate, drops):
    for count, text in enumerate(numbers(round(rate), drops, 23)):
        if count % 7 == 0 or text[6:8] in ("00", "59"):
            assert str(Timecode(count, rate, drops)) == text
            assert parse_timecode(text, rate) == Timecode(count, rate, drops)


def test_shifts():
    start = parse_timecode("00:00:59;28", NTSC)
    assert start is not None
    assert [str(start.shifted(frames)) for frames in (1, 2, 3)] == ["00:00:59;29", "00:01:00;02", "00:01:00;03"]
    end = parse_timecode("23:59:59:24", Fraction(25))
    assert end is not None
    assert str(end.shifted(1)) == "00:00:00:00"


def test_an_hour_of_drop_frame_keeps_the_clock():
    """108 numbers are left out in an hour, in which 107892 frames pass."""
    assert parse_timecode("01:00:00;00", NTSC) == Timecode(107892, NTSC, True)


def test_other_rates():
    begin = parse_timecode("10:00:00:12", Fraction(25))
    assert begin is not None
    assert str(begin.at_rate(Fraction(50))) == "10:00:00:24"
    assert str(begin.at_rate(Fraction(24))) == "10:00:00:11"


@pytest.mark.parametrize("text", ["", "01:00:00", "01:00:00:25", "24:00:00:00", "01:60:00:00", "noon", "1:2:3:4:5"])
def test_no_timecode(text):
    assert parse_timecode(text, Fraction(25)) is None


def test_a_semicolon_means_nothing_at_rates_that_drop_none():
    found = parse_timecode("01:00:00;00", Fraction(25))
    assert found is not None
    assert str(found) == "01:00:00:00"


def film(path: Path, rate: Fraction, timecode: str | None, frames: int = 30) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video" if path.suffix == ".mxf" else "libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            (container if path.suffix == ".mxf" else stream).metadata["timecode"] = timecode
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def stored(path: Path) -> str | None:
    with av.open(str(path)) as container:
        tags = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
        return tags.get("timecode")


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("name", "rate", "timecode"),
    [("in.mov", Fraction(24), "01:00:00:00"), ("in.mov", NTSC, "09:59:58;28"), ("in.mkv", Fraction(25), "10:00:00:12"),
     ("in.mxf", Fraction(25), "02:03:04:05")],
)  # fmt: skip
def test_a_timecode_arrives(tmp_path, name, rate, timecode, suffix):
    source = film(tmp_path / name, rate, timecode)
    damage, notes = copied(source, tmp_path / f"out{suffix}")
    assert (damage, notes) == ([], [f"timecode {timecode} (of the first frame)"])
    assert stored(tmp_path / f"out{suffix}") == timecode


def test_the_timecode_of_a_part_is_that_of_its_first_frame(tmp_path):
    source = film(tmp_path / "in.mov", NTSC, "00:00:59;20")
    copied(source, tmp_path / "out.mov", start=12 / NTSC)
    assert stored(tmp_path / "out.mov") == "00:01:00;04"  # ;00 and ;01 are left out


def test_at_another_rate(tmp_path):
    source = film(tmp_path / "in.mov", Fraction(25), "01:00:00:10")
    copied(source, tmp_path / "out.mov", cfr=50)
    assert stored(tmp_path / "out.mov") == "01:00:00:20"


def test_a_rate_without_timecode(tmp_path):
    source = film(tmp_path / "in.mkv", Fraction(25), "01:00:00:10")
    _, notes = copied(source, tmp_path / "out.mov", cfr=Fraction(25, 2))
    assert any("is left out: there is none at 12.5 frames per second" in note for note in notes)
    assert stored(tmp_path / "out.mov") is None


def test_a_timecode_that_cannot_be(tmp_path):
    source = film(tmp_path / "in.mkv", Fraction(25), "01:00:00:99")
    _, notes = copied(source, tmp_path / "out.mov")
    assert notes == ["the timecode '01:00:00:99' fits no rate of 25 and is left out"]


def test_no_timecode_at_all(tmp_path):
    assert copied(film(tmp_path / "in.mov", Fraction(25), None), tmp_path / "out.mov") == ([], [])
    assert stored(tmp_path / "out.mov") is None
