"""OpenEXR pictures: scene-linear light in half or float, read for matting and written for compositing.

In: light is shown as sRGB, clipped to 0..1, in 16 bits; that is what the network sees, and what other formats get. The
light outside 0..1 is not lost: an EXR output takes it from the source again (see exr_encoder.py).
"""

# H, W height and width of the display window

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StudioError
from ..machine.install_advice import pip_command
from .color_spaces import PRIMARIES, linear_to_srgb, to_bt709
from .picture_library import UnreadablePictureError, reason, refuse_too_large

EXR = ".exr"
_SAME_PLACE = 0.0005
_ROWS = 256


@dataclass
class Light:
    """rgb: [H, W, 3] float32, linear light with BT.709's primaries, not clipped. alpha: [H, W], or None. notes: what
    was changed on the way. aspect: of a pixel."""

    rgb: np.ndarray
    alpha: np.ndarray | None
    notes: list[str]
    aspect: float


def openexr(path: Path) -> Any:
    """The library. Raises StudioError if it is not installed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise StudioError(
            f"{path} is an OpenEXR picture, for which the package OpenEXR is needed. Install it with "
            f"`{pip_command('OpenEXR')}`, or use 16-bit PNG or TIFF."
        ) from error
    return OpenEXR


def read_light(path: Path) -> Light:
    """Reads a picture of one part, or the first part with colours. Raises UnreadablePictureError if it is broken, and
    StudioError if it is of a kind that is not supported."""
    library = openexr(path)
    try:
        with library.File(str(path), separate_channels=True) as file:
            return _light_of(path, file)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, MemoryError) as error:
        raise UnreadablePictureError(reason(error)) from error


def _light_of(path: Path, file: Any) -> Light:
    notes: list[str] = []
    found = next(((part, named) for part in file.parts if (named := _colors(part.channels))), None)
    if found is None:
        if not any(part.channels for part in file.parts):
            raise UnreadablePictureError("it has no channels, or is cut off")
        raise StudioError(
            f"{path} has no channels R, G and B, and no Y. Expected a picture in colour or grey: choose another layer "
            "when exporting."
        )
    part, (names, alpha_name) = found
    if len(file.parts) > 1:
        notes.append(f"only one of the {len(file.parts)} parts of the EXR is used")
    header, channels = part.header, part.channels
    if any(channels[name].xSampling != 1 or channels[name].ySampling != 1 for name in names):
        raise StudioError(f"{path} has subsampled channels. Expected R, G and B of full size: export it as RGB.")
    (left, top), (right, bottom) = (np.asarray(corner, int).tolist() for corner in header["displayWindow"])
    data_left, data_top = np.asarray(header["dataWindow"][0], int).tolist()
    height, width = bottom - top + 1, right - left + 1
    refuse_too_large(path, width, height)

    def placed(name: str, fill: float) -> np.ndarray:
        """A channel [H, W] in the display window."""
        pixels = np.asarray(channels[name].pixels, np.float32)
        whole = np.full((height, width), fill, np.float32)
        rows = slice(max(0, data_top - top), min(height, data_top - top + pixels.shape[0]))
        columns = slice(max(0, data_left - left), min(width, data_left - left + pixels.shape[1]))
        if rows.start < rows.stop and columns.start < columns.stop:
            y, x = top - data_top, left - data_left
            whole[rows, columns] = pixels[rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
        return np.nan_to_num(whole, copy=False, nan=0, posinf=65504, neginf=-65504)

    rgb = np.stack([placed(name, 0) for name in names], axis=-1)
    alpha = placed(alpha_name, 0) if alpha_name else None
    space = _chromaticities(header.get("chromaticities"))
    if space is not None:
        rgb = rgb @ to_bt709(space).astype(np.float32).T
        notes.append("colours converted from the EXR's own primaries to BT.709")
    return Light(rgb, alpha, notes, float(header.get("pixelAspectRatio") or 1))


def _colors(channels: dict[str, Any]) -> tuple[tuple[str, str, str], str] | None:
    """((red, green, blue), alpha or "") by the names of the channels: those without a layer first."""
    layers = sorted({name.rpartition(".")[0] for name in channels}, key=lambda layer: (layer != "", layer))
    for layer in layers:
        names = {name.rpartition(".")[2].upper(): name for name in channels if name.rpartition(".")[0] == layer}
        if {"R", "G", "B"} <= names.keys():
            return (names["R"], names["G"], names["B"]), names.get("A", "")
    for layer in layers:
        name = f"{layer}.Y" if layer else "Y"
        if name in channels and not {f"{name[:-1]}RY", f"{name[:-1]}BY"} & channels.keys():
            return (name, name, name), ""
    return None


def _chromaticities(given: Any) -> tuple[tuple[float, float], ...] | None:
    """(x, y) of red, green, blue and white; None for those of BT.709, and for nonsense."""
    if given is None:
        return None
    values = [float(value) for value in np.ravel(np.asarray(given, dtype=np.float64))]
    if len(values) != 8 or any(values[place] == 0 for place in (1, 3, 5, 7)):
        return None
    space = tuple(zip(values[::2], values[1::2], strict=True))
    return None if np.abs(np.subtract(space, PRIMARIES[1])).max() < _SAME_PLACE else space


def shown(light: np.ndarray) -> np.ndarray:
    """[H, W, 3] linear light -> what a display shows of it: sRGB, clipped, uint16."""
    result = np.empty(light.shape, np.uint16)
    for top in range(0, len(light), _ROWS):
        strip = np.clip(light[top : top + _ROWS], 0, 1)
        result[top : top + _ROWS] = np.rint(linear_to_srgb(strip) * 65535).astype(np.uint16)
    return result
