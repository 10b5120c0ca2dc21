"""Reading videos, sequences and stills: pixels, exact times, rotation, damage and every bad input."""

import gc
import itertools
import os
import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import container as video_container
from rvm_studio.core.video import video_reader
from rvm_studio.core.video.color import ColorTags, FromRGB
from rvm_studio.core.video.orientation import display_orientation
from rvm_studio.core.video.picture_sequence import find_pictures
from rvm_studio.core.video.reader import FrameReader, SourceFrame, open_reader

BT709 = ColorTags(1, 1, 1, 1)
BT601 = ColorTags(6, 1, 6, 6)


def chart(width: int = 96, height: int = 64, index: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: smooth, and different in every corner, so that turns and flips show; blue tells the frame."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 40 + 160 * x / width, 60 + 120 * y / height
    return np.stack([red, green, np.full(red.shape, 20 + 3 * index)], -1).astype(np.uint8)


def write_clip(
    path: Path,
    images: Sequence[np.ndarray],
    codec: str = "libx264",
    pix_fmt: str = "yuv444p",
    tags: ColorTags = BT709,
    tagged: bool = True,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    audio: bool = False,
) -> Path:
    """25 frames per second, or `times` in milliseconds."""
    crf = {"crf": "0"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=crf | (options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        if times is not None:
            context.time_base = Fraction(1, 1000)
        if tagged:
            context.colorspace, context.color_range = tags.matrix, tags.range
            context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        sound = container.add_stream("aac", rate=48000) if audio else None
        convert = FromRGB(pix_fmt, tags)
        for index, image in enumerate(images):
            frame = convert(image)
            if not tagged:
                frame.colorspace, frame.color_range = 2, 0
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, 25) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 48000, 0
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return path


def read(path: Path | str, frame_rate: Fraction | None = None) -> tuple[FrameReader, list[SourceFrame]]:
    with open_reader(path, frame_rate) as reader:
        return reader, list(reader)


def assert_close(found: np.ndarray, wanted: np.ndarray, limit: float) -> None:
    """In steps of 8 bits. YUV of 8 bits in limited range alone may cost 2: half a step of each of y, u and v."""
    assert found.shape == wanted.shape
    scale = 257 if found.dtype == np.uint16 else 1
    assert np.abs(found / scale - wanted).max() <= limit


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """60 frames, a key frame every 10."""
    return write_clip(tmp_path / "clip.mp4", [chart(index=i) for i in range(60)], options={"g": "10"})


# ---- videos


def test_plain_video(clip: Path):
    reader, frames = read(clip)
    info = reader.info
    assert (info.kind, info.width, info.height, info.bit_depth) == ("video", 96, 64, 8)
    assert (info.frame_rate, info.frame_count) == (25, 60)
    assert (info.tags, info.sample_aspect_ratio) == (BT709, 1)
    assert [frame.pts * info.time_base for frame in frames] == [Fraction(i, 25) for i in range(60)]
    assert [frame.number for frame in frames] == list(range(60))
    assert reader.damage == []
    for index in (0, 31, 59):
        assert frames[index].image.dtype == np.uint8
        assert frames[index].image.flags.c_contiguous
        assert_close(frames[index].image, chart(index=index), 2)


@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colour_tags_are_honoured(tmp_path: Path, matrix: int, range_: int):
    tags = ColorTags(matrix, range_, 9 if matrix == 9 else 1, 1)
    colours = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    image = colours.repeat(8, 0).repeat(8, 1)
    path = write_clip(tmp_path / "c.mkv", [image], "ffv1", tags=tags)
    reader, frames = read(path)
    assert reader.info.tags == tags
    assert_close(frames[0].image, image, 2)  # FFmpeg 8 writes full range with an error of 2, see video_color


@pytest.mark.parametrize(("height", "tags"), [(720, BT709), (480, BT601), (576, ColorTags(5, 1, 5, 6))])
def test_untagged_video(tmp_path: Path, height: int, tags: ColorTags):
    path = write_clip(tmp_path / "u.mkv", [chart(64, height)], "ffv1", tags=tags, tagged=False)
    reader, frames = read(path)
    assert reader.info.tags == tags
    assert_close(frames[0].image, chart(64, height), 2)


def test_hdr_tags_pass(tmp_path: Path):
    tags = ColorTags(9, 1, 9, 16)  # PQ
    reader, frames = read(write_clip(tmp_path / "hdr.mkv", [chart()], "ffv1", "yuv444p10le", tags))
    assert reader.info.tags == tags
    assert_close(frames[0].image, chart(), 0.5)


def test_varying_frame_times_are_kept(tmp_path: Path):
    times = [0, 40, 50, 200, 233, 300, 301, 400, 900, 1000]
    reader, frames = read(write_clip(tmp_path / "v.mkv", [chart(index=i) for i in range(10)], times=times))
    assert [frame.pts * reader.info.time_base * 1000 for frame in frames] == times
    assert reader.damage == []


def test_b_frames_come_in_order(tmp_path: Path):
    images = [chart(index=i) for i in range(20)]
    reader, frames = read(write_clip(tmp_path / "b.mp4", images, options={"bf": "3", "b-adapt": "0"}))
    assert [frame.pts * reader.info.time_base * 25 for frame in frames] == list(range(20))
    assert [round((frame.image[..., 2].mean() - 20) / 3) for frame in frames] == list(range(20))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "depth"),
    [("a.mp4", "libx264", "yuv444p10le", 10), ("a.mkv", "ffv1", "yuv422p10le", 10), ("b.mkv", "ffv1", "gbrp12le", 12),
     ("c.mkv", "ffv1", "yuv444p16le", 16), ("a.mov", "prores_ks", "yuv422p10le", 10)],
)  # fmt: skip
def test_deep_video_stays_deep(tmp_path: Path, name: str, codec: str, pix_fmt: str, depth: int):
    ramp = np.linspace(0, 65535, 512).astype(np.uint16)
    image = np.broadcast_to(ramp[None, :, None], (64, 512, 3))
    reader, frames = read(write_clip(tmp_path / name, [np.ascontiguousarray(image)] * 3, codec, pix_fmt))
    assert reader.info.bit_depth == depth
    found = frames[1].image
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - image).max() <= 65535 * (4 if codec != "ffv1" else 0.6) / 1023
    assert len(np.unique(found)) > 400  # 8 bits would leave 256
    assert found.max() >= 65535 - 65535 * 4 / 1023


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (7, 64)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]):
    reader, frames = read(write_clip(tmp_path / "odd.mkv", [chart(*size)], "ffv1", "yuv420p"))
    assert (reader.info.width, reader.info.height) == size
    assert frames[0].image.shape == (size[1], size[0], 3)


def test_alpha_of_the_input_is_cut(tmp_path: Path):
    image = np.dstack([chart(), np.full((64, 96), 9, np.uint8)])
    _, frames = read(write_clip(tmp_path / "a.mkv", [image], "ffv1", "bgra"))
    assert_close(frames[0].image, chart(), 0)


def test_gray_video(tmp_path: Path):
    image = chart()[..., :1]
    _, frames = read(write_clip(tmp_path / "g.mkv", [image], "ffv1", "gray"))
    assert_close(frames[0].image, image.repeat(3, 2), 0)


def turn_in_header(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Writes a display matrix into the tkhd box of an mp4: (x, y) of the stored picture goes to (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    one = 1 << 16
    data[place : place + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "quarters", "mirrored"),
    [((1, 0, 0, 1), 0, False), ((0, 1, -1, 0), 1, False), ((-1, 0, 0, -1), 2, False), ((0, -1, 1, 0), 3, False),
     ((-1, 0, 0, 1), 0, True), ((1, 0, 0, -1), 2, True), ((0, 1, 1, 0), 3, True), ((0, -1, -1, 0), 1, True)],
)  # fmt: skip
def test_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int], quarters: int, mirrored: bool):
    path = write_clip(tmp_path / "r.mp4", [chart(), chart(index=1)], aspect=Fraction(4, 3))
    reader, frames = read(turn_in_header(path, *matrix))
    # the matrix applied by hand, pixel by pixel: corners of the picture go where it says
    stored = chart()
    wanted = np.rot90(stored[:, ::-1] if mirrored else stored, -quarters)
    a, b, c, d = matrix
    x, y = np.array([0, 95]), np.array([0, 63])
    new_x, new_y = a * x + c * y, b * x + d * y
    assert np.array_equal(wanted[(new_y - new_y.min()).clip(0), (new_x - new_x.min()).clip(0)], stored[y, x])
    assert (reader.info.height, reader.info.width) == wanted.shape[:2]
    assert reader.info.sample_aspect_ratio == (Fraction(3, 4) if quarters % 2 else Fraction(4, 3))
    assert_close(frames[0].image, wanted, 4)


def test_iteration_may_be_abandoned(clip: Path):
    reader = open_reader(clip)
    frames = iter(reader)
    assert next(frames).number == 0
    reader.close()
    reader.close()
    clip.unlink()  # Windows refuses while the file is open
    with pytest.raises(AssertionError, match="once"):
        iter(reader)


def test_close_frees_the_frames_held_by_an_abandoned_loop(clip: Path):
    with open_reader(clip) as reader:
        for frame in reader:
            if frame.number == 3:
                break
    with pytest.raises(AssertionError, match="once"):
        iter(reader)


class StubFrames:
    """Changes what the decoder gives: what no muxer here would write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change):
        original = video_reader.VideoReader._decode

        def changed(reader):
            for index, frame in enumerate(original(reader)):
                yield change(index, frame)

        monkeypatch.setattr(video_reader.VideoReader, "_decode", changed)


def test_missing_times_follow_the_frame_rate(clip: Path, monkeypatch: pytest.MonkeyPatch):
    def change(index: int, frame: av.VideoFrame) -> av.VideoFrame:
        if index % 3 == 1:
            frame.pts = None
        return frame

    StubFrames(monkeypatch, change)
    reader, frames = read(clip)
    assert [frame.pts * reader.info.time_base for frame in frames] == [Fraction(i, 25) for i in range(60)]


def test_times_that_go_back_are_noted_and_rise(clip: Path, monkeypatch: pytest.MonkeyPatch):
    def change(index: int, frame: av.VideoFrame) -> av.VideoFrame:
        if index >= 30:
            assert frame.pts is not None
            frame.pts -= 1_000_000
        return frame

    StubFrames(monkeypatch, change)
    reader, frames = read(clip)
    times = [frame.pts for frame in frames]
    assert len(times) == 60
    assert all(a < b for a, b in itertools.pairwise(times))
    assert "is not later than the frame before" in reader.damage[0]


def test_size_change_is_scaled_and_noted(clip: Path, monkeypatch: pytest.MonkeyPatch):
    def change(index: int, frame: av.VideoFrame) -> av.VideoFrame:
        if index < 40:
            return frame
        other = FromRGB("yuv444p", BT709)(chart(48, 32, index))
        other.pts = frame.pts
        return other

    StubFrames(monkeypatch, change)
    reader, frames = read(clip)
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    assert reader.damage == []
    assert reader.notes == [
        "the size of the frames changes (96x64 from 0.00 s on, 48x32 from 1.60 s on); all are fitted into 96x64"
    ]
    assert_close(frames[50].image[8:-8, 8:-8], chart(index=50)[8:-8, 8:-8], 4)


# ---- a part of a clip

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
            # from just behind the frame before, to just behind the last
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
    """As ComfyUI does: int(seconds / time_base), the first included, the last not; but for what floats are off by."""
    unit = read(clip)[0].info.time_base
    for start, duration in ((0.12, 0.08), (0.58, 0.2), (1.1, 0.3), (0.2999, 0.2)):
        begin, end = int(start / unit + 1e-6), int((start + duration) / unit + 1e-6)
        wanted = [i for i in range(60) if begin <= Fraction(i, 25) / unit < end]
        reader, part = read_part(clip, start, duration)
        assert [(reader.info.begins + frame.pts * unit) * 25 for frame in part] == wanted
    reader, part = read_part(clip, 0, 0)  # ComfyUI's way to say: all of it
    assert len(part) == 60
    assert (reader.info.begins, reader.info.ends) == (0, None)


def test_a_clock_that_does_not_begin_at_zero(tmp_path: Path):
    """As in most transport streams: the clip begins at 0, and so does the clock of its parts."""
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


# ---- damage


def spoil(path: Path, start: float, length: int) -> None:
    """Overwrites bytes with noise, from a share of the file on."""
    data = bytearray(path.read_bytes())
    place = int(len(data) * start)
    data[place : place + length] = np.random.default_rng(0).integers(0, 256, length).astype(np.uint8).tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("d.mp4", "libx264", "yuv420p"), ("d.mov", "prores_ks", "yuv422p10le"), ("d.ts", "libx264", "yuv420p"),
     ("d.avi", "mpeg4", "yuv420p")],
)  # fmt: skip
def test_corrupt_middle(tmp_path: Path, name: str, codec: str, pix_fmt: str):
    images = [chart(index=i) for i in range(60)]
    options = {"libx264": {"g": "5"}, "prores_ks": {}, "mpeg4": {"g": "5", "b": "8M"}}[codec]
    path = write_clip(tmp_path / name, images, codec, pix_fmt, BT601, options=options)  # mpeg4 has no tags for others
    spoil(path, 0.45, path.stat().st_size // 12)
    reader, frames = read(path)
    assert reader.damage
    assert all(re.search(r"\d\.\d\d s\b", line) for line in reader.damage), reader.damage
    times = [float(frame.pts * reader.info.time_base) for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert len(frames) >= 40
    assert_close(frames[0].image, images[0], 12)
    assert_close(frames[-1].image, images[59], 12)  # reading went on to the end


def test_truncated_mkv(tmp_path: Path):
    path = write_clip(tmp_path / "t.mkv", [chart(index=i) for i in range(60)], "ffv1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    reader, frames = read(path)
    assert 30 <= len(frames) <= 42
    assert "its header says 2.40 s" in reader.damage[-1]
    assert_close(frames[-1].image, chart(index=len(frames) - 1), 2)


def test_truncated_mp4_keeps_every_frame_before_the_cut(tmp_path: Path):
    options = {"movflags": "faststart"}
    images = [chart(index=i) for i in range(60)]
    path = write_clip(
        tmp_path / "t.mp4", images, "mpeg4", "yuv420p", container_options=options, options={"g": "1", "qscale": "2"}
    )
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: len(data) // 2])
    with av.open(str(path)) as container:
        whole = sum(1 for packet in container.demux(video=0) if packet.size and not packet.is_corrupt)
    reader, frames = read(path)
    assert 10 < whole < 59
    assert len(frames) == whole
    assert any("may be truncated" in line for line in reader.damage)


def test_truncated_mp4_without_index(clip: Path):
    clip.write_bytes(clip.read_bytes()[:-3000])
    with pytest.raises(StudioError, match=r"clip\.mp4 cannot be opened .* complete video file"):
        open_reader(clip)


# ---- what is no video


def test_missing_file(tmp_path: Path):
    with pytest.raises(StudioError, match=r"no\.mp4 does not exist"):
        open_reader(tmp_path / "no.mp4")


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 200, bytes(5000)])
@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.png", "x.txt", "x.jpg"])
def test_no_video_at_all(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudioError, match=name):
        open_reader(tmp_path / name)


def test_audio_only(tmp_path: Path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(StudioError, match="contains no video, only audio"):
        open_reader(path)


def test_cover_art_is_no_video(tmp_path: Path):
    """An mp3 with a cover: an ID3v2.3 tag with an APIC frame before the sound."""
    sound, cover = tmp_path / "sound.mp3", tmp_path / "cover.png"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("mp3", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152 * 20), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    Image.fromarray(chart()).save(cover)
    body = b"\0image/png\0\x03\0" + cover.read_bytes()
    apic = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes(len(apic) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "song.mp3"
    data = sound.read_bytes()
    if data[:3] == b"ID3":
        data = data[10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)) :]
    path.write_bytes(b"ID3\x03\0\0" + size + apic + data)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1  # libav does see the cover
    with pytest.raises(StudioError, match="contains no video, only audio, cover art"):
        open_reader(path)


def test_video_without_frames(clip: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video_reader.VideoReader, "_decode", lambda reader: iter(()))
    with pytest.raises(StudioError, match="has no frame"):
        open_reader(clip)


def test_empty_stream(tmp_path: Path):
    path = tmp_path / "zero.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p10le"
        container.start_encoding()
    with pytest.raises(StudioError, match=r"zero\.mov"):
        open_reader(path)


# ---- stills and sequences


def save_chart(path: Path, index: int = 0, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    image = chart(*size, index)
    Image.fromarray(image).save(path)
    return image


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
    """Nothing about it waits for Python's collector, which comes after hundreds of pictures, megabytes each."""
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
