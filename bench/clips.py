"""Clips for the benchmarks: the bundled sample, scaled up and repeated forwards and backwards to any length."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np

SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "sample.mp4"
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}


def make_clip(path: Path, size: tuple[int, int], frames: int) -> Path:
    """Writes an H.264 clip of `frames` frames at 24 fps, with a silent audio track."""
    with av.open(str(SAMPLE)) as container:
        pictures = [
            frame.reformat(*size, format="yuv420p", interpolation="BICUBIC") for frame in container.decode(video=0)
        ]
    to_and_fro: Iterator[av.VideoFrame] = cycle(pictures + pictures[::-1])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        audio = container.add_stream("aac", rate=48000)
        for index, picture in enumerate(islice(to_and_fro, frames)):
            picture.pts, picture.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48000
        for index in range(frames * 2000 // 1024):
            silence.pts = index * 1024
            container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    return path
