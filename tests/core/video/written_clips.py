"""Clips written for the tests of the writer, and read back by other means than the product's reader."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

OF_SPEC = {field.name for field in fields(PictureSpec)}
BT709 = ColorTags(1, 1, 1, 1)
NTSC = Fraction(30000, 1001)


def make_writer(path, content="rgba", size=(48, 64), **more) -> FrameWriter:
    given = {"frame_rate": NTSC, "time_base": Fraction(1, 30000), "tags": BT709, "height": size[0], "width": size[1]}
    given |= {name: more.pop(name) for name in list(more) if name in OF_SPEC}
    return FrameWriter(path, PictureSpec(**given), content=content, **more)


def make_image(content="rgba", size=(48, 64), depth=8, step=0) -> np.ndarray:
    """Four flat quarters of colour, a soft disc of alpha; gray: the disc."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    left, top = x < width / 2 + step, y < height / 2  # no two frames are alike
    colour = np.stack([np.where(left, 0.8, 0.25), np.where(top, 0.7, 0.3), np.where(left ^ top, 0.2, 0.6)], -1)
    alpha = np.clip((0.35 * height - np.hypot(x - width / 2 - step, y - height / 2)) / 6 + 0.5, 0, 1)
    image = np.dstack([colour, alpha])
    image = {"rgba": image, "rgb": colour, "gray": alpha[..., None]}[content]
    return np.rint(image * (65535 if depth > 8 else 255)).astype(np.uint16 if depth > 8 else np.uint8)


def write_clip(path, content="rgba", size=(48, 64), frames=3, depth=8, **more) -> tuple[Path, list[np.ndarray]]:
    writer = make_writer(path, content, size, bit_depth=depth, **more)
    images = [make_image(content, size, writer.bit_depth, i) for i in range(frames)]
    for i, image in enumerate(images):
        writer.write(image, 1001 * i, i)
    return writer.finish(), images


def decode(path: Path) -> tuple[list[av.VideoFrame], Fraction]:
    """All frames, VP9 with libvpx (libav's own decoder leaves the alpha out), and the unit of their pts."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        time_base = stream.time_base
        return [
            f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None)
        ], time_base


PACKED = {
    "rgb24": "rgb",
    "rgb48be": "rgb",
    "rgb48le": "rgb",
    "rgba": "rgba",
    "rgba64be": "rgba",
    "bgra": "bgra",
    "bgr0": "bgr0",
}


def to_rgba(frame: av.VideoFrame) -> np.ndarray:
    """[H, W, 4] of 0..1, computed directly from the planes: chroma repeated, matrix as tagged."""
    name, values = frame.format.name, {}
    for component, letter in zip(frame.format.components, "rgba" if frame.format.is_rgb else "yuva", strict=False):
        if component.is_alpha:
            letter = "a"
        plane = frame.planes[component.plane]
        dtype = np.dtype(np.uint8) if component.bits == 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
        lines = np.frombuffer(bytes(plane), dtype).reshape(plane.height, -1)
        if name in PACKED:
            lines = lines[:, PACKED[name].index(letter) :: len(PACKED[name])]
        repeat = np.ones((-(-frame.height // plane.height), -(-frame.width // plane.width)))
        values[letter] = np.kron(lines[:, : plane.width], repeat)[: frame.height, : frame.width]
    top = 2 ** frame.format.components[0].bits - 1
    alpha = values.get("a", np.full((frame.height, frame.width), top)) / top
    if frame.format.is_rgb:
        return np.stack([values["r"] / top, values["g"] / top, values["b"] / top, alpha], -1)
    if "u" not in values:
        return np.stack([values["y"] / top] * 3 + [alpha], -1)
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[int(frame.colorspace)]
    assert int(frame.color_range) == 1
    step = (top + 1) / 256
    y, u, v = (values["y"] / step - 16) / 219, (values["u"] / step - 128) / 224, (values["v"] / step - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b, alpha], -1)


def check_pixels(frames: list[np.ndarray], images: list[np.ndarray], colour: float, alpha: float) -> None:
    """Largest errors allowed, of 255: `colour` away from the edges of the quarters, `alpha` anywhere."""
    assert len(frames) == len(images)
    for frame, image in zip(frames, images, strict=True):
        true = image / np.iinfo(image.dtype).max
        height, width, channels = true.shape
        assert frame.shape[0] in (height, height + height % 2)
        pred = frame[:height, :width]
        if channels == 1:
            assert np.abs(pred[..., :3] - true).max() * 255 <= colour
            continue
        flat = np.ones((height, width), bool)
        flat[height // 2 - 8 : height // 2 + 8] = flat[:, width // 2 - 8 : width // 2 + 10] = False
        assert np.abs(pred[..., :3] - true[..., :3])[flat].max() * 255 <= colour
        if channels == 4:
            assert np.abs(pred[..., 3] - true[..., 3]).max() * 255 <= alpha


def read_pictures(path: Path) -> list[np.ndarray]:
    """Reads what libav does not decode (animated WebP), with Pillow."""
    with Image.open(path) as picture:
        pictures = []
        for i in range(getattr(picture, "n_frames", 1)):
            picture.seek(i)
            pictures.append(np.asarray(picture.convert("RGBA")) / 255)
        return pictures


def read_back(path: Path) -> list[np.ndarray]:
    if path.suffix == ".webp":
        return read_pictures(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [to_rgba(frame) for file in files for frame in decode(file)[0]]


# format, depth of the source -> largest error of colour in flat areas, of 255
LOSSY = {".mov": 1.5, ".webm": 2.0, ".mp4": 6.0}
