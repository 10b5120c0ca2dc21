"""timestamps.json beside pictures that come from a video or an animation."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.frame_reader import ClipInfo
from rvm_studio.core.video.writer import FrameWriter


def info(kind="video", rate=Fraction(25), base=Fraction(1, 1000)) -> ClipInfo:
    shape = {"height": 4, "width": 6, "tags": ColorTags(1, 1, 1, 1)}
    return ClipInfo(path=Path("clip.mp4"), kind=kind, frame_count=None, frame_rate=rate, time_base=base, **shape)


def write(path, spec, times, first=0, **options):
    writer = FrameWriter(path, spec, content="rgb", **options)
    for number in range(first):
        writer.pass_over(times[number], number)
    for number, time in list(enumerate(times))[first:]:
        writer.write(np.zeros((4, 6, 3), np.uint8), time, number)
    return writer, writer.finish()


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_variable_times(tmp_path):
    _, folder = write(tmp_path / "cut.png", info(), [0, 40, 95, 120])
    found = read(folder / "timestamps.json")
    assert (found["frame_rate"], found["constant"], found["time_base"]) == ("25", False, "1/1000")
    assert [frame["file"] for frame in found["frames"]] == ["00000.png", "00001.png", "00002.png", "00003.png"]
    assert all((folder / frame["file"]).exists() for frame in found["frames"])
    assert [frame["pts"] for frame in found["frames"]] == [0, 40, 95, 120]
    assert [frame["seconds"] for frame in found["frames"]] == [0, 0.04, 0.095, 0.12]


def test_a_constant_rate(tmp_path):
    _, folder = write(tmp_path / "cut.tif", info("animation", Fraction(24000, 1001), Fraction(1001, 24000)), [3, 4, 5])
    found = read(folder / "timestamps.json")
    assert (found["frame_rate"], found["constant"]) == ("24000/1001", True)
    assert found["frames"][2]["seconds"] == pytest.approx(5 * 1001 / 24000, abs=1e-9)
    _, folder = write(tmp_path / "rounded.png", info(rate=Fraction(30)), [0, 33, 67, 100, 133])
    assert read(folder / "timestamps.json")["constant"] is True


@pytest.mark.parametrize("kind", ["sequence", "still"])
def test_pictures_of_pictures_have_no_times(tmp_path, kind):
    _, folder = write(tmp_path / "cut.png", info(kind), [0, 40])
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png"]


def test_a_single_picture_has_no_times(tmp_path):
    writer = FrameWriter(tmp_path / "a.png", info(), content="rgb", single=True)
    writer.write(np.zeros((4, 6, 3), np.uint8), 0, 0)
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_two_sequences_in_one_folder(tmp_path):
    write(tmp_path / "cut_%03d.png", info(), [0, 40])
    write(tmp_path / "alpha_%03d.png", info(), [0, 50])
    assert read(tmp_path / "cut_timestamps.json")["frames"][1] == {"file": "cut_001.png", "pts": 40, "seconds": 0.04}
    assert read(tmp_path / "alpha_timestamps.json")["frames"][1]["pts"] == 50


def test_what_is_there_already(tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "timestamps.json").write_text("mine")
    writer, folder = write(tmp_path / "cut.png", info(), [0, 40])
    assert (folder / "timestamps.json").read_text() == "mine"
    assert [note for note in writer.notes if "timestamps.json exists already" in note]
    writer, folder = write(tmp_path / "cut.png", info(), [0, 70], overwrite=True)
    assert read(folder / "timestamps.json")["frames"][1]["pts"] == 70


def test_frames_of_a_resumed_run(tmp_path):
    _, folder = write(tmp_path / "cut.png", info(), [0, 40, 90], first=2)
    assert [frame["pts"] for frame in read(folder / "timestamps.json")["frames"]] == [0, 40, 90]


def test_exr_numbers(tmp_path):
    pytest.importorskip("OpenEXR")
    _, folder = write(tmp_path / "cut.exr", info(), [0, 40, 90], first=1)
    found = read(folder / "cut.timestamps.json")
    assert [frame["file"] for frame in found["frames"]] == ["cut.1001.exr", "cut.1002.exr", "cut.1003.exr"]
