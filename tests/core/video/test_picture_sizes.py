"""The sizes in a stream, against the decoded frames."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.video.picture_sizes import PictureSizes
from rvm_studio.core.video.reader import open_reader

OPTIONS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:repeat-headers=1"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lookahead=0"},
    "libaom-av1": {"cpu-used": "8", "usage": "realtime"},
}


def encoded(codec: str, sizes: list[tuple[int, int]], frames: int = 4) -> list[av.Packet]:
    """Packets of one stream whose picture size changes, as a call's recording has them."""
    packets = []
    for part, (height, width) in enumerate(sizes):
        context = av.CodecContext.create(codec, "w")
        context.height, context.width, context.pix_fmt = height, width, "yuv420p"
        context.time_base, context.framerate, context.options = Fraction(1, 25), Fraction(25), OPTIONS[codec]
        for i in range(frames):
            image = np.full((height, width, 3), 40 * part + 5 * i, np.uint8)
            image[: height // 2] = 200
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = part * frames + i, Fraction(1, 25)
            packets += context.encode(frame)
        packets += context.encode(None)
    return packets


def write(path: Path, codec: str, sizes: list[tuple[int, int]]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *sizes[0], "yuv420p"
        stream.options = OPTIONS[codec]
        for index, packet in enumerate(encoded(codec, sizes)):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            container.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "libx264", "libx265", "libsvtav1"])
def test_every_change_is_found(codec):
    try:
        sizes = [(48, 64), (96, 128), (72, 96)] if codec != "libsvtav1" else [(64, 64), (128, 128)]
        packets = encoded(codec, sizes)
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError):
        pytest.skip(f"this PyAV cannot encode with {codec} here")
    name = {"libvpx": "vp8", "libvpx-vp9": "vp9", "libx264": "h264", "libx265": "hevc", "libsvtav1": "av1"}[codec]
    sought = PictureSizes(name, None, "libdav1d" if name == "av1" else "")
    assert sought.knows_codec
    found = [size for packet in packets if (size := sought.of(packet)) is not None]
    assert list(dict.fromkeys(found)) == sizes


def test_other_codecs_are_not_searched():
    assert not PictureSizes("prores", None).knows_codec


def test_damaged_headers_have_no_size():
    for codec in ("vp8", "vp9", "h264", "hevc", "av1"):
        for data in (b"\0", b"\xff" * 40, bytes(40), b"\0\0\1\x67" + b"\xff" * 20):
            packet = av.Packet(data)
            size = PictureSizes(codec, None).of(packet)
            assert size is None or min(size) > 0


@pytest.mark.parametrize(
    ("name", "codec"), [("call.webm", "libvpx"), ("call.mkv", "libvpx-vp9"), ("call.ts", "libx264")]
)
def test_the_largest_size_may_come_late(tmp_path, name, codec):
    """All frames have the largest size; one of another shape is centred on black."""
    path = write(tmp_path / name, codec, [(48, 64), (96, 128), (128, 96)])
    with open_reader(path) as reader:
        frames = list(reader)
    assert (reader.info.height, reader.info.width) == (96, 128)
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert reader.damage == []
    assert "64x48 from 0.00 s on, 128x96 from" in reader.notes[0]
    assert "all are fitted into 128x96" in reader.notes[0]
    upright = frames[-1].image  # 96x128 becomes 72x96
    assert upright[:, :26].max() == upright[:, -26:].max() == 0
    assert upright[10, 30:98].min() > 150
    assert frames[0].image[10, 10].min() > 150
