"""Reading and writing: whatever a library raises is one sentence with the file's name."""

import os
from fractions import Fraction

import numpy as np
import pytest
import rvm_studio
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import writer as writer_module
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import check_source, open_reader
from rvm_studio.core.video.video_reader import VideoReader
from rvm_studio.core.video.writer import FrameWriter
from rvm_studio.core.weights import tensor_file

SPEC = PictureSpec(height=16, width=16, frame_rate=Fraction(25), time_base=Fraction(1, 25), tags=ColorTags(1, 1, 1, 1))
PICTURE = np.zeros((16, 16, 4), np.uint8)
SAMPLE = os.path.join(os.path.dirname(rvm_studio.__file__), "assets", "sample.mp4")


@pytest.mark.parametrize(
    "foreign", [KeyError("x"), ZeroDivisionError("by 0"), UnicodeDecodeError("utf-8", b"", 0, 1, "y")]
)
def test_an_unknown_exception_while_opening_and_reading(monkeypatch, foreign):
    def fault(*arguments, **named):
        raise foreign

    with open_reader(SAMPLE) as reader:
        monkeypatch.setattr(reader, "_to_rgb", fault)
        with pytest.raises(StudioError, match=rf"sample\.mp4 cannot be read \({type(foreign).__name__}"):
            list(reader)
    monkeypatch.setattr(VideoReader, "__init__", fault)
    with pytest.raises(StudioError, match=rf"sample\.mp4 cannot be read \({type(foreign).__name__}"):
        open_reader(SAMPLE)


def test_an_unknown_exception_while_writing(tmp_path, monkeypatch):
    writer = FrameWriter(tmp_path / "a.mov", SPEC, content="rgba")
    monkeypatch.setattr(writer, "_to_frame", lambda image: 1 / 0)
    with pytest.raises(StudioError, match=r"a\.mov cannot be written \(ZeroDivisionError"):
        writer.write(PICTURE, 0, 0)
    with pytest.raises(StudioError, match=r"a\.mov cannot be written \(ZeroDivisionError"):
        writer.finish()
    writer.abandon(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_exception_of_weights(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"\x10" + bytes(63))

    def fault(*arguments):
        raise RecursionError

    monkeypatch.setattr(tensor_file, "_read_safetensors", fault)
    with pytest.raises(StudioError, match=r"a\.safetensors cannot be read \(RecursionError\)"):
        tensor_file.read_tensors(path)


@pytest.mark.parametrize("check", [open_reader, check_source])
@pytest.mark.parametrize("name", ["a\0b.mp4", "n" * 300 + ".mp4", "loop/clip.mp4", "loop"])
def test_names_that_no_file_can_have(tmp_path, check, name):
    try:
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
    except OSError:
        pytest.skip("links need a privilege here")
    with pytest.raises(StudioError, match=r"NUL|does not exist|cannot be looked up|cannot be read"):
        check(os.path.join(tmp_path, name))


@pytest.mark.parametrize("name", ["a\0b.mov", "n" * 300 + ".mov", "loop/clip.mov", "loop.mov"])
def test_outputs_that_no_file_can_be(tmp_path, name):
    try:
        for loop in (tmp_path / "loop", tmp_path / "loop.mov"):
            loop.symlink_to(loop)
    except OSError:
        pytest.skip("links need a privilege here")
    with pytest.raises(StudioError):
        rvm_studio.matte(SAMPLE, os.path.join(tmp_path, name), weights="starter")


def test_a_folder_that_is_renamed_meanwhile_is_noticed_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_LOOK_EVERY", 0.0)
    folder = tmp_path / "out"
    folder.mkdir()
    writer = FrameWriter(folder / "a.mov", SPEC, content="rgba")
    writer.write(PICTURE, 0, 0)
    try:
        folder.rename(tmp_path / "elsewhere")
    except OSError:  # Windows
        writer.abandon(keep=False)
        pytest.skip("a folder with open files cannot be renamed here")
    with pytest.raises(StudioError, match=r"out was renamed or removed while a\.mov was written"):
        writer.write(PICTURE, 1, 1)
    writer.abandon(keep=True)
    assert not folder.exists()
