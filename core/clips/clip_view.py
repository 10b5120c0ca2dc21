"""How the network sees a clip: as it is, tone-mapped from HDR, or through a LUT that the user gives."""

from pathlib import Path

from ..errors import StudioError
from ..pictures.cube_lut import cube_view
from ..pictures.view import HLG, PQ, View, hdr_view
from ..video.color import ColorTags

_MOST_BYTES = 500_000_000


def view_of(tags: ColorTags, lut: Path | None = None) -> View | None:
    """The view of a clip with these colour tags; None: the network sees the clip as it is.

    lut: a .cube file that maps the clip's values to those of an SDR display; it replaces the tone mapping of HDR.

    Raises StudioError for a file that is not such a LUT.
    """
    if lut is not None:
        return read_cube(lut)
    return hdr_view(tags.transfer) if tags.transfer in (PQ, HLG) else None


def read_cube(path: Path) -> View:
    """The view that a .cube file describes. Raises StudioError if it is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise StudioError(f"The LUT {path} is too large for a .cube file.")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StudioError(f"The LUT {path} cannot be read ({error.strerror or error}): check its name.") from error
    return cube_view(text, path.name)
