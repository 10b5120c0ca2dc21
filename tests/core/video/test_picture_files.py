"""Numbered pictures: on the disk before they get their names, resumed, and gone after an error."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.partial_output import Written, partial_path

from .small_outputs import file_resumed_from, image, stopped, writer


@pytest.mark.parametrize("single", [True, False])
def test_pictures_are_on_the_disk_before_they_get_their_names(tmp_path, events, single):
    made = writer(tmp_path / "out.png", single=single)
    for step in range(1 if single else 5):
        made.write(image(step), 1001 * step, step)
    made.finish()
    pictures = [tmp_path / "out.png"] if single else sorted((tmp_path / "out").iterdir())
    assert len(pictures) == (1 if single else 5)
    for picture in pictures:
        found = picture.stat()
        sync = events.index(("sync", found.st_ino, found.st_size))
        assert sync < events.index(("rename", found.st_ino, picture.name, found.st_size), sync)


@pytest.mark.parametrize(
    ("pattern", "numbers", "found"),
    [
        ("s_%03d.png", [1, 20, 1234], ["s_001.png", "s_020.png", "s_1234.png"]),
        ("%d.png", [1, 20], ["1.png", "20.png"]),
        ("a_%2d_b.png", [7], ["a_07_b.png"]),
    ],
)
def test_pictures_are_named_by_their_numbers(tmp_path, pattern, numbers, found):
    made = writer(tmp_path / "out" / pattern)
    for step, number in enumerate(numbers):
        made.write(image(step), 1001 * step, number)
    assert made.finish() == tmp_path / "out"
    assert sorted(os.listdir(tmp_path / "out")) == found
    assert os.listdir(tmp_path) == ["out"]
    for step, name in enumerate(found):
        with Image.open(tmp_path / "out" / name) as picture:
            assert np.array_equal(np.array(picture), image(step))


def test_a_picture_that_cannot_be_saved_leaves_no_half(tmp_path, monkeypatch):
    made = writer(tmp_path / "out.png", threads=1)
    write = Path.write_bytes

    def half(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StudioError, match="disk is full"):
        made.write(image(0), 0, 0)
    assert not list(tmp_path.rglob("*.png"))


def test_a_second_frame_for_a_single_picture(tmp_path):
    made = writer(tmp_path / "out.png", single=True)
    made.write(image(0), 0, 0)
    with pytest.raises(StudioError, match="Cannot write a second frame to the single picture"):
        made.write(image(1), 1001, 1)


def test_pictures_after_the_last_one_are_removed(tmp_path):
    earlier = stopped(tmp_path / "out.png", 4)
    folder = partial_path(tmp_path / "out.png")
    assert sorted(os.listdir(folder)) == [f"{n:05d}.png" for n in range(4)]
    fewer = Written(**{**vars(earlier), "frames": 2, "number": 1})
    file = file_resumed_from(tmp_path / "out.png", fewer)
    assert file.copy_resumed(lambda: False)
    assert sorted(os.listdir(folder)) == ["00000.png", "00001.png"]
    assert file.finish() == tmp_path / "out"
    assert sorted(os.listdir(tmp_path / "out")) == ["00000.png", "00001.png"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_sequence_that_is_not_kept_leaves_no_folder(tmp_path):
    made = writer(tmp_path / "out.png", threads=1)
    for step in range(6):
        made.write(image(step), step, step)
    assert made.abandon(keep=False) is None
    assert os.listdir(tmp_path) == []


def test_what_somebody_else_put_there_stays(tmp_path):
    made = writer(tmp_path / "out.png", threads=1)
    made.write(image(0), 0, 0)
    (folder,) = tmp_path.glob("*.partial")
    (folder / "notes.txt").write_text("mine")
    assert made.abandon(keep=False) is None
    assert os.listdir(folder) == ["notes.txt"]
