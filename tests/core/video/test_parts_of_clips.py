"""Reading a part of a clip, from a start and for a duration: the frames are those of the whole clip."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import container as video_container
from rvm_studio.core.video import video_reader
from rvm_studio.core.video.reader import open_reader

from .drawn_clips import chart, read, save_chart, write_clip

B_FRAMES = {"g": "10", "bf": "3", "x264-params": "b-pyramid=normal:open-gop=1"}
VARYING = list(itertools.accumulate([40, 1, 90, 33, 250, 7] * 8, initial=300))[:40]  # milliseconds


def read_part(path: Path, start: Fraction | float = 0, duration: Fraction | float | None = None):
    with open_reader(path, start=start, duration=duration) as reader:
        return reader, list(reader)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options", "times"),
    [
        ("b.mp4", "libx264", "yuv420p", B_FRAMES, None),
        ("b.mov", "libx264", "yuv420p", B_FRAMES, VARYING),
        ("b.mkv", "libx264", "yuv420p", B_FRAMES, VARYING),
        ("one_key.mp4", "libx264", "yuv420p", {"g": "1000"}, None),
        ("h.mkv", "libx265", "yuv420p", {"x265-params": "log-level=error:keyint=10:bframes=4:open-gop=1"}, None),
        ("v.webm", "libvpx-vp9", "yuv420p", {"g": "8", "deadline": "realtime", "cpu-used": "8"}, VARYING),
        ("p.mov", "prores_ks", "yuv422p10le", {}, None),
        ("t.ts", "libx264", "yuv420p", B_FRAMES, None),
        ("a.avi", "mpeg4", "yuv420p", {"g": "10", "bf": "2"}, None),
    ],
)
def test_a_part_is_what_the_whole_has_there(tmp_path: Path, name, codec, pix_fmt, options, times):
    path = tmp_path / name
    write_clip(path, [chart(index=i) for i in range(40)], codec, pix_fmt, options=options, times=times)
    reader, whole = read(path)
    base = reader.info.time_base
    clock = [frame.pts for frame in whole]
    for first in (1, 2, 9, 10, 11, 19, 23, 38, 39):
        for count in (1, 7, None):
            last = min(39, 40 if count is None else first + count - 1)
            # from just after the previous frame to just after the last one
            start = (clock[first - 1] + 1) * base
            duration = None if count is None else (clock[last] + 1) * base - start
            part_reader, part = read_part(path, start, duration)
            assert [frame.pts for frame in part] == [pts - clock[first] for pts in clock[first : last + 1]]
            for ours, theirs in zip(part, whole[first : last + 1], strict=True):
                assert np.array_equal(ours.image, theirs.image)
            assert part_reader.info.begins == clock[first] * base
            assert part_reader.info.ends == (None if count is None else start + duration)
            assert part_reader.damage == []
            assert [frame.number for frame in part] == list(range(len(part)))
            if times is None:
                assert abs(part_reader.info.frame_count - len(part)) <= 1


@pytest.mark.parametrize("name", ["t.ts", "a.avi"])
def test_a_search_that_misses_the_key_frame_is_not_trusted(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    """Transport streams are searched by decoding times, and for any packet."""
    monkeypatch.setattr(video_container, "_INDEXED", {"mpegts", "avi"})
    codec = "mpeg4" if name == "a.avi" else "libx264"
    options = {"g": "10", "bf": "2"}
    write_clip(tmp_path / name, [chart(index=i) for i in range(60)], codec, "yuv420p", options=options)
    reader, whole = read(tmp_path / name)
    for first in range(1, 60):
        _, part = read_part(tmp_path / name, whole[first].pts * reader.info.time_base)
        assert len(part) == 60 - first
        for ours, theirs in zip(part, whole[first:], strict=True):
            assert np.array_equal(ours.image, theirs.image)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_part_is_not_decoded_from_the_beginning(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    path = write_clip(tmp_path / name, [chart(index=i) for i in range(60)], options={"g": "10", "bf": "0"})
    decoded = []
    decode = video_reader.VideoReader._decode

    def counted(reader):
        for frame in decode(reader):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video_reader.VideoReader, "_decode", counted)
    _, part = read_part(path, Fraction(47, 25), Fraction(5, 25))
    assert len(part) == 5
    assert len(decoded) <= 14  # from a key frame at most 10 before


def test_the_ends_of_a_part_are_rounded_down_to_the_clock(clip: Path):
    """As in ComfyUI: int(seconds / time_base), the first frame included, the last not, apart from float errors."""
    unit = read(clip)[0].info.time_base
    for start, duration in ((0.12, 0.08), (0.58, 0.2), (1.1, 0.3), (0.2999, 0.2)):
        begin, end = int(start / unit + 1e-6), int((start + duration) / unit + 1e-6)
        wanted = [i for i in range(60) if begin <= Fraction(i, 25) / unit < end]
        reader, part = read_part(clip, start, duration)
        assert [(reader.info.begins + frame.pts * unit) * 25 for frame in part] == wanted
    reader, part = read_part(clip, 0, 0)  # in ComfyUI this means the whole clip
    assert len(part) == 60
    assert (reader.info.begins, reader.info.ends) == (0, None)


def test_a_clock_that_does_not_begin_at_zero(tmp_path: Path):
    """As in most transport streams: the frames' times begin at 0, and so do those of its parts."""
    times = [1400 + 40 * i for i in range(20)]
    path = write_clip(tmp_path / "late.ts", [chart(index=i) for i in range(20)], pix_fmt="yuv420p", times=times)
    with av.open(str(path)) as container:
        assert container.start_time > av.time_base
    reader, whole = read(path)
    assert [frame.pts * reader.info.time_base for frame in whole] == [Fraction(i, 25) for i in range(20)]
    part_reader, part = read_part(path, Fraction(2, 25), Fraction(5, 25))
    assert [frame.pts * reader.info.time_base for frame in part] == [Fraction(i, 25) for i in range(5)]
    assert np.array_equal(part[0].image, whole[2].image)
    assert part_reader.info.begins == Fraction(2, 25)
    assert abs(part_reader.info.frame_count - 5) <= 1
    with pytest.raises(StudioError, match=r"no frame that can be decoded between 1\.5 s and its end"):
        open_reader(path, start=1.5)


def test_a_part_of_a_sequence(tmp_path: Path):
    for number in range(1001, 1011):
        save_chart(tmp_path / f"s_{number}.png", index=number - 1001)
    with open_reader(tmp_path, Fraction(10), start=0.3, duration=0.4) as reader:
        frames = list(reader)
        assert [(frame.pts, frame.number) for frame in frames] == [(i, 1004 + i) for i in range(4)]
        assert reader.info.frame_count == 4
    with pytest.raises(
        StudioError, match=r"no picture between 1 s and its end: its 10 pictures end at 1 s \(at 10 fps\)"
    ):
        open_reader(tmp_path, Fraction(10), start=1)


def test_parts_that_cannot_be(clip: Path):
    with pytest.raises(StudioError, match=r"no frame that can be decoded between 2\.4 s and its end"):
        open_reader(clip, start=2.4)
    for start, duration in ((-1, None), (float("nan"), None), (float("inf"), 1), (0, -1), (0, float("inf"))):
        with pytest.raises(StudioError, match="expected a start of at least 0"):
            open_reader(clip, start=start, duration=duration)


@pytest.mark.parametrize("kind", ["video", "sequence"])
def test_skipped_frames_come_without_their_image(clip: Path, tmp_path: Path, kind: str):
    path = clip
    if kind == "sequence":
        path = tmp_path / "s"
        path.mkdir()
        for number in range(6):
            save_chart(path / f"{number}.png", index=number)
    _, whole = read(path)
    with open_reader(path) as reader:
        reader.skip = 4
        frames = list(reader)
    assert [(frame.pts, frame.number) for frame in frames] == [(frame.pts, frame.number) for frame in whole]
    assert [len(frame.image) for frame in frames[:5]] == [0, 0, 0, 0, len(whole[4].image)]
    assert np.array_equal(frames[5].image, whole[5].image)
