"""The files behind a writer: what is safe on the disk before it gets its name, and what it is called till then."""

import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from patience import PATIENCE
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import output_files
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.output_files import (
    ContainerFile,
    EncoderSetup,
    NotResumable,
    PictureFiles,
    Written,
    partial_path,
)
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

TIME_BASE = Fraction(1, 30000)
BT709 = ColorTags(1, 1, 1, 1)


def writer(path: Path, content="rgba", **more) -> FrameWriter:
    return FrameWriter(path, spec_of(), content=content, **more)


def spec_of(height=16, width=32, frame_rate=Fraction(30000, 1001), time_base=TIME_BASE) -> PictureSpec:
    return PictureSpec(height=height, width=width, frame_rate=frame_rate, time_base=time_base, tags=BT709)


def image(step: int, channels=4) -> np.ndarray:
    picture = np.full((16, 32, channels), 20 * step + 40, np.uint8)
    picture[:, step : step + 4] = 230
    return picture


def setup_of(path: Path, content="rgba", quality=None, threads=None, size=(16, 32)) -> EncoderSetup:
    encoding = format_for(path).encoding_for(content, 1)
    options = encoding.options_for(quality, *size)
    name = encoding.pixel_format_for(8)[1]
    return EncoderSetup(encoding, name, spec_of(*size), options, threads)


@pytest.fixture
def events(monkeypatch):
    """What reached the disk, in order: ("sync", inode, bytes then), ("rename", inode, new name, bytes then)."""
    seen, sync, replace = [], os.fsync, os.replace

    def noted_sync(descriptor):
        sync(descriptor)
        found = os.fstat(descriptor)
        seen.append(("sync", found.st_ino, found.st_size))

    def noted_replace(old, new):
        found = os.stat(old)
        seen.append(("rename", found.st_ino, Path(new).name, found.st_size))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return seen


@pytest.mark.parametrize("name", ["out.mov", "out.webm", "out.mkv", "out.apng", "out.webp", "out.mp4"])
def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, events, name):
    """After a power cut the name must stand for the whole file, not for an empty one."""
    made = writer(tmp_path / name, "rgb" if name == "out.mp4" else "rgba")
    for step in range(3):
        made.write(image(step, 3 if name == "out.mp4" else 4), 1001 * step, step)
    made.finish()
    found = (tmp_path / name).stat()
    assert events == [("sync", found.st_ino, found.st_size), ("rename", found.st_ino, name, found.st_size)]


def test_a_partial_file_that_is_kept_is_on_the_disk_too(tmp_path, events):
    made = writer(tmp_path / "out.mov")
    made.write(image(0), 0, 0)
    made.abandon(keep=True)
    found = (tmp_path / "out.partial.mov").stat()
    assert events[0] == ("sync", found.st_ino, found.st_size)


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


# Names


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        ("a.mov", "a.partial.mov"),
        ("a.b.MKV", "a.b.partial.MKV"),
        ("a.webp", "a.partial.webp"),
        ("a.png", "a.#5d.png.partial"),
        ("new/s_%04d.png", "new.s_#4d.png.partial"),
        ("there/s_%04d.png", "there/s_#4d.png.partial"),
        ("there/s_%d.png", "there/s_#1d.png.partial"),
        ("there/#%03d.png", "there/###3d.png.partial"),
    ],
)
def test_what_an_unfinished_output_is_called(tmp_path, name, partial):
    (tmp_path / "there").mkdir()
    assert partial_path(tmp_path / name) == tmp_path / partial


def test_two_sequences_in_one_folder_share_nothing_unfinished(tmp_path):
    names = ["%03d.png", "%04d.png", "a%03d.png", "%03da.png", "#%03d.png", "##%03d.png", "#03d%03d.png"]
    assert len({partial_path(tmp_path / name) for name in names}) == len(names)
    assert all("%" not in partial_path(tmp_path / name).name for name in names)


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


# Setting up an encoder


@pytest.mark.parametrize(
    ("name", "quality", "alone"),
    [
        ("a.mov", None, True),
        ("a.mkv", None, True),
        ("a.png", None, True),
        ("a.webm", None, True),  # without loss by default
        ("a.webm", 0, True),
        ("a.webm", 12, False),
        ("a.apng", None, False),
        ("a.webp", None, False),
    ],
)
def test_frames_that_stand_alone(name, quality, alone):
    assert setup_of(Path(name), quality=quality).frames_stand_alone == alone


def test_the_usual_duration_of_a_frame():
    setup = setup_of(Path("a.mov"))
    assert setup.nominal_duration == 1001
    spec = spec_of(frame_rate=Fraction(90), time_base=Fraction(1, 10))
    slow = EncoderSetup(format_for(Path("a.mov")).encoding_for("rgb", 1), "yuv444p10le", spec, {}, None)
    assert slow.nominal_duration == 1  # never none, in however coarse a unit


@pytest.mark.parametrize(
    ("cores", "threads", "used"), [(2, None, 2), (64, None, 4), (64, 3, 3), (64, 9, 4), (None, None, 1)]
)
def test_png_takes_few_threads(monkeypatch, cores, threads, used):
    """Each holds a picture."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert setup_of(Path("a.png"), threads=threads).context().thread_count == used


def test_an_encoder_is_given_what_the_frames_are():
    setup = setup_of(Path("a.mov"), "rgb")
    context = setup.context()
    assert (context.width, context.height, context.pix_fmt) == (32, 16, "yuv444p10le")
    assert (context.time_base, context.framerate) == (TIME_BASE, Fraction(30000, 1001))
    assert (context.colorspace, context.color_range) == (1, 1)
    assert (context.color_primaries, context.color_trc) == (1, 1)


# Faults


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


def test_a_picture_that_cannot_be_saved_leaves_no_half(tmp_path, monkeypatch):
    made = writer(tmp_path / "out.png", threads=1)
    write = Path.write_bytes

    def half(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StudioError, match="disk is full"):
        made.write(image(0), 0, 0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_second_frame_for_a_single_picture(tmp_path):
    made = writer(tmp_path / "out.png", single=True)
    made.write(image(0), 0, 0)
    with pytest.raises(StudioError, match="Cannot write a second frame to the single picture"):
        made.write(image(1), 1001, 1)


# What an earlier run left


def stopped(path: Path, count=3) -> Written:
    made = writer(path)
    for step in range(count):
        made.write(image(step), 1001 * step + 500, step)
    assert made.abandon(keep=True)
    return made.written


def file_resumed_from(path: Path, earlier: Written) -> ContainerFile | PictureFiles:
    if path.suffix == ".png":
        return PictureFiles(path, setup_of(path), False, False, earlier)
    return ContainerFile(path, format_for(path), setup_of(path), None, "straight", False, earlier)


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
    assert file.abandon(keep=False) is None
    assert os.listdir(tmp_path) == ["out.partial.mov"]
    assert (tmp_path / "out.partial.mov").read_bytes() == before


def test_fewer_frames_than_were_written(tmp_path):
    earlier = stopped(tmp_path / "out.mov")
    more = Written(**{**vars(earlier), "frames": 4})
    file = file_resumed_from(tmp_path / "out.mov", more)
    with pytest.raises(NotResumable, match="contains 3 frames instead of 4"):
        file.copy_resumed(lambda: False)
    file.abandon(keep=False)


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
    folder = partial_path(tmp_path / "out.png")
    (folder / "notes.txt").write_text("mine")
    assert made.abandon(keep=False) is None
    assert os.listdir(folder) == ["notes.txt"]


@pytest.mark.parametrize(("name", "kept"), [("out.mkv", True), ("out.webm", True), ("out.mov", False)])
def test_a_file_without_its_end_is_kept_where_it_plays(tmp_path, monkeypatch, name, kept):
    made = writer(tmp_path / name)
    for step in range(3):
        made.write(image(step), 1001 * step, step)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output_files, "_sync", full)
    path = made.abandon(keep=True)
    assert path == (partial_path(tmp_path / name) if kept else None)
    assert not made.resumable
    assert os.listdir(tmp_path) == ([path.name] if kept else [])


DROP = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 4), dtype=np.uint8)
rate = Fraction(25)
spec = PictureSpec(height=720, width=1280, frame_rate=rate, time_base=1 / rate, tags=ColorTags(1, 1, 1, 1))
for round in range(12):
    writer = FrameWriter(Path(sys.argv[1]) / f"{round}.png", spec, content="rgba")
    for number in range(6):
        writer.write(noise.copy(), number, number)
    if sys.argv[2] == "abandoned":
        writer.abandon(keep=False)
    del writer
print("ended")
"""


@pytest.mark.parametrize("how", ["abandoned", "dropped"])
def test_a_writer_ends_while_its_encoder_works(tmp_path, how):
    """The encoder's threads need Python's lock to let go of a picture: who waits for them must not hold it."""
    command = [sys.executable, "-c", DROP, str(tmp_path), how]
    assert subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout == "ended\n"
