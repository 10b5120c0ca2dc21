"""What an output leaves out is said, one note for each thing."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.output_notes import output_notes

from .small_outputs import spec_of

PLAIN = spec_of(64, 64, Fraction(25), Fraction(1, 25))


def notes(name: str, content="rgb", quality=None, bitrate=None, premultiplied=False, **changed) -> list[str]:
    spec = replace(PLAIN, **changed)
    format = format_for(Path(name))
    encoding = format.encoding_for(content, spec.tags.transfer)
    return output_notes(format, encoding, content, spec, 8, quality, bitrate, premultiplied)


@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.webm", "a.mp4", "a.png"])
def test_nothing_to_say(name):
    assert notes(name) == []


def test_each_thing_once():
    found = notes(
        "a.gif", "rgba", quality=3, premultiplied=True, sample_aspect_ratio=Fraction(2), timecode="01:00:00:00"
    )
    assert [note.split(" ")[:3] for note in found] == [
        [".gif", "cannot", "hold"],  # the timecode
        ["the", "quality", "was"],
        [".gif", "cannot", "store"],  # the shape of pixels
        [".gif", "cannot", "store"],  # that it is premultiplied
        ["GIF", "has", "256"],
    ]


def test_a_timecode_that_is_kept_is_said_too():
    assert notes("a.mov", timecode="01:00:00:00") == ["timecode 01:00:00:00 (of the first frame)"]
    (note,) = notes("a.mov", timecode="01:00:00:00", frame_rate=Fraction(17))
    assert note.endswith("is left out: there is none at 17 frames per second")


def test_fields():
    assert notes("a.mov", field_order="top") == []
    assert notes("a.webm", field_order="top") == [
        ".webm (libvpx-vp9) is not marked as interlaced, though its frames are"
    ]
