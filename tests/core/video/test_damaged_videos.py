"""Reading damaged and truncated videos: the readable frames, and what is said about the rest."""

import itertools
import re
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.reader import open_reader

from .drawn_clips import BT601, assert_close, chart, read, write_clip


def spoil(path: Path, start: float, length: int) -> None:
    """Overwrites `length` bytes with noise; `start` is a share of the file."""
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
    assert_close(frames[-1].image, images[59], 12)  # reading continued to the end


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
