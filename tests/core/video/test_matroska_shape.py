"""The pixel shape in Matroska and WebM: exact for libav and for a reader of the elements, and no byte moves."""

import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.container import known
from rvm_studio.core.video.matroska_shape import PLACEHOLDER, write_pixel_shape
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter


def begin(path: Path, size: tuple[int, int], aspect: Fraction, **more) -> FrameWriter:
    spec = PictureSpec(
        height=size[0],
        width=size[1],
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        tags=ColorTags(1, 1, 1, 1),
        sample_aspect_ratio=aspect,
    )
    return FrameWriter(path, spec, content="rgba", **more)


def write(writer: FrameWriter, size: tuple[int, int], numbers: range) -> None:
    for number in numbers:
        writer.write(np.full((*size, 4), 20 * number, np.uint8), number, number)


def children(data: bytes) -> dict[int, bytes]:
    """The elements of a master element."""
    found, place = {}, 0
    while place < len(data):
        lengths = []
        for keeps in (True, False):
            first = data[place]
            size = 1
            while not first & 0x80 >> (size - 1):
                size += 1
            value = int.from_bytes(data[place : place + size], "big")
            lengths.append(value if keeps else value & ((1 << 7 * size) - 1))
            place += size
        found.setdefault(lengths[0], data[place : place + lengths[1]])
        place += lengths[1]
    return found


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
@pytest.mark.parametrize(
    ("size", "aspect", "shown"),
    [
        ((18, 24), Fraction(4, 3), (32, 18, 0)),
        ((24, 18), Fraction(3, 4), (18, 32, 0)),
        ((480, 720), Fraction(32, 27), (16, 9, 3)),  # 853 1/3 pixels are no size
        ((576, 720), Fraction(64, 45), (1024, 576, 0)),
        ((33, 17), Fraction(1001, 1000), (1547, 3000, 3)),
    ],
)
def test_the_shape_is_exact(tmp_path, suffix, size, aspect, shown):
    path = tmp_path / f"out{suffix}"
    writer = begin(path, size, aspect)
    write(writer, size, range(2))
    writer.finish()
    assert writer.notes == []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert known(stream.sample_aspect_ratio) == aspect
        assert "title" not in {key.lower() for key in stream.metadata}
        assert len(list(container.decode(stream))) == 2
    data = path.read_bytes()
    cluster = data.index(b"\x1f\x43\xb6\x75")
    place = data.rindex(b"\x16\x54\xae\x6b", 0, cluster)  # not that in the index before it
    tracks = children(data[place:cluster])[0x1654AE6B]
    video = children(children(tracks)[0xAE])[0xE0]
    assert tuple(int.from_bytes(children(video)[id], "big") for id in (0x54B0, 0x54BA, 0x54B2)) == shown
    if suffix == ".mkv":  # with a checksum
        assert children(tracks)[0xBF] == zlib.crc32(tracks[6:]).to_bytes(4, "little")


def test_other_tracks_and_tags_stay(tmp_path):
    """A header like that of any other file but for the shape."""
    for name, aspect in (("square.mkv", Fraction(1)), ("wide.mkv", Fraction(4, 3))):
        writer = begin(tmp_path / name, (18, 24), aspect)
        write(writer, (18, 24), range(3))
        writer.finish()
    packets = []
    for name in ("square.mkv", "wide.mkv"):
        with av.open(str(tmp_path / name)) as container:
            packets.append([bytes(packet) for packet in container.demux(video=0)])
    assert packets[0] == packets[1]


def test_resumed_and_partial_files_have_it_too(tmp_path):
    path, size = tmp_path / "out.mkv", (18, 24)
    writer = begin(path, size, Fraction(4, 3))
    write(writer, size, range(3))
    partial = writer.abandon(keep=True)
    assert partial is not None
    with av.open(str(partial)) as container:
        assert known(container.streams.video[0].sample_aspect_ratio) == Fraction(4, 3)
    resumed = begin(path, size, Fraction(4, 3), resumed=writer.written)
    assert resumed.copy_resumed()
    write(resumed, size, range(3, 5))
    resumed.finish()
    with av.open(str(path)) as container:
        assert known(container.streams.video[0].sample_aspect_ratio) == Fraction(4, 3)
        assert len(list(container.decode(video=0))) == 5


def test_a_file_without_the_placeholder(tmp_path):
    writer = begin(tmp_path / "out.mkv", (18, 24), Fraction(1))
    write(writer, (18, 24), range(2))
    writer.finish()
    data = (tmp_path / "out.mkv").read_bytes()
    assert PLACEHOLDER.encode() not in data
    with pytest.raises(ValueError, match="placeholder"):
        write_pixel_shape(tmp_path / "out.mkv", 24, 18, Fraction(4, 3))
    assert (tmp_path / "out.mkv").read_bytes() == data
