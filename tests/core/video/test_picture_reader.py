"""Pictures as frames, equal to what Pillow reads: their times, and what is turned, trimmed, skipped or unreadable."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.frame_reader import Span
from rvm_studio.core.video.picture_reader import PictureReader
from rvm_studio.core.video.picture_sequence import Picture
from rvm_studio.core.video.still_picture import DROPPED_ALPHA

WHOLE = Span(0, None)


def pixels(index: int, size=(6, 10)) -> np.ndarray:
    """[H, W, 3]: noise, another for each index."""
    return np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture
def pictures(tmp_path) -> list[Picture]:
    """Five pictures, numbered 10, 20 ... 50."""
    found = []
    for index in range(5):
        path = tmp_path / f"p{10 * index + 10}.png"
        Image.fromarray(pixels(index)).save(path)
        found.append(Picture(path, 10 * index + 10))
    return found


def reader(pictures: list[Picture], span: Span = WHOLE, rate: Fraction = Fraction(5)) -> PictureReader:
    return PictureReader(pictures[0].path.parent, "sequence", pictures, rate, span)


def test_all_pictures_are_frames(pictures):
    with reader(pictures) as clip:
        info, frames = clip.info, list(clip)
    assert (info.height, info.width, info.bit_depth, info.frame_count) == (6, 10, 8, 5)
    assert (info.frame_rate, info.time_base, info.sample_aspect_ratio) == (5, Fraction(1, 5), 1)
    assert [(frame.pts, frame.number) for frame in frames] == [(0, 10), (1, 20), (2, 30), (3, 40), (4, 50)]
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.image, pixels(index))


@pytest.mark.parametrize(
    ("start", "duration", "indices"),
    [(0.4, None, [2, 3, 4]), (0.2, 0.4, [1, 2]), (0, 0.2, [0]), (0.8, 9, [4]), (0.39, 0.2, [1])],
)
def test_a_part_begins_at_zero(pictures, start, duration, indices):
    clip = reader(pictures, Span(start, duration))
    assert clip.info.frame_count == len(indices)
    frames = list(clip)
    assert [frame.pts for frame in frames] == list(range(len(indices)))
    assert [frame.number for frame in frames] == [10 * index + 10 for index in indices]
    assert np.array_equal(frames[0].image, pixels(indices[0]))


def test_a_part_without_pictures(pictures):
    with pytest.raises(
        StudioError, match=r"no picture between 1 s and its end: its 5 pictures end at 1 s \(at 5 fps\)"
    ):
        reader(pictures, Span(1, None))


def test_an_unreadable_picture_leaves_its_time_free(pictures):
    pictures[0].path.write_bytes(b"")
    pictures[2].path.write_bytes(b"no picture")
    clip = reader(pictures)
    frames = list(clip)
    assert [(frame.pts, frame.number) for frame in frames] == [(1, 20), (3, 40), (4, 50)]
    assert [line.split(" could not be read")[0] for line in clip.damage] == ["picture p10.png", "picture p30.png"]
    assert clip.info.frame_count == 5


def test_a_part_that_begins_with_an_unreadable_picture(pictures):
    pictures[1].path.write_bytes(b"")
    clip = reader(pictures, Span(0.2, None))
    assert [(frame.pts, frame.number) for frame in clip] == [(0, 30), (1, 40), (2, 50)]


def test_nothing_readable(pictures):
    for picture in pictures:
        picture.path.write_bytes(b"")
    with pytest.raises(StudioError, match=r"has no readable picture: picture p10\.png could not be read"):
        reader(pictures)


def test_skipped_frames_have_no_pixels(pictures):
    clip = reader(pictures)
    clip.skip = 3
    frames = list(clip)
    assert [frame.image.shape for frame in frames[:3]] == [(0, 0, 3)] * 3
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4]
    assert np.array_equal(frames[3].image, pixels(3))


def test_sizes_that_differ_only_before_the_turn_are_one_size(tmp_path, pictures):
    """EXIF 6: turn clockwise by 90 degrees to stand upright."""
    stored = pixels(7, (10, 6))
    tag = Image.Exif()
    tag[0x0112] = 6
    turned = tmp_path / "p60.png"
    Image.fromarray(stored).save(turned, exif=tag)
    frames = list(reader([*pictures, Picture(turned, 60)]))
    assert np.array_equal(frames[5].image, np.rot90(stored, -1))


def test_another_size_is_refused_when_it_comes(tmp_path, pictures):
    Image.fromarray(pixels(0, (6, 12))).save(tmp_path / "p60.png")
    frames = iter(reader([*pictures, Picture(tmp_path / "p60.png", 60)]))
    assert [next(frames).number for _ in range(5)] == [10, 20, 30, 40, 50]
    with pytest.raises(StudioError, match=r"p60\.png is 12x6, but .*p10\.png, the first of the sequence, is 10x6\."):
        next(frames)


def test_the_depth_is_that_of_the_first_picture(tmp_path):
    deep = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(pixels(0)).save(tmp_path / "flat.png")
    both = [Picture(tmp_path / "deep.png", 1), Picture(tmp_path / "flat.png", 2)]
    clip = reader(both)
    first, second = clip
    assert clip.info.bit_depth == 16
    assert np.array_equal(first.image, np.repeat(deep[..., None], 3, 2))
    assert second.image.dtype == np.uint16
    assert np.array_equal(second.image, pixels(0).astype(np.uint16) * 257)
    assert clip.notes == []
    first, second = (clip := reader(both[::-1]))
    assert (clip.info.bit_depth, second.image.dtype) == (8, np.uint8)
    assert np.array_equal(second.image, np.repeat(np.rint(deep / 257).astype(np.uint8)[..., None], 3, 2))
    assert clip.notes == ["pictures of more than 8 bits were reduced to 8, which the first of the sequence has"]


def test_what_differs_between_pictures_is_said_once(tmp_path, pictures):
    alpha = np.full((6, 10, 1), 9, np.uint8)
    for number in (60, 70):
        Image.fromarray(np.dstack([pixels(0), alpha])).save(tmp_path / f"p{number}.png")
        pictures.append(Picture(tmp_path / f"p{number}.png", number))
    clip = reader(pictures)
    assert len(list(clip)) == 7
    assert clip.notes == [DROPPED_ALPHA]


def test_a_name_with_a_percent_sign_is_no_pattern(tmp_path):
    path = tmp_path / "100%03d.png"
    Image.fromarray(pixels(3)).save(path)
    Image.fromarray(pixels(4)).save(tmp_path / "100001.png")
    (frame,) = PictureReader(Path(path), "still", [Picture(path, 0)], Fraction(25), WHOLE)
    assert np.array_equal(frame.image, pixels(3))
