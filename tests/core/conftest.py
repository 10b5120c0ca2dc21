"""Clips made on the spot, and an engine whose matte is known, for tests of the whole way."""

# T frames, H, W

import functools
import gc
import logging
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.cli import demo as cli_demo
from rvm_studio.core.cli import main as cli
from rvm_studio.core.cli import matte as cli_matte
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.pictures.pixel_format import quantise, to_float


class RedEngine(Engine):
    """An engine for tests: alpha is red's value, the foreground the picture, the state counts frames in r1."""

    name, variant, device, dtype = "red", "mobilenetv3", torch.device("cpu"), torch.float32

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        src = to_float(frames)
        seen = rec[0] + len(src) if rec else torch.full((1, 1, 1, 1), float(len(src)))
        fgr = quantise(src, wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(src[:, :1], wanted.out), (seen, seen, seen, seen))


@pytest.fixture
def red_engine():
    return RedEngine()


@pytest.fixture(scope="session")
def random_networks():
    """`random_networks(refiner, seed)`: MobileNetV3 with random weights, so scaled that alpha is neither 0 nor 1
    everywhere; the same one each time, not to be changed."""

    @functools.cache
    def get(refiner: str, seed: int) -> MattingNetwork:
        torch.manual_seed(seed)
        network = MattingNetwork("mobilenetv3", refiner).eval()
        with torch.no_grad():
            network.project_mat.conv.weight *= 10
            network.project_mat.conv.bias.fill_(0.4)
        return network

    return get


def picture(index: int, height: int, width: int) -> np.ndarray:
    """[H, W, 3] uint8, smooth and moving, with black and white corners in red."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    red = np.clip(1.4 * (x + 0.05 * np.sin(index / 3)) - 0.2, 0, 1)
    green = 0.5 + 0.4 * np.sin(3 * y + index / 5)
    blue = 0.5 + 0.4 * np.cos(2 * x + 2 * y - index / 7)
    return np.round(255 * np.stack([red, green, blue], -1)).astype(np.uint8)


@pytest.fixture
def make_clip():
    """`make_clip(path, size=(W, H), frames=8, audio=None, ...)` writes a small video and returns its path."""

    def make(
        path, size=(96, 64), frames=8, rate=Fraction(25), audio=None, codec="libx264", pix_fmt="yuv420p", pts=None
    ):
        with av.open(str(path), "w") as container:
            container.metadata["title"] = "a test clip"
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            stream.codec_context.time_base = 1 / rate if pts is None else Fraction(1, 90000)
            if codec == "libx264":
                stream.options = {"preset": "ultrafast", "crf": "10", "colorprim": "bt709"}
            sound = container.add_stream(audio, rate=48000) if audio else None
            if sound:
                sound.codec_context.layout = "stereo"
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(index, size[1], size[0]), format="rgb24")
                frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU709" if size[1] > 576 else "ITU601")
                frame.pts = index if pts is None else pts[index]
                frame.time_base = stream.codec_context.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if sound:
                count = int(48000 * frames / rate)
                tone = (8000 * np.sin(np.arange(count) * 2 * np.pi * 440 / 48000)).astype(np.int16)
                step = sound.codec_context.frame_size or 960
                for start in range(0, count, step):
                    samples = np.repeat(tone[start : start + step], 2)[None]
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="stereo")
                    frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
                    resampled = av.AudioResampler(format=sound.codec_context.format, layout="stereo", rate=48000)
                    for part in resampled.resample(frame):
                        part.pts = start
                        container.mux(sound.encode(part))
                container.mux(sound.encode(None))
        return path

    return make


class Ran(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def studio(capsys, monkeypatch):
    """`studio("matte", ...)` runs `rvm-studio matte ...` in this process and returns its exit code and output."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # main sets it; put back afterwards
    monkeypatch.delenv("RVM_DEBUG", raising=False)
    log = logging.getLogger("rvm_studio.core")
    handlers, level = list(log.handlers), log.level

    def run(*arguments) -> Ran:
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            code = error.code
        return Ran(code, *capsys.readouterr())

    yield run
    log.handlers, log.level = handlers, level
    gc.unfreeze()


@pytest.fixture
def red_studio(studio, monkeypatch, red_engine):
    """As `studio`, with the engine whose matte is known instead of a network."""
    for module in (cli_matte, cli_demo):
        monkeypatch.setattr(module, "load_engine", lambda arguments: red_engine)
    monkeypatch.setattr(cli_matte, "in_own_process", lambda jobs: False)  # test_clip_process.py does that
    return studio


@pytest.fixture(scope="module")
def one_thread():
    """For hundreds of small operations: on a busy machine the threads of one wait for each other longer than they
    work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
