"""Names of the writer's outputs: the final name at the end only, partial files, sequences, stills."""

import os
import re

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.writer import FrameWriter

from .small_outputs import names
from .written_clips import make_image, make_writer, read_back, write_clip

# --- one file

TARGETS = [
    ("out.mov", "rgba"),
    ("out.webm", "rgba"),
    ("out.mkv", "rgba"),
    ("out.apng", "rgba"),
    ("out.webp", "rgba"),
    ("out.mp4", "rgb"),
]


@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_the_final_name_appears_at_the_end_only(tmp_path, name, content):
    path = tmp_path / "new" / "folder" / name
    writer = make_writer(path, content)
    for i in range(3):
        writer.write(make_image(content, step=i), 1001 * i, i)
        (partial,) = names(path.parent)
        assert re.fullmatch(rf"out\.[0-9a-f]{{8}}\.partial\{path.suffix}", partial)
    assert writer.finish() == path
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_abandoned_and_kept_it_plays(tmp_path, name, content):
    path = tmp_path / name
    writer = make_writer(path, content)
    images = [make_image(content, step=i) for i in range(5)]
    for i, image in enumerate(images):
        writer.write(image, 1001 * i, i)
    partial = writer.abandon(keep=True)
    assert partial == tmp_path / f"out.partial{path.suffix}"
    assert names(tmp_path) == [partial.name]
    assert len(read_back(partial)) == 5


@pytest.mark.parametrize(("keep", "frames"), [(False, 0), (False, 3), (True, 0)])
@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_abandoned_without_a_trace(tmp_path, name, content, keep, frames):
    writer = make_writer(tmp_path / name, content)
    for i in range(frames):
        writer.write(make_image(content, step=i), 1001 * i, i)
    assert writer.abandon(keep) is None
    assert os.listdir(tmp_path) == []


def test_an_existing_output_stays_unless_overwritten(tmp_path):
    path = tmp_path / "out.mov"
    path.write_bytes(b"mine")
    with pytest.raises(StudioError, match="exists already"):
        make_writer(path)
    assert os.listdir(tmp_path) == ["out.mov"]
    writer = make_writer(path, overwrite=True)
    writer.write(make_image(), 0, 0)
    assert path.read_bytes() == b"mine"  # until the last step
    writer.finish()
    assert len(read_back(path)) == 1


def test_names_that_libav_would_misread(tmp_path):
    for name in ("a:b.mkv", "%03d.mkv", "ä ö.mkv"):
        if os.name == "nt" and ":" in name:
            continue
        path, _ = write_clip(tmp_path / name)
        assert path.name == name
        assert path.exists()


# --- sequences and stills


def write_sequence(path, numbers=(1001, 1002, 1003), **more) -> FrameWriter:
    writer = make_writer(path, **more)
    for i, number in enumerate(numbers):
        writer.write(make_image(step=i), 1001 * i, number)
    return writer


@pytest.mark.parametrize(
    ("name", "expected"),
    [("matte.png", "matte/{:05d}.png"), ("shot/a_%04d.png", "shot/a_{:04d}.png"), ("shot/%d.png", "shot/{}.png")],
)
def test_sequences_keep_their_numbers(tmp_path, name, expected):
    writer = write_sequence(tmp_path / name)
    assert not (tmp_path / expected.format(1001)).exists()
    folder = writer.finish()
    assert folder == (tmp_path / expected).parent
    assert os.listdir(tmp_path) == [folder.name]
    assert sorted(folder.iterdir()) == [tmp_path / expected.format(n) for n in (1001, 1002, 1003)]
    for i, file in enumerate(sorted(folder.iterdir())):
        assert np.array_equal(np.asarray(Image.open(file)), make_image(step=i))


def test_sequence_into_a_folder_that_is_there(tmp_path):
    folder = tmp_path / "shot"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    write_sequence(folder / "a_%04d.png").finish()
    names = ["a_1001.png", "a_1002.png", "a_1003.png", "notes.txt"]
    assert sorted(os.listdir(folder)) == names
    with pytest.raises(StudioError, match=r"a_1001.png exists already"):
        make_writer(folder / "a_%04d.png")
    assert sorted(os.listdir(folder)) == names
    write_sequence(folder / "a_%04d.png", [1002], overwrite=True).finish()
    assert sorted(os.listdir(folder)) == ["a_1002.png", "notes.txt"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a_%05d.png", "fg_%05d.png"),
        ("%05d.png", "frames_%05d.png"),
        ("a_%05d.png", "a-%05d.png"),
        ("a%03d.png", "a%05d.png"),
        ("a#%d.png", "a%02d.png"),
        ("a5%d.png", "a%05d.png"),
    ],
)
def test_two_sequences_into_one_folder(tmp_path, first, second, there):
    folder = tmp_path / "new" / "x"
    if there:
        folder.mkdir(parents=True)
    patterns = (first, second)
    writers = [make_writer(folder / pattern) for pattern in patterns]
    for i in range(3):
        for step, writer in enumerate(writers):
            writer.write(make_image(step=2 * i + step), 1001 * i, i)
    assert not list(folder.glob("*.png"))
    for writer in writers:
        assert writer.finish() == folder
    assert os.listdir(folder.parent) == ["x"]
    assert sorted(os.listdir(folder)) == sorted(pattern % i for pattern in patterns for i in range(3))
    for step, pattern in enumerate(patterns):
        for i in range(3):
            assert np.array_equal(np.asarray(Image.open(folder / (pattern % i))), make_image(step=2 * i + step))


def test_one_of_two_sequences_abandoned(tmp_path):
    done, stopped = write_sequence(tmp_path / "x" / "a_%d.png", [1]), write_sequence(tmp_path / "x" / "b_%d.png", [1])
    assert stopped.abandon(keep=False) is None
    assert done.finish() == tmp_path / "x"
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "a_1.png"]


def test_sequences_whose_names_overlap(tmp_path):
    """a1000.png also matches a%03d.png. It did not exist when that job began, so it stays."""
    one, other = write_sequence(tmp_path / "x" / "a1%03d.png", [0]), write_sequence(tmp_path / "x" / "a%03d.png", [0])
    one.finish()
    other.finish()
    assert sorted(os.listdir(tmp_path / "x")) == ["a000.png", "a1000.png"]


@pytest.mark.parametrize("there", [False, True])
def test_sequence_abandoned(tmp_path, there):
    folder = tmp_path / "shot"
    if there:
        folder.mkdir()
    partial = write_sequence(folder / "a_%04d.png").abandon(keep=True)
    assert partial is not None
    assert "partial" in partial.name
    assert sorted(os.listdir(partial)) == ["a_1001.png", "a_1002.png", "a_1003.png"]
    assert not list(tmp_path.glob("shot/*.png"))
    # the left-over frames do not get into the output of the next job
    assert write_sequence(folder / "a_%04d.png", [1]).abandon(keep=False) is None
    assert not list(tmp_path.rglob("*.png"))


def test_a_still_is_one_file(tmp_path):
    writer = make_writer(tmp_path / "matte.png", single=True)
    writer.write(make_image(), 0, 0)
    assert not (tmp_path / "matte.png").exists()
    assert writer.finish() == tmp_path / "matte.png"
    assert os.listdir(tmp_path) == ["matte.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "matte.png")), make_image())
    with pytest.raises(StudioError, match="exists already"):
        make_writer(tmp_path / "matte.png", single=True)


def test_a_still_has_no_second_frame(tmp_path):
    writer = make_writer(tmp_path / "matte.png", single=True)
    writer.write(make_image(), 0, 0)
    with pytest.raises(StudioError, match="second frame"):
        writer.write(make_image(), 1, 1)
    assert writer.abandon(keep=False) is None
    assert os.listdir(tmp_path) == []


def test_a_still_named_by_a_pattern(tmp_path):
    path = tmp_path / "still_%03d.png"
    (tmp_path / "still_007.png").write_bytes(b"mine")
    writer = make_writer(path, single=True)
    writer.write(make_image(), 0, 0)
    assert writer.finish() == tmp_path / "still_000.png"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "still_000.png")), make_image())

    again = make_writer(path, single=True)
    with pytest.raises(StudioError, match=r"still_007.png exists already"):
        again.write(make_image(), 0, 7)
    again.abandon(keep=False)
    assert (tmp_path / "still_007.png").read_bytes() == b"mine"
    over = make_writer(path, single=True, overwrite=True)
    over.write(make_image(step=1), 0, 7)
    over.finish()
    assert sorted(os.listdir(tmp_path)) == ["still_000.png", "still_007.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "still_007.png")), make_image(step=1))
