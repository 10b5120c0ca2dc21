"""Jobs that stop after some runs of the engine, and their outputs read back bit for bit."""

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.stream.session import MattingSession


class Remembering(Engine):
    """An engine whose alpha is red and a running mean of it: a wrong state shows in every frame. After
    `limit` runs it asks for a stop, or raises `error`."""

    name, variant, device, dtype = "remembering", "mobilenetv3", torch.device("cpu"), torch.float32

    def __init__(self, limit=10**9, error=None):
        self.limit, self.error, self.runs = limit, error, 0

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        if self.error is not None and self.runs >= self.limit:
            raise self.error
        self.runs += 1
        src = to_float(frames)
        memory, alphas = (rec[0] if rec else torch.zeros(1, 1, 1, 1)), []
        for frame in src.split(1):
            memory = 0.7 * memory + 0.3 * frame[:, :1].mean()
            alphas.append((0.6 * frame[:, :1] + 0.4 * memory).clamp(0, 1))
        fgr = quantise(src, wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(torch.cat(alphas), wanted.out), (memory,) * 4)

    def stopped(self):
        return self.error is None and self.runs >= self.limit


def run(source, outputs, options=None, limit=10**9, *, error=None, state=None, **settings):
    """-> (report, session) of one run that stops after `limit` runs of the engine."""
    engine = Remembering(limit, error)
    session = MattingSession(engine, **settings)
    session.state = state
    return matte_clip(source, outputs, session, options or ClipOptions(), stopped=engine.stopped), session


def raw(path: Path) -> list[tuple[Fraction, str]]:
    """(time, digest of all planes) of every frame; of pictures (number, digest of the file)."""
    if path.is_dir():
        return [(name.name, hashlib.sha256(name.read_bytes()).hexdigest()) for name in sorted(path.glob("*.png"))]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # libav's own decoder drops alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None)]
        found = []
        for frame in frames:
            digest = hashlib.sha256(frame.format.name.encode())
            for plane in frame.planes:
                lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                deep = max(component.bits for component in frame.format.components) > 8
                packed = 4 if frame.format.name in ("bgra", "bgr0") else 1
                digest.update(lines[:, : plane.width * packed * (2 if deep else 1)].tobytes())
            found.append((frame.pts * stream.time_base, digest.hexdigest()))
        return found


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(container.streams.audio[0]) if p.size]


def names(folder: Path) -> list[str]:
    """The files in a folder, except the hidden files that claim outputs."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


def outputs_in(folder: Path, *wanted: tuple[str, str]) -> list[Output]:
    return [Output(folder / name, kind) for name, kind in wanted]
