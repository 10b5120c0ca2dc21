"""What the frames of a clip have in common."""

from dataclasses import dataclass
from fractions import Fraction

from .color import ColorTags


@dataclass(frozen=True, kw_only=True)
class PictureSpec:
    """What all frames of a clip have in common, as a reader finds it and a writer needs it.

    Attributes:
        height, width: In pixels, of the upright picture, that is after rotation.
        frame_rate: Frames per second: nominal for videos, whose intervals may vary.
        time_base: The unit of time stamps (`pts`), in seconds.
        tags: The colour tags.
        bit_depth: 8, or the real depth above 8 (10, 12, 16).
        sample_aspect_ratio: Width / height of a pixel.
        field_order: "progressive", or the field of an interlaced frame that was taken first, "top" or "bottom".
        timecode: That of the first frame, such as "01:00:00:00"; None if there is none.

    Example:
        >>> from fractions import Fraction
        >>> from rvm_studio import core
        >>> spec = core.PictureSpec(
        ...     height=48, width=64, frame_rate=Fraction(25), time_base=Fraction(1, 25), tags=core.ColorTags(1, 1, 1, 1)
        ... )
        >>> spec.bit_depth
        8
    """

    height: int
    width: int
    frame_rate: Fraction
    time_base: Fraction
    tags: ColorTags
    bit_depth: int = 8
    sample_aspect_ratio: Fraction = Fraction(1)
    field_order: str = "progressive"
    timecode: str | None = None
