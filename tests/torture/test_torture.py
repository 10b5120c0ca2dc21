"""A spread of the torture suite: every kind of input. `python tests/torture/run.py` runs all of it.

The comparison itself is tested, too: it must find what is wrong.
"""

import dataclasses
import functools
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import pytest

TESTS = str(Path(__file__).resolve().parent.parent)
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)

from torture import measure  # noqa: E402
from torture.compare import faults  # noqa: E402
from torture.inputs import GROUPS, all_inputs  # noqa: E402
from torture.one_input import NOT_MADE, attempt, result_of  # noqa: E402
from torture.table import write_table  # noqa: E402

SPREAD = [
    "h264_bframes.avi", "h264.mts", "vp8.webm", "prores.mov",
    "vfr.mp4", "ntsc_film.mkv", "ten_hours.ts", "edit_list.mp4",
    "90.mp4", "3x3.mkv", "sar.mkv",
    "gray.mkv", "full.mp4", "pq.mp4",
    "interlaced.mp4", "timecode.mov", "cover.mp4",
    "aac.mp4", "late_picture.mkv", "joined_sound.ts",
    "icc.png", "exif6.jpg", "deep.png", "plain.heic",
    "loop.webp", "folder",
    "name: a percent sign", "name: mkv.png",
    "wrong: unknown.mp4", "damaged: cut.mkv",
]  # fmt: skip
INPUTS = {item.name: item for item in all_inputs()}


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch):
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("no ffmpeg here")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")])))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREAD)
def test_right(name: str, tmp_path: Path):
    found = result_of(INPUTS[name], tmp_path / "run")
    if found and NOT_MADE in found[0] and "Unknown encoder" in found[0]:
        pytest.skip("this ffmpeg lacks an encoder")
    assert found == []


def test_there_are_enough_of_every_kind():
    assert len(INPUTS) >= 100
    assert {INPUTS[name].group for name in SPREAD} == set(GROUPS)


@pytest.mark.slow
def test_the_comparison_finds_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("probe", "frames", "beep_times"):
        monkeypatch.setattr(measure, name, functools.cache(getattr(measure, name)))
    right = INPUTS["late_sound.mp4"]
    done = attempt(right, tmp_path / "run")
    assert right.drawn is not None
    drawn = right.drawn()
    for changed, said in [
        ({"rate": Fraction(24)}, "49 times are wrong"),
        ({"frames": 49}, "50 frames instead of 49"),
        ({"size": (48, 64)}, "instead of (48, 64)"),
        ({"turn": lambda frame: frame[:, ::-1]}, "from what the second decoder sees"),
        ({"drawn": lambda: [*drawn[1:], drawn[0]]}, "frame 0 is most like frame 49 as drawn"),
        ({"sar": Fraction(4, 3)}, "pixel aspect ratio 1 instead of 4/3"),
        ({"timecode": "10:00:00:01"}, "timecode None instead of 10:00:00:01"),
        ({"tags": ("bt709", "bt709", "smpte2084")}, "colour tags"),
        ({"field_order": "tb"}, "field order progressive instead of tb"),
        ({"beeps": (0.2, 0.3)}, "ms late"),
        ({"tracks": ((2, 48000),)}, "sound ((1, 48000),) instead of ((2, 48000),)"),
        ({"code": 1}, "exit code 0 instead of 1"),
        ({"says": ("nothing of the kind",)}, "nothing about"),
    ]:
        found = faults(dataclasses.replace(right, **changed), done.given, done.out, done.ran)
        assert any(said in each for each in found), (said, found)


def test_the_table(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Formats\n\nText.\n\n## Next\n\nMore.\n")
    items = [INPUTS["h264.mp4"], INPUTS["vp8.webm"]]
    write_table(items, {"vp8.webm": ["bad"]}, page)
    first = page.read_text("utf-8")
    assert (
        "| containers and codecs | 1 of 2 | H.264 with B-frames in MP4; VP8 in WebM, with hidden frames (**wrong**) |"
        in first
    )
    write_table(items, {"vp8.webm": ["bad"]}, page)
    assert page.read_text("utf-8") == first
    assert first.startswith("# Formats\n\nText.\n")
    assert "## Next\n\nMore.\n" in first
