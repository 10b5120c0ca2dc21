"""Which picture of a file is read, and what is said about it."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.reader import open_reader

from .flashing_clips import flashing_clip


def several(path: Path, streams: list[tuple[tuple[int, int], str, int]]) -> Path:
    """A file with several pictures: ((height, width), codec, disposition)."""
    with av.open(str(path), "w") as container:
        made = []
        for (height, width), codec, disposition in streams:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = height, width
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = disposition
            made.append(stream)
        for i in range(5):
            for stream in made:
                frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), 90, np.uint8), "rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in made:
            container.mux(stream.encode(None))
    return path


DEFAULT, COVER = 1, 0x400


@pytest.mark.parametrize(
    ("streams", "height"),
    [
        ([((36, 64), "mjpeg", 0), ((72, 128), "libx264", DEFAULT)], 72),  # a preview before the film
        ([((36, 64), "mjpeg", 0), ((72, 128), "libx264", 0)], 72),
        ([((72, 128), "libx264", DEFAULT), ((36, 64), "mjpeg", DEFAULT)], 72),
        ([((144, 256), "mjpeg", 0), ((72, 128), "libx264", DEFAULT)], 72),  # the default one, though smaller
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_picture_that_players_show(tmp_path, streams, height, suffix):
    with open_reader(several(tmp_path / f"a{suffix}", streams)) as reader:
        assert reader.info.height == height
        assert len(list(reader)) == 5


def test_a_cover_is_never_the_film(tmp_path):
    path = several(tmp_path / "a.mp4", [((144, 256), "mjpeg", COVER), ((72, 128), "libx264", DEFAULT)])
    with open_reader(path) as reader:
        assert reader.info.height == 72


def test_an_empty_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(StudioError, match=r"a\.mp4 is empty \(0 bytes\)"):
        open_reader(tmp_path / "a.mp4")


def test_leading_frames_that_lack_their_reference_are_no_damage(tmp_path):
    """A recording that was cut at an open group of pictures."""
    source = flashing_clip(tmp_path / "in.ts", 2, options={"x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0"})
    with av.open(str(source)) as container, av.open(str(tmp_path / "cut.ts"), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream)
        keys = 0
        for packet in container.demux(stream):
            keys += packet.is_keyframe
            if keys > 1 and packet.size:
                packet.stream = copy
                output.mux(packet)
    with open_reader(tmp_path / "cut.ts") as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
    assert reader.damage == []
    assert len(times) >= 37
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1, 25)}


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_a_recording_without_a_length(tmp_path, suffix):
    """As browsers write it: live, with neither an index nor a duration."""
    codec, sound = ("libvpx", "libopus") if suffix == ".webm" else ("libx264", "aac")
    source = flashing_clip(tmp_path / f"a{suffix}", 2, codec=codec, sound=sound, live="1")
    with av.open(str(source)) as container:
        assert container.duration is None
    with open_reader(source) as reader:
        assert reader.info.frame_rate == 25
        assert reader.info.frame_count == 50
        assert len(list(reader)) == 50
    assert reader.damage == []
