"""Draws the frames and beeps of which the inputs are made, and has ffmpeg's command line encode them."""

# N frames, H, W

import functools
import shlex
import subprocess
import wave
from pathlib import Path

import numpy as np

SOUND_RATE = 48000
BEEP = 0.04  # seconds


def draw(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """[H, W, 3] uint8: smooth, colourful, and very different from its neighbours."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x, y, phase = x / width, y / height, 2.4 * index
    waves = (2 * x + phase, 2 * y + 1.3 * phase + 2, 1.5 * (x + y) + 0.7 * phase + 4)
    return np.round(255 * (0.5 + 0.45 * np.cos(np.stack(waves, -1)))).astype(np.uint8)


@functools.cache
def drawn(frames: int, width: int = 96, height: int = 64, flashes: tuple[int, ...] = ()) -> list[np.ndarray]:
    """The frames of a clip; those of `flashes` are white."""
    shown = [draw(k, width, height) for k in range(frames)]
    for k in flashes:
        shown[k] = np.full_like(shown[k], 255)
    return shown


def write_beeps(
    path: Path, seconds: float, beeps: tuple[float, ...], channels: int = 1, rate: int = SOUND_RATE
) -> Path:
    """A WAV file with a tone of 1 kHz at each of these times."""
    t = np.arange(round(seconds * rate)) / rate
    sound = sum(((t >= begin) & (t < begin + BEEP)) * np.sin(2 * np.pi * 1000 * (t - begin)) for begin in beeps)
    samples = np.repeat(np.round(20000 * np.asarray(sound + 0 * t)).astype("<i2")[:, None], channels, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def ffmpeg(arguments: str, *names: Path | str, data: bytes | None = None) -> None:
    """Runs ffmpeg's command line. {0}, {1} ... in the arguments stand for the names."""
    words = [word.format(*names) if "{" in word else word for word in shlex.split(arguments)]
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", "-threads", "1", *words]
    if data is not None:
        command.remove("-nostdin")
    ran = subprocess.run(command, input=data, capture_output=True)
    assert ran.returncode == 0, (" ".join(command), ran.stderr.decode(errors="replace")[-800:])


def encode(
    path: Path,
    arguments: str,
    *names: Path | str,
    frames: list[np.ndarray],
    rate: str = "25",
    pix_fmt: str = "yuv420p",
    matrix: str = "bt601",
    full: bool = False,
    filters: str = "",
    inputs: str = "",
    stream: str = "v",
) -> Path:
    """Encodes drawn frames into `path`. arguments: of the output. inputs: further ones, with {1}, {2} ... for names.
    stream: the one of the output that is drawn.
    matrix: of the conversion from RGB, which does not tag the file; filters: after that."""
    height, width = frames[0].shape[:2]
    scale = (
        f"scale=out_color_matrix={matrix}:out_range={'full' if full else 'limited'}:flags=accurate_rnd+full_chroma_int"
    )
    chain = ",".join(part for part in (scale, f"format={pix_fmt}", filters) if part)
    ffmpeg(
        f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {rate} -i pipe:0 {inputs} "
        f"-filter:{stream} {chain} {arguments} -threads 1 {{0}}",
        path,
        *names,
        data=b"".join(frame.tobytes() for frame in frames),
    )
    return path
