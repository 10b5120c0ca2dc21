"""Clips and pictures drawn for the tests of reading, and comparisons with what was drawn."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from rvm_studio.core.video.color import ColorTags, FromRGB
from rvm_studio.core.video.reader import FrameReader, SourceFrame, open_reader

BT709 = ColorTags(1, 1, 1, 1)
BT601 = ColorTags(6, 1, 6, 6)


def chart(width: int = 96, height: int = 64, index: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: smooth, and different in every corner, so that turns and flips show; blue gives the index."""
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
    """`limit` is in 8-bit steps. 8-bit YUV in limited range alone may cost 2: half a step of each of y, u and v."""
    assert found.shape == wanted.shape
    scale = 257 if found.dtype == np.uint16 else 1
    assert np.abs(found / scale - wanted).max() <= limit


def save_chart(path: Path, index: int = 0, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    image = chart(*size, index)
    Image.fromarray(image).save(path)
    return image
