"""The files that the example workflows name: the sample clip with a sound, and a picture for the background."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "assets" / "sample.mp4"  # 96 frames of 640x360, 24 a second, no sound
CLIP, PICTURE = "rvm_sample.mp4", "rvm_background.jpg"
SOUND_RATE = 48000


def write_inputs(folder: Path) -> None:
    """Both, into ComfyUI's input folder."""
    add_sound(SAMPLE, folder / CLIP)
    evening_lights(960, 540).save(folder / PICTURE, quality=92)


def add_sound(clip: Path, place: Path) -> None:
    """The clip's own packets, and a tone as AAC for as long as the clip lasts."""
    with av.open(str(clip)) as source, av.open(str(place), "w") as target:
        picture = source.streams.video[0]
        copied = target.add_stream_from_template(picture)
        sound = target.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for packet in source.demux(picture):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
        seconds = float(picture.frames / picture.average_rate)
        t = np.arange(int(SOUND_RATE * seconds)) / SOUND_RATE
        tone = (0.2 * np.sin(2 * np.pi * 330 * t)).astype(np.float32)
        for start in range(0, len(tone), 1024):
            samples = np.tile(tone[start : start + 1024], (2, 1))
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            target.mux(sound.encode(frame))
        target.mux(sound.encode(None))


def resized_clip(clip: Path, place: Path, width: int, height: int) -> None:
    """The same frames at another size, H.264."""
    with av.open(str(clip)) as source, av.open(str(place), "w") as target:
        picture = source.streams.video[0]
        stream = target.add_stream("libx264", rate=picture.average_rate, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, decoded in enumerate(source.decode(picture)):
            frame = decoded.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = number, 1 / picture.average_rate
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def evening_lights(width: int, height: int) -> Image.Image:
    """Dusk with lights out of focus: smooth, colourful, unlike the sample's own room."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    top, bottom = np.array([0.10, 0.12, 0.30]), np.array([0.95, 0.45, 0.25])
    image = top + (bottom - top) * (y**1.6)[..., None]
    random = np.random.default_rng(7)
    for _ in range(60):
        cx, cy, radius = random.random(), 0.35 + 0.6 * random.random(), 0.012 + 0.03 * random.random()
        color = np.array([1.0, 0.55 + 0.4 * random.random(), 0.25 + 0.5 * random.random()])
        distance = np.hypot(x - cx, (y - cy) * height / width)
        disc = np.clip((radius - distance) / 0.003, 0, 1) * (0.15 + 0.35 * random.random())
        image = image + disc[..., None] * (color - image)
    return Image.fromarray(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8))
