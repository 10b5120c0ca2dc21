"""What files hold, decoded with libav alone: a second opinion beside the core's own reader."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a clip, or of a folder's pictures in the order of their names."""
    for file in sorted(path.glob("*.png")) if path.is_dir() else [path]:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            if stream.codec_context.name == "vp9":  # the usual decoder drops alpha
                decoder = av.CodecContext.create("libvpx-vp9", "r")
                for packet in container.demux(stream):
                    yield from decoder.decode(packet)
            else:
                yield from container.decode(stream)


def alpha_of(path: Path) -> np.ndarray:
    """[T, H, W] 0..1, as exact as the file has it."""
    return np.stack([_alpha(frame) for frame in frames_of(path)])


def pictures_of(path: Path) -> np.ndarray:
    """[T, H, W, 3] 0..1, by the tags of the file (BT.601 where it has none)."""
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames_of(path)]).astype(np.float32) / 255


def gray_of(path: Path) -> np.ndarray:
    """[T, H, W] 0..1 of a clip that shows a mask."""
    return pictures_of(path)[..., 1]


def sound_of(path: Path) -> np.ndarray:
    """Samples [channels, N] as float."""
    with av.open(str(path)) as container:
        assert container.streams.audio, f"{path} has no sound"
        resampler = av.AudioResampler(format="fltp")
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)


def _alpha(frame: av.VideoFrame) -> np.ndarray:
    depth = frame.format.components[3].bits
    if frame.format.name.startswith(("yuva", "gbrap")):
        plane = frame.planes[3]
        kind = np.dtype(np.uint8 if depth == 8 else (">u2" if frame.format.name.endswith("be") else "<u2"))
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
        values = np.ascontiguousarray(lines).view(kind)[:, : frame.width]
    else:
        values = frame.to_ndarray(format="rgba" if depth == 8 else "rgba64le")[..., 3]
    return values.astype(np.float32) / (2**depth - 1)
