"""Reading videos: pixels, exact times, rotation, and every input that is not a video."""

import itertools
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import video_reader
from rvm_studio.core.video.color import ColorTags, FromRGB
from rvm_studio.core.video.reader import open_reader

from .drawn_clips import BT601, BT709, assert_close, chart, read, write_clip


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
    assert_close(frames[0].image, image, 2)  # FFmpeg 8 writes full range with an error of 2, see video/color.py


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
    full_range = ColorTags(1, 2, 1, 1)
    _, frames = read(write_clip(tmp_path / "g.mkv", [image], "ffv1", "gray", full_range))
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
    # the matrix, applied by hand to the corners of the picture
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
    """Changes the decoded frames in ways that no muxer here can write."""

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


# ---- inputs that are not videos


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
