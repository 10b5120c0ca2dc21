"""Settings that have nothing to act on are said."""

from fractions import Fraction
from pathlib import Path

import pytest
from rvm_studio.core.clips.options import ClipOptions, Output
from rvm_studio.core.clips.unused_settings import unused_settings

MATTE, ALPHA, OVER = (Output(Path("a.mov"), kind) for kind in ("matte", "alpha", "composite"))


@pytest.mark.parametrize(
    ("kind", "outputs", "settings", "over", "begins"),
    [
        ("video", [MATTE], {"frame_rate": Fraction(9)}, False, ["the frame rate (fps) was not used: it is for image"]),
        ("still", [MATTE], {"frame_rate": Fraction(9)}, False, ["the frame rate (fps) was not used: the input is"]),
        ("sequence", [MATTE], {"frame_rate": Fraction(9)}, False, []),
        ("video", [MATTE], {"hwaccel": "auto", "cfr": 25, "deinterlace": "frame"}, False, []),
        (
            "sequence",
            [MATTE],
            {"hwaccel": "auto", "cfr": 25, "deinterlace": "frame"},
            False,
            ["hwaccel was not used", "cfr was not used", "deinterlace was not used"],
        ),
        ("video", [ALPHA, MATTE], {"premultiplied": True}, False, []),
        ("video", [ALPHA, OVER], {"premultiplied": True}, True, ["premultiplied was not used"]),
        ("video", [ALPHA], {}, True, ["the background was not used: no output shows it"]),
        ("video", [ALPHA], {}, False, []),
    ],
)
def test_notes(kind, outputs, settings, over, begins):
    notes = list(unused_settings(kind, outputs, ClipOptions(**settings), over))
    assert len(notes) == len(begins)
    assert all(note.startswith(begin) for note, begin in zip(notes, begins, strict=True))


def test_on_the_command_line(red_studio, make_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip("clip.mp4", size=(32, 24), frames=2)
    ran = red_studio("matte", "clip.mp4", "-o", "out.mkv", "--fps", "12", "--quality", "3")
    assert ran.code == 0
    notes = [line for line in ran.out.splitlines() if line.startswith("  note: ")]
    assert len(notes) == 2
    assert "frame rate (fps) was not used" in ran.out
    assert "lossless" in ran.out
