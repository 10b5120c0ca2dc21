"""Interlaced clips: how they are marked on their way through, and whole frames made of them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.deinterlacing import FieldMark, check_mode, field_order_of
from rvm_studio.core.video.reader import open_reader

from .test_timeline import copied

HEIGHT, WIDTH, FIELDS = 64, 96, 24


def moved(field: int) -> np.ndarray:
    """[H, W, 3]: a bright bar that moves by 3 pixels from field to field."""
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, 3 * field : 3 * field + 12] = 220
    return image


def interlaced_clip(path: Path, order: str, codec="ffv1", pix_fmt="yuv422p", **options: str) -> Path:
    """25 frames of two fields, 50 fields a second."""
    mark = FieldMark(order)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pix_fmt
        stream.codec_context.options = {"field_order": "tb" if order == "top" else "bt", **options}
        for i in range(FIELDS // 2):
            first, second = moved(2 * i), moved(2 * i + 1)
            woven = first.copy()
            woven[1 if order == "top" else 0 :: 2] = second[1 if order == "top" else 0 :: 2]
            frame = mark(av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format=pix_fmt))
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def marked_as(path: Path) -> set[str]:
    with av.open(str(path)) as container:
        return {field_order_of(frame) for frame in container.decode(video=0)}


def bar_of(image: np.ndarray) -> tuple[float, float]:
    """(where the bar begins, how much that differs from line to line)."""
    begins = (image[..., 1] > 130).argmax(1)
    return float(begins.mean()), float(np.abs(np.diff(begins)).mean())


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("order", ["top", "bottom"])
def test_interlaced_clips_stay_marked(tmp_path, order, suffix):
    source = interlaced_clip(tmp_path / "in.mkv", order)
    assert marked_as(source) == {order}
    damage, notes = copied(source, tmp_path / f"out{suffix}")
    assert damage == []
    assert notes == [
        f"the frames are interlaced ({order} field first) and stay so; deinterlace them for a cleaner matte"
    ]
    assert marked_as(tmp_path / f"out{suffix}") == {order}
    with open_reader(source) as wanted, open_reader(tmp_path / f"out{suffix}") as found:
        for ours, theirs in zip(found, wanted, strict=True):
            eight = ours.image if ours.image.dtype == np.uint8 else ours.image / 257
            assert np.abs(eight - theirs.image).mean() < 1


def test_what_cannot_be_marked_is_noted(tmp_path):
    _, notes = copied(interlaced_clip(tmp_path / "in.mkv", "top"), tmp_path / "out.mp4")
    assert any("is not marked as interlaced" in note for note in notes)


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize("mode", ["frame", "field"])
def test_whole_frames(tmp_path, mode, order):
    source = interlaced_clip(tmp_path / "in.mkv", order)
    per_frame = 2 if mode == "field" else 1
    with open_reader(source, deinterlace=mode) as reader:
        frames = list(reader)
        info = reader.info
    assert len(frames) == FIELDS // 2 * per_frame == info.frame_count
    assert (info.frame_rate, info.field_order) == (25 * per_frame, "progressive")
    assert [frame.pts * info.time_base for frame in frames] == [Fraction(i, 25 * per_frame) for i in range(len(frames))]
    for number, frame in list(enumerate(frames))[2:-2]:
        begin, ragged = bar_of(frame.image)
        assert begin == pytest.approx(3 * number * 2 / per_frame, abs=1.5)
        assert ragged < 1  # woven, every line would be 3 pixels beside its neighbours


def test_a_part_is_what_the_whole_has_there(tmp_path):
    source = interlaced_clip(tmp_path / "in.mkv", "top")
    with open_reader(source, deinterlace="field") as reader:
        whole = list(reader)
    with open_reader(source, start=Fraction(7, 50), duration=Fraction(6, 50), deinterlace="field") as reader:
        part = list(reader)
        assert reader.info.begins == Fraction(7, 50)
    assert len(part) == 6
    for ours, theirs in zip(part, whole[7:13], strict=True):
        assert np.array_equal(ours.image, theirs.image)


def test_frames_that_are_not_marked(tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv422p"
        for i in range(8):
            frame = av.VideoFrame.from_ndarray(moved(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_reader(tmp_path / "in.mkv", deinterlace="frame") as reader:
        assert len(list(reader)) == 8
    assert "not marked as interlaced" in reader.notes[0]


def test_unknown_mode():
    with pytest.raises(StudioError, match="Use no, frame, field"):
        check_mode("bob")
