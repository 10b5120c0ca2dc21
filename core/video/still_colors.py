"""The colours of a still picture: from its profile, or what else the file says, to sRGB, or as tags."""

# H, W height and width

import contextlib

import numpy as np
from PIL import Image, ImageCms

from .color import MATRIX_RGB, PRIMARIES_BT709, RANGE_FULL, TRANSFER_SRGB, UNSPECIFIED, ColorTags
from .color_spaces import ADOBE_GAMMA, ADOBE_RGB, PRIMARIES, convert_to_srgb, srgb_to_linear, to_bt709
from .icc_profile import Profile, UnusableProfileError
from .picture_library import PILLOW_ERRORS
from .png_header import PngHeader

SRGB = ColorTags(MATRIX_RGB, RANGE_FULL, PRIMARIES_BT709, TRANSFER_SRGB)
_EXIF_IFD, _EXIF_COLOR_SPACE, _INTEROP_IFD = 0x8769, 0xA001, 0xA005
_SAME_GAMMA, _SAME_PLACE = 0.01, 0.005  # differences that a PNG's rounding explains
_USUAL_GAMMA = 1 / 2.2


def tags_of(cicp: tuple[int, int]) -> ColorTags:
    primaries, transfer = (UNSPECIFIED if code in (0, 3) else code for code in cicp)
    return ColorTags(
        MATRIX_RGB,
        RANGE_FULL,
        PRIMARIES_BT709 if primaries == UNSPECIFIED else primaries,
        TRANSFER_SRGB if transfer == UNSPECIFIED else transfer,
    )


def codes_of_a_still(cicp: tuple[int, int]) -> tuple[int, int]:
    """The tags of a video standard in a still mean sRGB: encoders write them by habit."""
    primaries, transfer = cicp
    return (1 if primaries in (5, 6) else primaries), (TRANSFER_SRGB if transfer in (1, 6, 14, 15) else transfer)


def eight_bits_in_srgb(image: Image.Image, notes: list[str], ignore_profile: bool) -> np.ndarray:
    """[H, W, 3] uint8 in sRGB."""
    base = image
    if image.mode in ("1", "L", "LA", "La"):
        base = image.convert("L")
    elif image.mode not in ("RGB", "CMYK", "LAB"):
        base = image.convert("RGB")
    data = image.info.get("icc_profile")
    if data and not ignore_profile:
        try:
            profile = Profile(data)
            if base.mode == "L" and profile.mode == "RGB":
                base = base.convert("RGB")
            if profile.mode != base.mode:
                raise UnusableProfileError(f"it is for {profile.mode or 'other'} pictures, this one is {base.mode}")
            if not profile.is_srgb():
                base = profile.convert(base)
                notes.append(f"colours converted from {profile.name} to sRGB")
        except UnusableProfileError as error:
            notes.append(f"the colour profile was ignored: {error}")
    if base.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        changed = ImageCms.profileToProfile(base, lab, srgb, outputMode="RGB")
        assert changed is not None
        base = changed
    elif base.mode == "CMYK":
        notes.append("CMYK without a usable profile: its colours are approximate")
    # not the RGB picture of a grey one: repeating an array is faster
    return np.array(base.convert("RGB"))


def array_in_srgb(image: np.ndarray, data: bytes | None, notes: list[str]) -> np.ndarray:
    """The colours of a picture that libav has decoded."""
    if not data:
        return image
    try:
        profile = Profile(data)
        if profile.is_srgb():
            return image
        if image.dtype == np.uint8 and profile.mode == "RGB":
            converted = np.array(profile.convert(Image.fromarray(image)))
        else:
            converted = profile.convert_deep(image)
        notes.append(f"colours converted from {profile.name} to sRGB")
    except UnusableProfileError as error:
        notes.append(f"the colour profile was ignored: {error}")
        return image
    return converted


def without_gamma(image: np.ndarray, png: PngHeader, notes: list[str]) -> np.ndarray:
    """The colours of a PNG with gAMA and cHRM, in sRGB."""
    bt709, space = PRIMARIES[PRIMARIES_BT709], png.chromaticities
    if space is not None and np.abs(np.subtract(space, bt709)).max() < _SAME_PLACE:
        space = None
    if space is not None and min(min(place) for place in space) <= 0:
        notes.append("the primaries in the file's cHRM make no sense and were ignored")
        space = None
    gamma = png.gamma if png.gamma and abs(png.gamma - _USUAL_GAMMA) >= _SAME_GAMMA else None
    if space is None and gamma is None:
        return image
    x = _positions(image)
    curve = srgb_to_linear(x) if gamma is None else x ** (1 / gamma)
    said = [f"the gamma {gamma:g}"] if gamma else []
    said += ["the primaries"] if space else []
    notes.append(f"colours converted to sRGB from {' and '.join(said)} in the file (gAMA, cHRM)")
    return convert_to_srgb(image, [curve], to_bt709(space or bt709))


def _positions(image: np.ndarray) -> np.ndarray:
    """All sample values of a picture's type as 0..1."""
    white = np.iinfo(image.dtype).max
    return np.arange(white + 1) / white


def exif_of(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except PILLOW_ERRORS:
        return Image.Exif()


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Whether a camera says so in EXIF, as DCF prescribes, instead of by a profile."""
    with contextlib.suppress(*PILLOW_ERRORS):
        exif = exif_of(image)
        if exif and exif.get_ifd(_EXIF_IFD).get(_EXIF_COLOR_SPACE) == 65535:
            return str(exif.get_ifd(_INTEROP_IFD).get(1, "")).strip("\0 ") == "R03"
    return False


def without_adobe_rgb(image: np.ndarray, picture: Image.Image, notes: list[str]) -> np.ndarray:
    """The colours in sRGB where EXIF says that they are Adobe RGB."""
    if not _is_adobe_rgb(picture):
        return image
    notes.append("colours converted from Adobe RGB to sRGB")
    return convert_to_srgb(image, [_positions(image) ** ADOBE_GAMMA], to_bt709(ADOBE_RGB))
