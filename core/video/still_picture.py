"""Reads one picture file of any kind as an upright RGB array: the only place that decodes stills.

Pillow decodes, and pillow-heif for HEIC, because they know what libav does not: grids of tiles, colour profiles, CMYK,
EXIF. libav decodes where Pillow would lose something: colours of 16 bits in PNG, TIFF and PPM, AVIF above 8 bits, JPEG
2000, DPX. OpenEXR is read by its own library. Side data of libav's frames is never read here (see orientation.py).

Colours: a picture that says nothing is sRGB. Colours of another ICC profile, and of PNG's gAMA and cHRM, are converted
to sRGB. What a file says by H.273 codes (cICP, nclx: P3, PQ and HLG, for example) is carried over as tags.
"""

# H, W height and width of the upright picture

import contextlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import numpy as np
from PIL import Image

from ..errors import StudioError
from ..machine.install_advice import pip_command
from .color import UNSPECIFIED, ColorTags, ToRGB, alpha_of, is_rgb, resolve_tags, widened
from .container import known, open_to_read
from .exr_picture import EXR, read_light, shown
from .frame_reader import bit_depth_of
from .orientation import EXIF_ORIENTATION, EXIF_TURNS, Orientation, turned
from .picture_library import (
    PILLOW_ERRORS,
    HeifPicture,
    UnreadablePictureError,
    iso_kind,
    open_with_pillow,
    reason,
    refuse_too_large,
)
from .png_header import PngHeader, read_png_header
from .still_colors import (
    SRGB,
    array_in_srgb,
    codes_of_a_still,
    eight_bits_in_srgb,
    exif_of,
    tags_of,
    without_adobe_rgb,
    without_gamma,
)

_MOVIES = {"matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "mov"}  # formats of libav
_BY_LIBAV = {".dpx", ".jp2"}  # first, as Pillow cuts JPEG 2000 to 8 bits and knows no DPX
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR = 258, 262, 284
_SAME_SAMPLE = 1  # of 255: rounded or cut

DROPPED_ALPHA = "the transparency of the input is not used: its colours were matted as if they were opaque"


@dataclass
class StillPicture:
    """One picture. image: [H, W, 3] full-range RGB, uint8, or uint16 with white 65535 if bit_depth is above 8. notes:
    what was changed on the way. damage: what is wrong with the file, although it was read."""

    image: np.ndarray
    bit_depth: int = 8
    tags: ColorTags = SRGB
    aspect: Fraction = Fraction(1)
    notes: list[str] = field(default_factory=list)
    damage: str = ""


def read_picture(path: Path) -> StillPicture:
    """Reads a picture file. Raises UnreadablePictureError if nothing of it can be read, and StudioError if it is too
    large for the memory or of a kind that is not supported."""
    try:
        kind = iso_kind(path)
        if kind == "heif":
            return _read_heif(path)
        if path.suffix.lower() == EXR:
            return _read_exr(path)
        png = read_png_header(path)
        by_libav = path.suffix.lower() in _BY_LIBAV or (png is not None and png.deep_color)
        image = open_with_pillow(path)
    except OSError as error:
        raise UnreadablePictureError(reason(error)) from error
    if image is None:
        return _from_libav(path, None)
    with image:
        avif = AvifFacts(path, image.size) if kind == "avif" else None
        cicp = avif.cicp if avif else png.cicp if png else None
        deep = by_libav or _is_cut_to_8_bits(image) or (avif is not None and avif.is_deep_and_whole)
        if deep:
            try:
                picture = _from_libav(path, image)
                if image.format == "TIFF" and not _is_planar(image):
                    _refuse_other_picture(picture, image)
                return _finish(picture, image, png, cicp)
            except UnreadablePictureError:
                if _is_planar(image):
                    raise  # which Pillow reads as noise, without an error
                picture = _from_pillow(image, png, cicp)
                picture.notes.append("only the upper 8 bits of each sample could be read")
                return picture
        try:
            return _from_pillow(image, png, cicp)
        except UnreadablePictureError as error:
            try:
                return _finish(_from_libav(path, image), image, png, cicp)
            except UnreadablePictureError:
                raise error from None


def _is_cut_to_8_bits(image: Image.Image) -> bool:
    """Whether Pillow would read a TIFF or PPM of more than 8 bits and several channels as 8 bits."""
    if image.mode.startswith(("I", "F")):
        return False
    if image.format == "TIFF":
        return max(getattr(image, "tag_v2", {}).get(_TIFF_BITS) or (8,)) > 8 and image.mode != "CMYK"
    tiles: Any = getattr(image, "tile", ())
    if image.format == "PPM" and image.mode == "RGB" and tiles:
        arguments = tiles[0][3]
        return isinstance(arguments, tuple) and arguments[-1] not in (1, 255, "RGB")
    return False


def _is_planar(image: Image.Image) -> bool:
    """Whether the channels of a TIFF lie one after the other."""
    return getattr(image, "tag_v2", {}).get(_TIFF_PLANAR) == 2


def _refuse_other_picture(picture: StillPicture, image: Image.Image) -> None:
    """libav reads some TIFFs (those of tiles) as noise, without an error. Raises UnreadablePictureError where Pillow's
    8 bits are other ones."""
    try:
        upper = np.asarray(image.convert("RGB"))
    except PILLOW_ERRORS:
        return  # the picture that only libav can read
    mine = picture.image >> 8 if picture.image.dtype == np.uint16 else picture.image
    if upper.shape != mine.shape or np.abs(upper[::7].astype(np.int16) - mine[::7]).max() > _SAME_SAMPLE:
        raise UnreadablePictureError("libav reads another picture than Pillow")


class AvifFacts:
    """What libav says about an AVIF of this (width, height): its H.273 primaries and transfer, and whether it has more
    than 8 bits, which Pillow would cut, and is no grid of tiles, of which libav sees the first only."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.cicp: tuple[int, int] | None = None
        self.is_deep = self.is_deep_and_whole = False
        with contextlib.suppress(av.error.FFmpegError, IndexError), open_to_read(path) as container:
            context = container.streams.video[0].codec_context
            self.cicp = _cicp_of(context)
            self.is_deep = context.format is not None and max(part.bits for part in context.format.components) > 8
            self.is_deep_and_whole = self.is_deep and sorted((context.width, context.height)) == sorted(size)


def _cicp_of(context: av.VideoCodecContext) -> tuple[int, int] | None:
    """H.273 primaries and transfer, as a still means them; None if the file says neither."""
    primaries = int(context.color_primaries or UNSPECIFIED)
    transfer = int(context.color_trc or UNSPECIFIED)
    if (primaries, transfer) == (UNSPECIFIED, UNSPECIFIED):
        return None
    is_rgb_coded = context.format is not None and is_rgb(context.format)
    return (primaries, transfer) if is_rgb_coded else codes_of_a_still((primaries, transfer))


def _from_pillow(image: Image.Image, png: PngHeader | None, cicp: tuple[int, int] | None) -> StillPicture:
    """The picture as Pillow reads it. Raises UnreadablePictureError."""
    damage = ""
    try:
        image.load()
    except PILLOW_ERRORS as error:
        damage = reason(error)
        # what was decoded up to here is kept
        image.tile = []  # pyright: ignore[reportAttributeAccessIssue]
        try:
            if image.getbbox() is None:
                raise UnreadablePictureError(damage) from error
        except PILLOW_ERRORS:
            raise UnreadablePictureError(damage) from error
    if image.mode == "F" or (image.mode == "I" and _highest(image) > 65535):
        raise StudioError(
            f"{getattr(image, 'filename', 'The picture')} has floating-point or 32-bit samples. Expected 8 to 16 bits "
            "per channel, or OpenEXR: convert it first."
        )
    if image.mode.startswith("I"):
        picture = StillPicture(np.repeat(_deep_gray(image)[..., None], 3, axis=2), 16)
    else:
        picture = StillPicture(np.empty(0, np.uint8))
    picture.damage = damage
    return _finish(picture, image, png, cicp)


def _highest(image: Image.Image) -> float:
    return float(image.getextrema()[1])  # pyright: ignore[reportArgumentType] - one channel, one pair


def _deep_gray(image: Image.Image) -> np.ndarray:
    """[H, W] uint16 of a grey picture of more than 8 bits."""
    samples = np.asarray(image).clip(0, 65535).astype(np.uint16)
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    (bits, *_) = tags.get(_TIFF_BITS) or (16,)
    if 8 < bits < 16:
        samples = np.rint(np.arange(65536).clip(0, 2**bits - 1) * (65535 / (2**bits - 1))).astype(np.uint16)[samples]
    if tags.get(_TIFF_PHOTOMETRIC) == 0 and bits == 16:  # white is zero, which Pillow heeds with 8 bits only
        samples = 65535 - samples
    return samples


def _finish(
    picture: StillPicture, image: Image.Image, png: PngHeader | None, cicp: tuple[int, int] | None
) -> StillPicture:
    """Colours and orientation, by what the file says. A picture without pixels gets those of `image`."""
    notes = picture.notes
    data: bytes | None = image.info.get("icc_profile")
    uses_profile = png is None or cicp is None  # in a PNG the codes come first, in AVIF the profile
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "AVIF":
        notes.append(f"only the first of the {count} pictures in the file is used")
    if not picture.image.size:
        if is_transparent(image):
            notes.append(DROPPED_ALPHA)
        picture.image = eight_bits_in_srgb(image, notes, ignore_profile=not uses_profile)
    elif uses_profile:
        picture.image = array_in_srgb(picture.image, data, notes)
    if not uses_profile or (cicp is not None and not data):
        assert cicp is not None
        picture.tags = tags_of(cicp)
    elif png is not None and not png.has_profile and not png.is_srgb:
        picture.image = without_gamma(picture.image, png, notes)
    if not data:
        picture.image = without_adobe_rgb(picture.image, image, notes)
    turn = EXIF_TURNS.get(exif_of(image).get(EXIF_ORIENTATION, 1), Orientation(0, False))
    picture.image = turned(picture.image, turn)
    if turn.rotation in (90, 270):
        picture.aspect = 1 / picture.aspect
    return picture


def is_transparent(image: Image.Image) -> bool:
    """Whether a pixel is not opaque."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        alpha = image.getchannel(len(image.getbands()) - 1)
    elif "transparency" in image.info and image.mode in ("P", "RGB", "L", "1"):
        alpha = image.convert("RGBA").getchannel("A")
    else:
        return False
    return int(alpha.getextrema()[0]) < 255  # pyright: ignore[reportArgumentType] - one channel, one pair


def _read_heif(path: Path) -> StillPicture:
    found = HeifPicture(path)
    pixels, picture = found.pixels, StillPicture(np.empty(0, np.uint8), found.depth)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        if pixels[..., 3].min() < np.iinfo(pixels.dtype).max:
            picture.notes.append(DROPPED_ALPHA)
        pixels = np.ascontiguousarray(pixels[..., :3])
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, axis=2)
    if pixels.dtype == np.uint8:
        picture.bit_depth = 8
    if found.icc:
        pixels = array_in_srgb(pixels, found.icc, picture.notes)
    elif found.cicp:
        picture.tags = tags_of(codes_of_a_still(found.cicp))
    picture.image = pixels
    return picture


def _from_libav(path: Path, image: Image.Image | None) -> StillPicture:
    """The first picture as libav reads it, with the file's own tags, turned where Pillow does not know the file."""
    try:
        # without pattern_type, libav would treat a "%" in the name as a pattern
        with open_to_read(path, options={"pattern_type": "none"}) as container:
            if not container.streams.video:
                raise UnreadablePictureError("it contains no picture")
            if _MOVIES & set(container.format.name.split(",")) and not iso_kind(path):
                raise StudioError(
                    f"{path} is a video with the name of a picture: rename it, for example to .mp4 or .mkv."
                )
            stream = container.streams.video[0]
            if image is None and iso_kind(path) == "avif" and _has_tiles(container):
                raise StudioError(
                    f"{path} is an AVIF picture of several tiles, for which Pillow 11.3 or newer is needed. Update it "
                    f"with `{pip_command('--upgrade', 'pillow')}`, or save the picture in another format."
                )
            refuse_too_large(path, stream.codec_context.width, stream.codec_context.height)
            frame = next(container.decode(stream), None)
            if frame is None:
                raise UnreadablePictureError("it contains no picture")
            return _of_frame(path, frame, stream, image is None)
    except av.error.FFmpegError as error:
        raise UnreadablePictureError(error.strerror or str(error)) from error


def _read_exr(path: Path) -> StillPicture:
    found = read_light(path)
    notes = found.notes
    if found.alpha is not None and found.alpha.min() < 1:
        notes.append(DROPPED_ALPHA)
    if found.rgb.max() > 1 or found.rgb.min() < 0:
        notes.append("light above 1 or below 0 is cut off, except in the colours of an .exr cut-out")
    return StillPicture(shown(found.rgb), 16, aspect=Fraction(found.aspect).limit_denominator(1000), notes=notes)


def _has_tiles(container: av.container.InputContainer) -> bool:
    """Whether several streams hold colours: the one beside a single picture would be its alpha."""
    formats = [stream.codec_context.format for stream in container.streams.video]
    return sum(format is None or len(format.components) > 1 for format in formats) > 1


def _of_frame(path: Path, frame: av.VideoFrame, stream: av.VideoStream, turn: bool) -> StillPicture:
    depth, tags = bit_depth_of(frame, path), resolve_tags(frame, frame.height)
    pixels = ToRGB()(frame, tags, bit_depth=depth)
    picture = StillPicture(pixels, depth, damage="it is damaged" if frame.is_corrupt else "")
    picture.aspect = known(stream.sample_aspect_ratio) or Fraction(1)
    alpha = alpha_of(frame)
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max >> (8 * alpha.dtype.itemsize - depth):
        picture.notes.append(DROPPED_ALPHA)
    if cicp := _cicp_of(stream.codec_context):
        picture.tags = tags_of(cicp)
    if turn and frame.rotation:
        picture.image = turned(picture.image, Orientation(-round(frame.rotation / 90) * 90 % 360, False))
    return picture


def deepened(picture: StillPicture, bit_depth: int) -> StillPicture:
    """The picture with 8 or 16 bits, as the first one of its sequence has."""
    if bit_depth > 8:
        return replace(picture, image=widened(picture.image), bit_depth=bit_depth)
    if picture.image.dtype == np.uint8:
        return picture
    narrow = (np.arange(65536, dtype=np.uint32) * 255 + 32767) // 65535
    return replace(picture, image=narrow.astype(np.uint8)[picture.image], bit_depth=8)
