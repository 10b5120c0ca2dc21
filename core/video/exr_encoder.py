"""Writes OpenEXR pictures as compositing programs expect them.

Half floats, scene-linear light (the signal's own curve removed: sRGB, BT.709, PQ, HLG ...), colours premultiplied with
alpha in linear light, the matte in `A`, the primaries in the attribute `chromaticities`, lossless ZIP compression. A
matte alone is written as premultiplied white: R, G, B and A are all the matte, which is no light and so not changed.

A cut-out of EXR pictures gets back what the display's 0..1 had cut off: where a channel of the source was above 1 or
below 0, the rest is added to the cut-out's light.
"""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import StudioError
from .color_spaces import PRIMARIES, to_linear
from .exr_picture import EXR, openexr, read_light
from .picture_library import UnreadablePictureError
from .picture_sequence import find_pictures
from .picture_spec import PictureSpec

FIRST_NUMBER = 1001
"""Of the first picture of a clip without numbers, as in compositing programs."""
_CHANNELS = {"gray16le": 1, "rgb48le": 3, "rgba64le": 4}


class ExrEncoder:
    """Makes the bytes of EXR files from frames, with the interface of libav's encoders.

    spec: the clip's; of a ClipInfo also its path. pixel_format: gray16le, rgb48le or rgba64le. premultiplied: whether
    the frames' colours are premultiplied already (as signals), which is undone first. Raises StudioError without the
    library, and for a transfer that is unknown.
    """

    def __init__(self, spec: PictureSpec, pixel_format: str, premultiplied: bool) -> None:
        path = Path(getattr(spec, "path", "x.exr"))
        self._library = openexr(path)
        curve = to_linear(spec.tags.transfer)
        if curve is None:
            raise StudioError(
                f"The colours of {path} have the transfer {spec.tags.transfer} (H.273), which has no known curve. "
                "Convert the clip to BT.709 first, or use another format than EXR."
            )
        self._table = curve(np.arange(65536) / 65535).astype(np.float32)
        self._channels = _CHANNELS[pixel_format]
        self._premultiplied = premultiplied
        self._spec = spec
        self._sources = _exr_sources(spec) if self._channels == 4 else {}
        self._header: dict[str, Any] = {
            "compression": self._library.ZIP_COMPRESSION,
            "type": self._library.scanlineimage,
            "pixelAspectRatio": float(spec.sample_aspect_ratio),
        }
        if self._channels > 1:
            primaries = PRIMARIES.get(spec.tags.primaries, PRIMARIES[1])
            self._header["chromaticities"] = tuple(value for place in primaries for value in place)

    def encode(self, frame: av.VideoFrame | None, number: int = 0) -> list[bytes]:
        """The file of one frame; nothing for None, as nothing is kept back. number: of the source's picture."""
        if frame is None:
            return []
        plane = frame.planes[0]
        lines = np.frombuffer(plane, "<u2").reshape(frame.height, -1)  # pyright: ignore[reportCallIssue, reportArgumentType]
        samples = lines[:, : frame.width * self._channels].reshape(frame.height, frame.width, self._channels)
        return [self._file(self._pixels(samples, number))]

    def _pixels(self, samples: np.ndarray, number: int) -> np.ndarray:
        """[H, W, C] uint16 -> [H, W, 3 or 4] half."""
        if self._channels == 1:
            return np.repeat((samples / np.float32(65535)).astype(np.float16), 4, axis=2)
        if self._channels == 3:
            return self._table[samples].astype(np.float16)
        alpha = samples[..., 3:] / np.float32(65535)
        color = samples[..., :3]
        if self._premultiplied:
            with np.errstate(divide="ignore", invalid="ignore"):
                straight = np.where(alpha > 0, color / alpha, 0)
            color = np.rint(np.minimum(straight, 65535)).astype(np.uint16)
        light = self._table[color]
        beyond = self._beyond(number)
        if beyond is not None and beyond.shape == light.shape:
            light = light + beyond
        return np.concatenate([light * alpha, alpha], axis=2).astype(np.float16)

    def _beyond(self, number: int) -> np.ndarray | None:
        """[H, W, 3]: the light of the source's picture that a display does not show."""
        path = self._sources.get(number)
        if path is None:
            return None
        try:
            light = read_light(path).rgb
        except UnreadablePictureError:
            return None  # it was readable before; then it is clipped
        return light - np.clip(light, 0, 1)

    def _file(self, pixels: np.ndarray) -> bytes:
        channels = {"RGBA"[: pixels.shape[2]]: np.ascontiguousarray(pixels)}
        with tempfile.TemporaryDirectory(prefix="rvm-exr-") as folder:
            path = Path(folder) / "picture.exr"
            with self._library.File(dict(self._header), channels) as file:
                file.write(str(path))
            return path.read_bytes()


def _exr_sources(spec: PictureSpec) -> dict[int, Path]:
    """The EXR pictures of the source by their numbers; empty if it has none."""
    path, kind = getattr(spec, "path", None), getattr(spec, "kind", "")
    if path is None or kind not in ("still", "sequence"):
        return {}
    if kind == "still":
        return {0: path} if path.suffix.lower() == EXR else {}
    pictures = find_pictures(path) or []
    return {picture.number: picture.path for picture in pictures if picture.path.suffix.lower() == EXR}
