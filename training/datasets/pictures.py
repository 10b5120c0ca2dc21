"""Reads pictures and videos as 8-bit squares, for all data sets on the disk."""

# T frames, S side of the square, H, W

import contextlib
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from ...core import StudioError, ToRGB, display_orientation, frames_from_pictures, known, open_to_read, resolve_tags
from ..recipe import CLIP_SPEEDS, REVERSED_SHARE
from .samples import UnreadableSampleError
from .synthesis.randomness import Dice

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
_USUAL_RATE = Fraction(25)  # frames per second, for files without a frame rate
_SHOWN = 5  # names in a message
_PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def find(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """The files with these suffixes in a folder, sorted by name; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(found)


def folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height), read from the file's header only."""
    try:
        with Image.open(path) as image:
            return image.size
    except _PICTURE_ERRORS as error:
        raise UnreadableSampleError(f"{path} cannot be read ({error}).") from error


def load_picture(path: Path, size: int, gray: bool = False, like: tuple[int, int] | None = None) -> Tensor:
    """The picture, upright and stretched to a square: [3, S, S] uint8, or [1, S, S] if `gray`.

    like: the required (width, height). Raises UnreadableSampleError.
    """
    mode = "L" if gray else "RGB"
    try:
        with Image.open(path) as image:
            if like is not None and image.size != like:
                raise UnreadableSampleError(f"{path} is {by(image.size)}, its counterpart {by(like)}.")
            image.draft(mode, (size, size))  # decodes a large JPEG at 1/2, 1/4 or 1/8 of its size
            ImageOps.exif_transpose(image, in_place=True)
            picture = _eight_bits(image)
            array = np.array(picture if picture.mode == mode else picture.convert(mode))
    except _PICTURE_ERRORS as error:
        raise UnreadableSampleError(f"{path} cannot be read ({error}).") from error
    return squared(array, size)


def squared(picture: np.ndarray, size: int) -> Tensor:
    """[H, W] or [H, W, 3] uint8 -> [1 or 3, S, S], antialiased when it shrinks."""
    if picture.ndim == 2:
        picture = picture[..., None]
    frames = torch.from_numpy(picture).permute(2, 0, 1)[None]
    if frames.shape[-2:] == (size, size):
        return frames[0].contiguous()
    # within one step of 255 of Pillow's result, and twice as fast, because it stays in 8 bits
    return F.interpolate(frames, (size, size), mode="bilinear", antialias=True, align_corners=False)[0]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey to 8 bits, which Pillow would clip."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray(np.rint(np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))


def by(size: tuple[int, int]) -> str:
    """(width, height) as a text such as 40x30."""
    return f"{size[0]}x{size[1]}"


def some(names: Sequence[str]) -> str:
    """The first few names of a list as a text."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def load_sequence(paths: Sequence[Path], size: int, gray: bool = False) -> Tensor:
    """[T, 3 or 1, S, S] uint8 of the pictures in order; a repeated path is read only once."""
    known: dict[Path, Tensor] = {}
    for path in paths:
        if path not in known:
            known[path] = load_picture(path, size, gray)
    return torch.stack([known[path] for path in paths])


def draw_frames(dice: Dice, start: int, length: int, frames: int) -> tuple[list[int], str]:
    """(the frames of a clip of `length` frames for the sample at `start`, a description for its id).

    The speed is random, the start is shifted by less than a sample's length, and half of the samples run backwards. At
    an end of the clip the direction reverses, which adds no cut.
    """
    speed = dice.one_of(CLIP_SPEEDS)
    shift = dice.whole(0, frames - 1)
    places = start + shift + np.floor(np.arange(frames) * speed).astype(int)
    backwards = dice.happens(REVERSED_SHARE)
    if backwards:
        places = places[::-1]
    period = max(1, 2 * (length - 1))
    turned = places % period
    turned = np.where(turned >= length, period - turned, turned)
    return turned.tolist(), f"@{start + shift} x{speed:g}{' backwards' if backwards else ''}"


def _clock(stream: av.VideoStream) -> tuple[Fraction, Fraction]:
    """(frames per second, seconds per tick)"""
    base = known(stream.time_base)
    assert base is not None  # every stream has one in libav
    return known(stream.average_rate) or _USUAL_RATE, base


class VideoFrames:
    """The frames of a video file by number, as squares. A call decodes each frame once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        """The number of frames according to the file's header. Raises UnreadableSampleError."""
        with self._open() as container:
            stream = container.streams.video[0]
            if stream.frames:
                return stream.frames
            rate, base = _clock(stream)
            if stream.duration:
                return max(1, math.floor(stream.duration * base * rate))
            if container.duration:
                return max(1, math.floor(Fraction(container.duration, av.time_base) * rate))
        raise UnreadableSampleError(f"{self.path} does not contain its length.")

    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        with self._open() as container:
            context = container.streams.video[0].codec_context
            return context.width, context.height

    def load(self, numbers: Sequence[int], size: int, gray: bool = False) -> Tensor:
        """[T, 3 or 1, S, S] uint8 of these frames, in this order. Numbers past the real end give the last frame."""
        wanted = sorted(set(numbers))
        found: dict[int, Tensor] = {}
        try:
            with self._open() as container:
                self._decode(container, wanted, size, gray, found)
        except (av.error.FFmpegError, StudioError) as error:
            raise UnreadableSampleError(f"{self.path} cannot be decoded near frame {wanted[0]} ({error}).") from error
        if not found:
            raise UnreadableSampleError(f"{self.path} has no frame near number {wanted[0]}.")
        last = found[max(found)]
        return torch.stack([found.get(number, last) for number in numbers])

    def _open(self):
        try:
            container = open_to_read(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise UnreadableSampleError(f"{self.path} cannot be opened ({error}).") from error
        if not container.streams.video:
            container.close()
            raise UnreadableSampleError(f"{self.path} contains no video.")
        return container

    def _decode(self, container, wanted: list[int], size: int, gray: bool, found: dict[int, Tensor]) -> None:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would decode far more frames than are needed
        rate, base = _clock(stream)
        origin = stream.start_time or 0
        if wanted[0] > 0:
            with contextlib.suppress(av.error.FFmpegError):  # a file that cannot seek is read from the start
                container.seek(origin + int(wanted[0] / rate / base), stream=stream, backward=True, any_frame=False)
        if self._collect(container, wanted, size, gray, found):
            return
        container.seek(origin, stream=stream)  # the seek went past the first wanted frame
        self._collect(container, wanted, size, gray, found, from_start=True)

    def _collect(
        self, container, wanted, size: int, gray: bool, found: dict[int, Tensor], from_start: bool = False
    ) -> bool:
        """Collects the wanted frames in `found`. Returns False, with nothing collected, if decoding starts too late."""
        stream = container.streams.video[0]
        (rate, base), origin, codec = _clock(stream), stream.start_time or 0, stream.codec_context.name
        to_rgb, pending = ToRGB(), list(wanted)
        for count, frame in enumerate(container.decode(stream)):
            number = count if frame.pts is None else round((frame.pts - origin) * base * rate)
            if count == 0 and not from_start and 0 < wanted[0] < number:
                return False
            picture = None
            while pending and pending[0] <= number:  # a number without a frame gets the next frame
                picture = self._convert(to_rgb, frame, codec, size, gray) if picture is None else picture
                found[pending.pop(0)] = picture
            if not pending:
                break
        return True

    @staticmethod
    def _convert(to_rgb: ToRGB, frame: av.VideoFrame, codec: str, size: int, gray: bool) -> Tensor:
        orientation = display_orientation(frame, codec)
        tags = resolve_tags(frame, frame.height)
        rgb = to_rgb(frame, tags, orientation.rotation, 8, orientation.mirrored, (size, size))
        return frames_from_pictures(rgb[None])[0, slice(1, 2) if gray else slice(3)].contiguous()
