"""Reading stills and image sequences: pixels, depth, orientation, numbers and every bad input."""

import gc
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ColorTags, FromRGB
from rvm_studio.core.video.orientation import display_orientation
from rvm_studio.core.video.picture_sequence import find_pictures
from rvm_studio.core.video.reader import open_reader

from .drawn_clips import BT709, assert_close, chart, read, save_chart


@pytest.mark.parametrize(("name", "limit"), [("a.png", 0), ("a.bmp", 0), ("a.tif", 0), ("a.jpg", 12), ("100%d.png", 0)])
def test_still(tmp_path: Path, name: str, limit: int):
    image = save_chart(tmp_path / name)
    reader, frames = read(tmp_path / name, Fraction(24000, 1001))
    info = reader.info
    assert (info.kind, info.width, info.height, info.frame_count, info.bit_depth) == ("still", 48, 32, 1, 8)
    assert (info.frame_rate, info.time_base) == (Fraction(24000, 1001), Fraction(1001, 24000))
    assert [(frame.pts, frame.number) for frame in frames] == [(0, 0)]
    assert_close(frames[0].image, image, limit)


def test_jpeg_is_decoded_as_full_range_bt601_and_is_srgb(tmp_path: Path):
    image = np.zeros((16, 48, 3), np.uint8)
    image[:, :16], image[:, 16:32], image[:, 32:] = (255, 255, 255), (200, 30, 60), (0, 0, 0)
    Image.fromarray(image).save(tmp_path / "j.jpg", quality=100, subsampling=0)
    reader, frames = read(tmp_path / "j.jpg")
    assert reader.info.tags == ColorTags(matrix=0, range=2, primaries=1, transfer=13)
    assert_close(frames[0].image, image, 3)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1"])
def test_still_modes(tmp_path: Path, mode: str):
    picture = Image.fromarray(chart()).convert(mode)
    picture.save(tmp_path / "m.png")
    wanted = np.asarray(picture.convert("RGB"))
    assert_close(read(tmp_path / "m.png")[1][0].image, wanted, 0)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_still_of_16_bits(tmp_path: Path, name: str):
    image = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    write_still(tmp_path / name, image)
    reader, frames = read(tmp_path / name)
    assert reader.info.bit_depth == 16
    assert np.array_equal(frames[0].image, image)


def write_still(path: Path, image: np.ndarray) -> None:
    codec = {".png": "png", ".tiff": "tiff"}[path.suffix]
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=1)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "rgb48be" if codec == "png" else "rgb48le"
        container.mux(stream.encode(FromRGB(stream.pix_fmt, BT709)(image)))
        container.mux(stream.encode())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["e.jpg", "e.png"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int):
    picture = Image.fromarray(chart())
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / name, exif=exif, **({"quality": 98} if name == "e.jpg" else {}))
    with Image.open(tmp_path / name) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    reader, frames = read(tmp_path / name)
    assert (reader.info.height, reader.info.width) == wanted.shape[:2]
    assert_close(frames[0].image, wanted, 8)


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """shot_0008 ... shot_0011 without 0010, and other files beside them."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in (8, 9, 11):
        save_chart(folder / f"shot_{number:04d}.png", number)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("tail", ["", "*.png", "shot_00*", "shot_%04d.png"])
def test_sequence_with_a_gap(sequence: Path, tail: str):
    path = sequence / tail if tail else sequence
    reader, frames = read(path, Fraction(30000, 1001))
    assert (reader.info.kind, reader.info.frame_count, reader.info.path) == ("sequence", 3, path)
    assert reader.info.time_base == Fraction(1001, 30000)
    assert [frame.pts for frame in frames] == [0, 1, 2]
    assert [frame.number for frame in frames] == [8, 9, 11]
    for frame in frames:
        assert_close(frame.image, chart(48, 32, frame.number), 0)
    assert read(path)[0].info.frame_rate == 25


def test_natural_order(tmp_path: Path):
    for number in (10, 9, 1, 100):
        save_chart(tmp_path / f"v2_take{number}.png", number)
    assert [frame.number for frame in read(tmp_path)[1]] == [1, 9, 10, 100]


def test_names_without_usable_numbers(tmp_path: Path):
    for name in ("b.png", "a.png", "c7.png"):
        save_chart(tmp_path / name)
    pictures = find_pictures(tmp_path)
    assert pictures is not None
    assert [(picture.path.name, picture.number) for picture in pictures] == [("a.png", 0), ("b.png", 1), ("c7.png", 2)]


def test_pattern_takes_printf_names_only(tmp_path: Path):
    for name in ("s_1.png", "s_01.png", "s_002.png", "s_1234.png", "s_01234.png"):
        save_chart(tmp_path / name)
    found = {
        pattern: [picture.path.name for picture in find_pictures(tmp_path / pattern) or []]
        for pattern in ("s_%03d.png", "s_%d.png")
    }
    assert found == {"s_%03d.png": ["s_002.png", "s_1234.png"], "s_%d.png": ["s_1.png", "s_1234.png"]}


def test_odd_names_that_exist_are_taken_literally(tmp_path: Path):
    folder = tmp_path / "take [1] %02d"
    folder.mkdir()
    save_chart(folder / ("a.png" if os.name == "nt" else "a*.png"))
    assert read(folder)[0].info.kind == "sequence"


def test_pictures_of_different_sizes(sequence: Path):
    save_chart(sequence / "shot_0012.png", size=(50, 32))
    with pytest.raises(StudioError, match=r"shot_0012\.png is 50x32, but .*shot_0008\.png.* 48x32"):
        read(sequence)


def test_unreadable_picture_is_noted_and_its_time_stays_free(sequence: Path):
    (sequence / "shot_0009.png").write_bytes(b"not a picture")
    reader, frames = read(sequence)
    assert [(frame.pts, frame.number) for frame in frames] == [(0, 8), (2, 11)]
    assert len(reader.damage) == 1
    assert "shot_0009.png could not be read" in reader.damage[0]


def test_nothing_to_read(tmp_path: Path):
    with pytest.raises(StudioError, match="contains no pictures"):
        open_reader(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(StudioError, match=r"contains no pictures \(1 other"):
        open_reader(tmp_path)
    with pytest.raises(StudioError, match="No picture matches"):
        open_reader(tmp_path / "*.png")
    with pytest.raises(StudioError, match=r"No picture matches .*1 other"):
        open_reader(tmp_path / "*")
    with pytest.raises(StudioError, match=r"such as s_00001\.png"):
        open_reader(tmp_path / "s_%05d.png")
    with pytest.raises(StudioError, match="does not exist"):
        open_reader(tmp_path / "nowhere" / "s_%05d.png")
    (tmp_path / "s_00001.png").write_bytes(b"")
    with pytest.raises(StudioError, match="no readable picture"):
        open_reader(tmp_path / "s_%05d.png")


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1)])
def test_bad_frame_rate(sequence: Path, rate: Fraction):
    with pytest.raises(StudioError, match="above 0"):
        open_reader(sequence, rate)


def test_a_picture_is_freed_when_it_is_let_go(tmp_path):
    """It does not wait for Python's garbage collector, which runs only after hundreds of pictures of megabytes each."""
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(tmp_path / "0.jpg")
    with av.open(str(tmp_path / "0.jpg")) as container:
        frame = next(container.decode(video=0))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert display_orientation(frame, "mjpeg") == (0, False)
        del frame
        gc.collect()
        # PyAV before 17 leaves the description of a frame's format behind, without the frame
        assert [thing for thing in gc.garbage if not type(thing).__name__.startswith(("VideoFormat", "tuple"))] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
