"""Outputs of `matte_clip` read back, and engines that count their runs or remember."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.video.reader import open_reader


def pictures_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def names(folder: Path) -> list[str]:
    """The files in a folder, except the hidden files that claim outputs."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


def decoded(path: Path) -> list[av.VideoFrame]:
    """Frames with alpha: VP9's and VP8's own alpha is dropped by libav's default decoders."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "vp9":
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        decoder.extradata = stream.codec_context.extradata
        frames = []
        for packet in container.demux(stream):
            frames += decoder.decode(packet if packet.size else None)
        for frame in frames:
            frame.time_base = stream.time_base
        return frames


def seconds_of(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in decoded(path)]


def audio_of(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.size]


def close_times(ours, theirs, unit=Fraction(0)):
    return len(ours) == len(theirs) and all(abs(a - b) <= unit / 2 for a, b in zip(ours, theirs, strict=True))


class Counting(Engine):
    """An engine that counts its runs and asks for a stop within run number `limit`."""

    def __init__(self, engine, limit):
        self.engine, self.limit, self.runs = engine, limit, 0
        self.name, self.variant, self.device, self.dtype = engine.name, engine.variant, engine.device, engine.dtype

    def run(self, *args, **kwargs):
        self.runs += 1
        return self.engine.run(*args, **kwargs)

    def stopped(self):
        return self.runs >= self.limit


class Remembering(Engine):
    """An engine whose alpha is a running mean of red: what was replayed, and when, shows in every frame."""

    name, variant, device, dtype = "remembering", "mobilenetv3", torch.device("cpu"), torch.float32

    def _run(self, frames, rec, downsample_ratio, wanted):
        src, memory, alphas = to_float(frames), rec[0] if rec else torch.zeros(1, 1, 1, 1), []
        for frame in src:
            memory = 0.7 * memory + 0.3 * frame[0].mean()
            alphas.append(memory.expand(1, 1, *src.shape[2:]))
        return EngineOutput(quantise(src, wanted.out), quantise(torch.cat(alphas), wanted.out), (memory,) * 4)
