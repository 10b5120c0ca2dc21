"""How much frames are reduced for the network."""

from ..errors import StudioError
from ..network import small_size

# Longest side of the small picture. "auto" is the official rule; the presets follow the official advice of
# 0.25 (portrait) and 0.4 (full body, smaller heads need more pixels) at 1920x1080.
LONGEST_SIDE = {"auto": 512, "portrait": 480, "full_body": 768}


def choose_downsample_ratio(wanted: str | float, height: int, width: int) -> float:
    """ "auto", "portrait", "full_body", or a number 0 < ratio <= 1 -> the ratio for frames of this size.

    The presets never reduce frames whose longest side is at most 512 pixels. Raises StudioError for anything else, and
    for a number that would leave less than one pixel.
    """
    if isinstance(wanted, str) and wanted not in LONGEST_SIDE:
        try:
            wanted = float(wanted)
        except ValueError:
            raise StudioError(
                f"Unknown downsample ratio {wanted!r}. Use {', '.join(LONGEST_SIDE)}, "
                "or a number above 0 and at most 1."
            ) from None
    longest, shortest = max(height, width), min(height, width)
    if isinstance(wanted, str):
        if longest <= 512:
            return 1.0
        return max(min(1.0, LONGEST_SIDE[wanted] / longest), 1 / shortest)
    if not 0 < wanted <= 1:
        raise StudioError(f"The downsample ratio is {wanted:g}; it must be above 0 and at most 1.")
    if min(small_size(height, width, wanted)) < 1:
        raise StudioError(
            f"A downsample ratio of {wanted:g} leaves no pixel of {width}x{height} frames. Use a larger one."
        )
    return float(wanted)
