"""Clips of which every second begins with a white frame and a click, to compare picture and sound."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SOUND_RATE = 48000


def flashing_clip(
    path: Path,
    seconds: float = 3,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound: str | None = "aac",
    delay: float = 0,
    times: Sequence[Fraction] | None = None,
    options: dict[str, str] | None = None,
    **container_options: str,
) -> Path:
    """delay: of the picture, in seconds. times: of the frames, in seconds, instead of those of `rate`."""
    times = times or [i / rate + Fraction(delay) for i in range(round(seconds * rate))]
    with av.open(str(path), "w", container_options=container_options) as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
        unit = Fraction(1, 90000) if path.suffix not in (".avi", ".mpg") else 1 / rate
        video.codec_context.time_base = unit
        track = None
        if sound:
            track = container.add_stream(sound, rate=SOUND_RATE)
            track.codec_context.layout = "mono"
        last = None
        for time in times:
            is_flash = last is None or int(time - Fraction(delay)) > int(last - Fraction(delay))
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 250 if is_flash else 20, np.uint8), format="rgb24")
            frame.pts, frame.time_base, last = round(time / unit), unit, time
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if track:
            for start in range(0, round((seconds - 0.05) * SOUND_RATE), 1024):
                n = np.arange(start, start + 1024)
                wave = (0.9 * (n % SOUND_RATE < 96) * np.sin(n * 0.8)).astype(np.float32)[None]
                samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
                container.mux(track.encode(samples))
            container.mux(track.encode(None))
    return path


def clicks(path: Path) -> list[float]:
    """When the clicks sound, in seconds of the file."""
    found, last = [], -9.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)
            samples = samples[0] if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels))[:, 0]
            if not frame.format.name.startswith("flt"):
                samples = samples / 32768
            for n in np.flatnonzero(np.abs(samples) > 0.3):
                time = float(frame.pts * frame.time_base) + n / frame.sample_rate
                if time - last > 0.2:
                    found.append(time)
                last = time
    return found


def flashes(path: Path) -> list[float]:
    """When the white frames are shown, in seconds of the file."""
    with av.open(str(path)) as container:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="gray").mean()) for f in container.decode(video=0)]
    return [time for time, brightness in frames if brightness > 128]
