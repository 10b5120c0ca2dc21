"""Tiny trees of the published layouts, made on the spot."""

# T frames, H, W

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image


def picture(path: Path, value: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Path:
    """A flat picture; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, value, value)).save(path, quality=95)
    return path


def video(path: Path, values: list[int], size: tuple[int, int] = (64, 48), keyframe_every: int = 12) -> Path:
    """An H.264 file of flat grey frames, 25 a second, with few keyframes as in the published files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "4", "g": str(keyframe_every), "bf": "2"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k, value in enumerate(values):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), value, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_off(path: Path) -> Path:
    """Leaves a file of the right kind that cannot be read."""
    path.write_bytes(path.read_bytes()[:30])
    return path


@pytest.fixture
def make_picture():
    return picture


@pytest.fixture
def make_video():
    return video


@pytest.fixture
def break_file():
    return cut_off


@pytest.fixture
def videomatte(tmp_path: Path) -> Path:
    """VideoMatte240K as JPEG frames: clip NNNN has 12 frames of value 10 + 5 t, alpha 20 t; train 0000..0004, test."""
    for split, clips in (("train", ("0000", "0001", "0002", "0003", "0100")), ("test", ("0000", "0001"))):
        for clip in clips:
            for t in range(12):
                picture(tmp_path / "VM" / split / "fgr" / clip / f"{t:05d}.jpg", 10 + 5 * t)
                picture(tmp_path / "VM" / split / "pha" / clip / f"{t:05d}.jpg", 20 * t, mode="L")
    return tmp_path / "VM"


@pytest.fixture
def videomatte_videos(tmp_path: Path) -> Path:
    """VideoMatte240K as its published pairs of videos: 40 frames of value 20 + 5 t, alpha 6 t."""
    for split, clips in (("train", ("0000", "0001", "0002")), ("test", ("0000",))):
        for clip in clips:
            video(tmp_path / "VMV" / split / "fgr" / f"{clip}.mp4", [20 + 5 * t for t in range(40)])
            video(tmp_path / "VMV" / split / "pha" / f"{clip}.mp4", [6 * t for t in range(40)])
    return tmp_path / "VMV"
