"""Animated pictures as clips, against the frames that they were made from."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.reader import check_source, open_reader
from rvm_studio.core.video.still_picture import DROPPED_ALPHA

from .test_animation_times import KINDS, animation

COLORS = [np.uint8([40 * step, 255 - 30 * step, 90]) for step in range(5)]
FRAMES = []
for step, color in enumerate(COLORS):
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[4:12, 4 + step : 20 + step] = color  # partial frames in GIF, APNG and WebP
    FRAMES.append(Image.fromarray(picture))
DELAYS = [40, 40, 80, 40, 120]


def check(reader, expected=FRAMES, tolerance=0):
    frames = list(reader)
    assert len(frames) == len(expected)
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame.image.astype(int) - np.asarray(image)).max() <= tolerance
    return frames


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_times(tmp_path, kind):
    options = {"webp": {"lossless": True}, "avif": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    path = animation(tmp_path / f"a.{kind}", FRAMES, DELAYS, **options)
    check_source(path)
    with open_reader(path) as reader:
        info, frames = reader.info, check(reader, tolerance=4 if kind == "avif" else 0)
    assert (info.kind, info.height, info.width, info.bit_depth, info.frame_count) == ("animation", 24, 32, 8, 5)
    assert (info.time_base, info.frame_rate) == (Fraction(1, 25), Fraction(5000, 320))
    assert [frame.pts for frame in frames] == [0, 1, 2, 4, 5]
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert (reader.notes, reader.damage) == ([], [])


def test_a_constant_rate(tmp_path):
    with open_reader(animation(tmp_path / "a.webp", FRAMES, [42] * 5, lossless=True)) as reader:
        assert (reader.info.frame_rate, reader.info.time_base) == (Fraction(500, 21), Fraction(21, 500))
        assert [frame.pts for frame in reader] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "delays", "rate"),
    [
        ("webp", [42, 42, 41, 42, 42, 41], Fraction(24)),
        ("webp", [33, 34, 33, 33, 34, 33], Fraction(30)),
        ("gif", [30, 40, 30, 30, 40, 30], Fraction(30)),
        ("webp", [33, 34, 33, 60, 34, 33], None),
        ("gif", [30, 30, 30, 30, 60, 30], None),
    ],
)
def test_a_constant_rate_in_rounded_times(tmp_path, kind, delays, rate):
    frames = [*FRAMES, FRAMES[0]]
    with open_reader(animation(tmp_path / f"a.{kind}", frames, delays)) as reader:
        pts = [frame.pts for frame in reader]
        if rate is None:
            assert [time * reader.info.time_base for time in pts] == [Fraction(sum(delays[:n]), 1000) for n in range(6)]
        else:
            assert (reader.info.frame_rate, reader.info.time_base, pts) == (rate, 1 / rate, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("start", "duration", "numbers", "pts"),
    [(0.04, None, [1, 2, 3, 4], [0, 1, 3, 4]), (0.08, 0.1, [2, 3], [0, 2]), (0, 0.05, [0, 1], [0, 1])],
)
def test_a_part(tmp_path, start, duration, numbers, pts):
    path = animation(tmp_path / "a.gif", FRAMES, DELAYS)
    duration = 0.08 if duration == 0.05 else duration
    duration = 0.12 if duration == 0.1 else duration
    with open_reader(path, start=start, duration=duration) as reader:
        assert reader.info.frame_count == len(numbers)
        frames = check(reader, [FRAMES[number] for number in numbers])
    assert [frame.pts for frame in frames] == pts
    with pytest.raises(StudioError, match=r"no frame between 1 s and its end: it ends after 0\.32 s"):
        open_reader(path, start=1)


def test_skipped_frames(tmp_path):
    with open_reader(animation(tmp_path / "a.gif", FRAMES, DELAYS)) as reader:
        reader.skip = 2
        frames = list(reader)
    assert [len(frame.image) for frame in frames] == [0, 0, 24, 24, 24]
    assert np.array_equal(frames[2].image, FRAMES[2])


def test_a_picture_that_is_not_part_of_the_animation(tmp_path):
    path = animation(tmp_path / "a.png", [Image.new("RGB", (32, 24), "red"), *FRAMES], DELAYS, default_image=True)
    with open_reader(path) as reader:
        check(reader)


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_transparency(tmp_path, kind):
    frames = [image.convert("RGBA") for image in FRAMES]
    for image in frames:
        image.putalpha(Image.fromarray(np.where(np.asarray(image)[..., :3].any(-1), 255, 0).astype(np.uint8)))
    options = {"lossless": True, "exact": True} if kind == "webp" else {"disposal": 2} if kind == "gif" else {}
    with open_reader(animation(tmp_path / f"a.{kind}", frames, DELAYS, **options)) as reader:
        images = [frame.image for frame in reader]
    assert reader.notes == [DROPPED_ALPHA]
    for image, expected in zip(images, FRAMES, strict=True):
        opaque = np.asarray(expected).any(-1)
        assert np.array_equal(image[opaque], np.asarray(expected)[opaque])


def test_a_truncated_animation(tmp_path):
    noise = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8)) for n in range(4)]
    path = animation(tmp_path / "a.png", noise, [40] * 4)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 8])
    with open_reader(path) as reader:
        check(reader, noise[:2])
    assert [line.split(" (")[0] for line in reader.damage] == ["frame 2 and those after it could not be decoded"]


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_truncated_animation_is_damaged_or_an_error(tmp_path, kind):
    noise = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8)) for n in range(4)]
    path = animation(tmp_path / f"a.{kind}", noise, [40] * 4)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 8])
    if kind == "webp":
        with pytest.raises(StudioError, match="cannot be read as an animated picture"):
            open_reader(path)
        return
    with open_reader(path) as reader:
        assert len(list(reader)) in (2, 3)
        assert reader.damage


def test_one_frame_is_a_still(tmp_path):
    for kind in ("gif", "webp", "png", "apng"):
        path = tmp_path / f"a.{kind}"
        FRAMES[1].save(path, {"apng": "PNG"}.get(kind), **({"lossless": True} if kind == "webp" else {}))
        check_source(path)
        with open_reader(path) as reader:
            assert reader.info.kind == "still"
            check(reader, FRAMES[1:2])
