"""Animated pictures: whether they are, and their times, as Pillow wrote them."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.video.animation_times import frame_delays, is_single_picture, picture_kind

FRAMES = [Image.fromarray(np.full((8, 12, 3), 60 * step, np.uint8)) for step in range(4)]
Image.init()
KINDS = ["gif", "png", "apng", "webp", *(["avif"] if ".avif" in Image.registered_extensions() else [])]


def animation(path, frames=FRAMES, duration=(40, 80, 40, 120), **options):
    kind = {".apng": "PNG"}.get(path.suffix)
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=list(duration), **options)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_delays(tmp_path, kind):
    path = animation(tmp_path / f"a.{kind}")
    assert frame_delays(path) == [Fraction(1, 25), Fraction(2, 25), Fraction(1, 25), Fraction(3, 25)]
    assert picture_kind(path) == "animation"
    assert not is_single_picture(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_still(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    FRAMES[1].save(path, {"apng": "PNG"}.get(kind))
    assert frame_delays(path) == []
    assert picture_kind(path) != "animation"
    assert is_single_picture(path)


@pytest.mark.parametrize(
    ("kind", "given", "played"), [("gif", 0, 100), ("gif", 10, 100), ("gif", 20, 20), ("webp", 0, 100)]
)
def test_what_is_too_short_plays_as_in_browsers(tmp_path, kind, given, played):
    path = animation(tmp_path / f"a.{kind}", duration=[given, 40, 40, 40])
    assert frame_delays(path)[0] == Fraction(played, 1000)


def test_a_truncated_file_has_the_frames_that_begin_in_it(tmp_path):
    noise = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8)) for n in range(4)]
    for kind in ("gif", "png", "webp"):
        path = animation(tmp_path / f"a.{kind}", noise)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 5 // 8])
        assert len(frame_delays(path)) == 3
        path.write_bytes(data[:15])
        assert frame_delays(path) == []


def test_other_files(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"no picture at all")
    (tmp_path / "b.webp").touch()
    (tmp_path / "c.png").mkdir()
    for name in ("a.gif", "b.webp", "c.png", "missing.png"):
        assert picture_kind(tmp_path / name) != "animation"
    FRAMES[0].save(tmp_path / "a.jpg")
    assert picture_kind(tmp_path / "a.jpg") != "animation"
    assert is_single_picture(tmp_path / "a.jpg")
    assert not is_single_picture(tmp_path / "missing.jpg")
    assert not is_single_picture(tmp_path)
