"""Converts the colours of a picture from its ICC profile to sRGB.

8-bit pictures go through Little CMS (Pillow's ImageCms). Pillow cannot pass 16-bit colours to it: for these the curves
and primaries of the profile are read here, which is exact for all profiles without colour tables (Adobe RGB, ProPhoto
RGB, Display P3, grey scales).
"""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from .color_spaces import PRIMARIES, adaptation, convert_to_srgb, to_xyz

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of ICC's connection space
_SAME = 2  # of 255: a profile that changes no colour by more is a version of sRGB
_BLACK_POINT_COMPENSATION: Any = 0x2000  # ImageCms.Flags, which came with Pillow 10.3
_CHANNELS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}


class UnusableProfileError(Exception):
    """The profile is broken, or is for another kind of picture."""


class Profile:
    """An ICC profile of a picture. Raises UnusableProfileError for bytes that are none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            self._cms = ImageCms.ImageCmsProfile(io.BytesIO(data))
        except (OSError, ImageCms.PyCMSError, ValueError, TypeError) as error:
            raise UnusableProfileError(str(error)) from error
        self._facts: Any = self._cms.profile
        self.mode = _CHANNELS.get(self._facts.xcolor_space.strip().upper(), "")
        """Pillow's mode of the pictures that it is for; empty if there is none."""

    @property
    def name(self) -> str:
        """How the profile calls itself."""
        text = (self._facts.profile_description or "").strip().strip("\0")
        return " ".join(text.split())[:80] or "a colour profile without a name"

    def is_srgb(self) -> bool:
        """Whether it changes no colour visibly."""
        if self.mode not in ("RGB", "L"):
            return False
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        if self.mode == "L":
            ramp = np.arange(256, dtype=np.uint8)[None]
            colors = np.repeat(ramp[..., None], 3, axis=2)
            changed = self.convert(Image.fromarray(ramp))
        else:
            colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, -1, 3)
            changed = self.convert(Image.fromarray(colors))
        return int(np.abs(np.asarray(changed, np.int16) - colors).max()) <= _SAME

    def convert(self, image: Image.Image) -> Image.Image:
        """An 8-bit picture of `mode` -> RGB, in sRGB, relative to white and with black point compensation."""
        srgb = ImageCms.createProfile("sRGB")
        try:
            transform = ImageCms.buildTransform(
                self._cms,
                srgb,
                self.mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                _BLACK_POINT_COMPENSATION,
            )
            changed = ImageCms.applyTransform(image, transform)
        except (OSError, ImageCms.PyCMSError, ValueError) as error:
            raise UnusableProfileError(str(error)) from error
        assert changed is not None  # it is, in place only
        return changed

    def convert_deep(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint16 -> the same in sRGB. Raises UnusableProfileError for a profile of colour tables."""
        size = 65536
        if self.mode == "L":
            curve = self._curve("kTRC", size)
            return convert_to_srgb(image, [curve], np.eye(3))
        names = ("rXYZ", "gXYZ", "bXYZ")
        tags = self._tags()
        if self.mode != "RGB" or any(name not in tags for name in names) or any(name[:3] == "A2B" for name in tags):
            raise UnusableProfileError("it consists of colour tables")
        columns = np.stack([np.array(struct.unpack(">3i", tags[name][8:20])) / 65536 for name in names], axis=1)
        white = to_xyz(PRIMARIES[1]).sum(1)
        matrix = np.linalg.inv(to_xyz(PRIMARIES[1])) @ adaptation(_D50, white) @ columns
        return convert_to_srgb(image, [self._curve(f"{channel}TRC", size) for channel in "rgb"], matrix)

    def _tags(self) -> dict[str, bytes]:
        """The profile's elements by signature (ICC.1:2022, 7.3)."""
        data = self._data
        try:
            (count,) = struct.unpack_from(">I", data, 128)
            entries = [struct.unpack_from(">4sII", data, 132 + 12 * place) for place in range(min(count, 100))]
        except struct.error as error:
            raise UnusableProfileError("it is cut off") from error
        return {name.decode("latin-1"): data[start : start + length] for name, start, length in entries}

    def _curve(self, name: str, size: int) -> np.ndarray:
        """A tone curve as a table of `size` values: `curv` or `para` (ICC.1:2022, 10.6 and 10.18)."""
        data, x = self._tags().get(name, b""), np.linspace(0, 1, size)
        try:
            if data[:4] == b"curv":
                (count,) = struct.unpack_from(">I", data, 8)
                if count == 0:
                    return x
                values = np.array(struct.unpack_from(f">{count}H", data, 12), np.float64)
                return x ** (values[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), values / 65535)
            if data[:4] == b"para":
                (kind,) = struct.unpack_from(">H", data, 8)
                count = (1, 3, 4, 5, 7)[kind]
                return _parametric(x, [value / 65536 for value in struct.unpack_from(f">{count}i", data, 12)])
        except (struct.error, IndexError) as error:
            raise UnusableProfileError(f"its curve {name} is broken") from error
        raise UnusableProfileError(f"it has no curve {name}")


def _parametric(x: np.ndarray, numbers: list[float]) -> np.ndarray:
    gamma, a, b, c, d, e, f = (numbers + [1, 0, 0, 0, 0, 0, 0][len(numbers) :])[:7]
    if len(numbers) == 1:
        return x**gamma
    if len(numbers) in (3, 4):  # the second form has c where nothing is left of -b / a; the third adds it everywhere
        offset = c if len(numbers) == 4 else 0
        return np.where(x >= -b / a, np.maximum(a * x + b, 0) ** gamma, 0) + offset
    return np.where(x >= d, np.maximum(a * x + b, 0) ** gamma + e, c * x + f)
