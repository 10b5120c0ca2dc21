"""Opens still pictures with Pillow and pillow-heif, within the memory that is there."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import StudioError
from ..machine.free_memory import free_memory
from ..machine.install_advice import pip_command

# what Pillow raises for files that it does not know, and for broken ones
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, MemoryError)
# in the decoder 4, as an array 3, the cut-out 4, alpha 1, and what the network and the encoder add
_BYTES_PER_PIXEL = 16
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_limit = threading.Lock()


class UnreadablePictureError(Exception):
    """No library can read the picture; the message says why."""


def open_with_pillow(path: Path) -> Image.Image | None:
    """The picture, its pixels not yet decoded; None if Pillow does not know the format.

    Pillow's own limit of pixels, made for servers, does not apply: that of the memory does. Raises StudioError if the
    picture is too large for that, and UnreadablePictureError if it is broken.
    """
    _load_plugins(path)
    with _limit:  # the setting is the whole process's, so it is put back at once
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        except UnidentifiedImageError:
            return None
        except PILLOW_ERRORS as error:
            raise UnreadablePictureError(reason(error)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before
    refuse_too_large(path, *image.size)
    return image


def reason(error: BaseException) -> str:
    """An error of a library as a part of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def refuse_too_large(path: Path, width: int, height: int) -> None:
    """Raises StudioError if a picture of this size does not fit into the free memory."""
    needed, free = width * height * _BYTES_PER_PIXEL, free_memory()
    if free is not None and needed > free:
        raise StudioError(
            f"{path} is {width}x{height} pixels, for which {needed / 1e9:.1f} GB of memory are needed, but only "
            f"{free / 1e9:.1f} GB are free. Make the picture smaller, or close other programs."
        )


def iso_kind(path: Path) -> str:
    """ "heif" or "avif" by the first box of the file, whatever its name; "" for other files."""
    with path.open("rb") as file:
        start = file.read(64)
    if start[4:8] != b"ftyp":
        return ""
    end = min(len(start), int.from_bytes(start[:4], "big"))
    brands = {start[8:12], *(start[place : place + 4] for place in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if brands & _HEIF_BRANDS else ""


def _load_plugins(path: Path) -> None:
    """Imports what registers a format with Pillow; where it is not installed, libav may know the format."""
    suffix = path.suffix.lower()
    names = {".avif": "pillow_avif", ".jxl": "pillow_jxl"}
    if suffix not in names or suffix in Image.registered_extensions():
        return  # Pillow knows AVIF itself since 11.3
    with contextlib.suppress(ImportError):
        __import__(names[suffix])


class HeifPicture:
    """The primary picture of a HEIC or HEIF file, upright.

    pixels: [H, W], [H, W, 3] or [H, W, 4], uint8, or uint16 with white 65535. depth: bits per sample. icc: its colour
    profile. cicp: H.273 primaries and transfer. Raises UnreadablePictureError, and StudioError without the library.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pillow_heif
        except ImportError as error:
            raise StudioError(
                f"{path} is a HEIC picture, for which the package pillow-heif is needed. Install it with "
                f"`{pip_command('pillow-heif')}`, or save the picture as JPEG."
            ) from error
        try:
            file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
            image = file[file.primary_index]
            refuse_too_large(path, *image.size)
            pixels = np.array(image)  # a copy: earlier versions free the pixels with the file
        except PILLOW_ERRORS as error:
            raise UnreadablePictureError(reason(error)) from error
        info: dict[str, Any] = image.info
        self.depth: int = max(8, int(info.get("bit_depth") or 8))
        if pixels.dtype == np.uint16:  # its bits are at the top of the 16
            steps = 2**self.depth - 1
            table = np.arange(65536) >> (16 - self.depth)
            pixels = np.rint(table * (65535 / steps)).astype(np.uint16)[pixels]
        self.pixels: np.ndarray = pixels
        self.icc: bytes | None = info.get("icc_profile") or None
        nclx = info.get("nclx_profile")
        self.cicp: tuple[int, int] | None = None
        if nclx:
            self.cicp = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
        self.is_premultiplied = image.mode.startswith("RGBa")
