"""A video file: on the disk before it gets its name, resumed packet by packet, and gone after an error."""

import errno
import os
from pathlib import Path

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import container_file
from rvm_studio.core.video.container_file import ContainerFile
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.partial_output import NotResumable, Written, partial_path

from .small_outputs import file_resumed_from, image, names, setup_of, stopped, writer


@pytest.mark.parametrize("name", ["out.mov", "out.webm", "out.mkv", "out.apng", "out.webp", "out.mp4"])
def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, events, name):
    """After a power cut the name must stand for the whole file, not for an empty one."""
    made = writer(tmp_path / name, "rgb" if name == "out.mp4" else "rgba")
    for step in range(3):
        made.write(image(step, 3 if name == "out.mp4" else 4), 1001 * step, step)
    made.finish()
    found = (tmp_path / name).stat()
    events = [event for event in events if event[1] == found.st_ino]
    assert events == [("sync", found.st_ino, found.st_size), ("rename", found.st_ino, name, found.st_size)]


def test_a_partial_file_that_is_kept_is_on_the_disk_too(tmp_path, events):
    made = writer(tmp_path / "out.mov")
    made.write(image(0), 0, 0)
    made.abandon(keep=True)
    found = (tmp_path / "out.partial.mov").stat()
    assert events[0] == ("sync", found.st_ino, found.st_size)


def test_a_file_that_cannot_be_made_safe_does_not_get_its_name(tmp_path, monkeypatch):
    (tmp_path / "out.mov").write_bytes(b"old")
    made = writer(tmp_path / "out.mov", overwrite=True)
    made.write(image(0), 0, 0)

    def fails(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StudioError, match="Input/output error"):
        made.finish()
    assert (tmp_path / "out.mov").read_bytes() == b"old"
    made.abandon(keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mov"]


def test_a_target_that_is_a_folder(tmp_path):
    (tmp_path / "out.mov").mkdir()
    with pytest.raises(StudioError, match="is a folder: give the name of a file"):
        writer(tmp_path / "out.mov", overwrite=True)
    assert os.listdir(tmp_path) == ["out.mov"]


def test_an_encoder_that_is_missing_leaves_nothing(tmp_path):
    setup = setup_of(tmp_path / "out.mov")
    setup.codec = "no_such_encoder"
    with pytest.raises(StudioError, match="no encoder no_such_encoder, which ProRes needs"):
        ContainerFile(tmp_path / "out.mov", format_for(tmp_path / "out.mov"), setup, None, "straight", False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mov", "out.mkv"])
def test_the_packets_of_an_earlier_file_are_taken_as_they_are(tmp_path, name):
    earlier = stopped(tmp_path / name)
    assert (earlier.frames, earlier.first_pts, earlier.last_pts, earlier.number) == (3, 500, 2502, 2)
    assert earlier.size == (tmp_path / f"out.partial{Path(name).suffix}").stat().st_size

    def packets(path):
        with av.open(str(path)) as container:
            found = [p for p in container.demux(video=0) if p.size]
            return [(bytes(p), p.pts * p.time_base, p.duration * p.time_base) for p in found]

    before = packets(tmp_path / f"out.partial{Path(name).suffix}")
    file = file_resumed_from(tmp_path / name, earlier)
    assert file.copy_resumed(lambda: False)
    assert file.finish() == tmp_path / name
    after = packets(tmp_path / name)
    assert [p[:2] for p in after] == [p[:2] for p in before]
    assert len(after) == 3
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_stop_while_the_earlier_frames_are_copied(tmp_path, calls):
    earlier = stopped(tmp_path / "out.mov")
    before = (tmp_path / "out.partial.mov").read_bytes()
    file, asked = file_resumed_from(tmp_path / "out.mov", earlier), []
    assert not file.copy_resumed(lambda: asked.append(1) or len(asked) > calls)
    assert len(asked) == calls + 1
    assert not file.abandon(keep=False)
    assert file.settle() is None
    assert names(tmp_path) == ["out.partial.mov"]
    assert (tmp_path / "out.partial.mov").read_bytes() == before


def test_fewer_frames_than_were_written(tmp_path):
    earlier = stopped(tmp_path / "out.mov")
    more = Written(**{**vars(earlier), "frames": 4})
    file = file_resumed_from(tmp_path / "out.mov", more)
    with pytest.raises(NotResumable, match="contains 3 frames instead of 4"):
        file.copy_resumed(lambda: False)
    file.abandon(keep=False)
    file.settle()


@pytest.mark.parametrize("name", ["out.mkv", "out.webm", "out.mov"])
def test_a_file_without_its_end_is_kept(tmp_path, monkeypatch, name):
    made = writer(tmp_path / name)
    for step in range(3):
        made.write(image(step), 1001 * step, step)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(container_file, "sync_file", full)
    path = made.abandon(keep=True)
    assert path == partial_path(tmp_path / name)
    assert (made.whole, made.readable_frames) == (False, 3)
    assert names(tmp_path) == [path.name]
