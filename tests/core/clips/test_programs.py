"""What is written for a program, and the line that says so; the files as ffprobe's library sees them."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image
from rvm_studio.core.clips.programs import PROGRAMS, format_for_program, program_named, standard_rate
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.output_formats import format_for


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_program_takes_a_format_with_transparency():
    for program in PROGRAMS.values():
        row = format_for(Path(f"a.{program.suffix}"))
        assert row.carries_alpha
        assert row.carries_audio


@pytest.mark.parametrize(
    ("average", "rate"),
    [
        ("25", "25"),
        ("29.97", "30000/1001"),
        ("29.87", "30000/1001"),
        ("30", "30"),
        ("23.976", "24000/1001"),
        ("59.1", "60000/1001"),
        ("18.2", "18"),
        ("0.5", "0.5"),
        ("143.9", "144"),
    ],
)
def test_rates_of_editors(average, rate):
    assert standard_rate(Fraction(average)) == Fraction(rate)


def test_formats():
    assert format_for_program(None, "webm", still=False) == "webm"
    assert format_for_program("premiere", None, still=False) == "mov"
    assert format_for_program("web", ".WebM", still=False) == "webm"
    assert format_for_program("web", None, still=True) is None
    with pytest.raises(StudioError, match="The format mov is not the one for web browsers, which is webm"):
        format_for_program("web", "mov", still=False)
    with pytest.raises(StudioError, match=r"Unknown program 'paint'\. Use premiere, resolve"):
        program_named("paint")


def test_an_editor_gets_prores_at_a_constant_rate(red_studio, make_clip):
    uneven = [0, 3000, 6100, 9000, 12050, 15000]  # of 90 kHz: nearly 30 frames a second
    make_clip("phone.mp4", size=(32, 24), frames=6, rate=Fraction(30), pts=uneven)
    ran = red_studio("matte", "phone.mp4", "-o", "out", "--for", "premiere")
    assert ran.code == 0, ran.err
    assert (
        "  note: for Premiere Pro: ProRes (.mov), straight alpha, 30 frames per second, beginning at 0 s\n" in ran.out
    )
    with av.open("out/phone.mov") as container:
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"


def test_the_frames_are_at_equal_distances(red_studio, make_clip):
    uneven = [0, 3000, 6100, 9000, 12050, 15000]
    make_clip("phone.mp4", size=(32, 24), frames=6, rate=Fraction(30), pts=uneven)
    assert red_studio("matte", "phone.mp4", "-o", "out", "--for", "resolve").code == 0
    with av.open("out/phone.mov") as container:
        times = [Fraction(frame.pts) * frame.time_base for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 30
    assert times == [Fraction(number, 30) for number in range(len(times))]
    assert len(times) in (5, 6)


@pytest.mark.parametrize(("program", "quality"), [("web", "24"), ("obs", "15")])
def test_players_get_a_small_webm(red_studio, make_clip, program, quality):
    make_clip("clip.mp4", size=(32, 24), frames=3)
    ran = red_studio("matte", "clip.mp4", "-o", "out", "--for", program)
    assert ran.code == 0, ran.err
    assert f"VP9 (.webm), straight alpha, quality {quality}, the source's frame times, beginning at 0 s" in ran.out
    with av.open("out/clip.webm") as container:
        stream = container.streams.video[0]
        assert {key.lower(): value for key, value in stream.metadata.items()}["alpha_mode"] == "1"


def test_what_is_asked_for_wins(red_studio, make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=3)
    options = ["--premultiplied", "--codec", "qtrle"] if "qtrle" in format_for(Path("a.mov")).codecs else []
    ran = red_studio("matte", "clip.mp4", "-o", "cut.mov", "--for", "ae", "--cfr", "50", "--premultiplied", *options)
    assert ran.code == 0, ran.err
    assert "for After Effects: " in ran.out
    assert "premultiplied alpha, 50 frames per second" in ran.out


def test_a_picture_stays_one(red_studio):
    Image.new("RGB", (16, 16), (200, 0, 0)).save("face.jpg")
    ran = red_studio("matte", "face.jpg", "-o", "out", "--for", "fcp")
    assert ran.code == 0, ran.err
    assert Path("out/face.png").is_file()
    assert "for Final Cut Pro: PNG (.png), straight alpha\n" in ran.out


def test_another_file_name_is_refused(red_studio, make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=2)
    ran = red_studio("matte", "clip.mp4", "-o", "cut.webm", "--for", "resolve")
    assert ran.code == 1
    assert "cut.webm and the format mov contradict each other" in ran.err
