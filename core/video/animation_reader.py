"""Reads an animated GIF, PNG, WebP or AVIF as a clip with its own times.

Pillow decodes, which puts partial frames together; colours above 8 bits are cut to 8. Only the picture that is shown is
held in memory.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import reduce
from itertools import accumulate, pairwise
from math import gcd, lcm
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import StudioError
from .animation_times import frame_delays
from .frame_clock import clock_for
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span
from .picture_library import PILLOW_ERRORS, UnreadablePictureError, open_with_pillow, reason
from .png_header import read_png_header
from .reduced_size import reduced_picture, reduced_size
from .still_colors import SRGB, eight_bits_in_srgb
from .still_picture import DROPPED_ALPHA, AvifFacts, is_transparent

_ROUNDED = {".gif": Fraction(1, 100), ".webp": Fraction(1, 1000)}


class AnimationReader(FrameReader):
    """Reads an animation. What cannot be decoded ends it, and is reported in `damage`."""

    def __init__(self, path: Path, span: Span, max_size: int | None = None) -> None:
        super().__init__()
        self._max_size = max_size
        delays = frame_delays(path)
        step, rate, times = _clock(path, delays)
        first_tick, end_tick = span.ticks(step)
        length = times[-1]
        kept = [
            number
            for number, time in enumerate(times[:-1])
            if time >= (first_tick or 0) and (end_tick is None or time < end_tick)
        ]
        if not kept:
            raise StudioError(
                f"{path} has no frame {span}: it ends after {float(length * step):g} s. Trim it to a span that "
                "contains frames."
            )
        header = read_png_header(path)
        self._leading = 1 if header and header.default_image else 0  # a picture that is not part of the animation
        self._path, self._times = path, times
        self._zero = 0 if span.is_whole else times[kept[0]]
        image = _opened(path)
        self._image = image
        if (header and header.deep_color) or (image.format == "AVIF" and AvifFacts(path, image.size).is_deep):
            self.notes.append("the frames' 16 bits were reduced to 8")
        height, width = reduced_size(image.height, image.width, max_size)
        self.info = ClipInfo(
            path=path,
            kind="animation",
            height=height,
            width=width,
            frame_rate=rate,
            time_base=step,
            frame_count=len(kept),
            tags=SRGB,
            begins=self._zero * step,
        )
        shown = self._decode(kept)
        first = next(shown, None)
        if first is None:
            self.close()
            raise StudioError(
                f"{path} has no frame that can be decoded ({self.damage[0]}). Check whether it plays elsewhere."
            )
        self._frames = self._convert(first, shown)

    def close(self) -> None:
        super().close()
        self._image.close()

    def _decode(self, numbers: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the frame, [H, W, 3]) of these frames."""
        for number in numbers:
            try:
                self._image.seek(number + self._leading)
                self._image.load()
                pixels = self._pixels()
            except (*PILLOW_ERRORS, UnreadablePictureError) as error:
                self.damage.append(f"frame {number} and those after it could not be decoded ({reason(error)})")
                return
            if pixels.shape[:2] != (self.info.height, self.info.width):
                self.damage.append(f"the animation ends at frame {number}, which has another size")
                return
            yield number, pixels

    def _pixels(self) -> np.ndarray:
        if DROPPED_ALPHA not in self.notes and is_transparent(self._image):
            self._note(DROPPED_ALPHA)
        notes: list[str] = []
        pixels = eight_bits_in_srgb(self._image, notes, ignore_profile=False)
        self._note(*notes)
        return reduced_picture(pixels, self._max_size, self._to_rgb)

    def _convert(self, first: tuple[int, np.ndarray], shown: Iterator[tuple[int, np.ndarray]]) -> Iterator[SourceFrame]:
        item: tuple[int, np.ndarray] | None = first
        place = 0
        while item is not None:
            number, pixels = item
            yield SourceFrame(NO_IMAGE if place < self.skip else pixels, self._times[number] - self._zero, place)
            place += 1
            item = next(shown, None)


def _opened(path: Path) -> Image.Image:
    """Raises StudioError if Pillow cannot read the file."""
    why = "Pillow does not know it"
    try:
        image = open_with_pillow(path)
    except UnreadablePictureError as error:
        image, why = None, str(error)
    if image is None:
        newer = (
            "Install Pillow 11.3 or newer." if path.suffix.lower().startswith(".avif") else "Does it play elsewhere?"
        )
        raise StudioError(f"{path} cannot be read as an animated picture ({why}). {newer}")
    return image


def _clock(path: Path, delays: list[Fraction]) -> tuple[Fraction, Fraction, list[int]]:
    """(time base, frames per second, when each frame begins and the last one ends).

    A constant rate in a GIF's hundredths or a WebP's thousandths of a second becomes exact again."""
    rate = len(delays) / sum(delays, Fraction(0))
    unit = _ROUNDED.get(path.suffix.lower())
    if unit is not None and len(set(delays)) > 1:
        times = [round(time / unit) for time in accumulate(delays, initial=Fraction(0))]
        clock = clock_for(times, unit, None, default=rate)
        exact = [clock.tick(time) for time in times]
        if clock.is_constant and all(after - before == exact[1] for before, after in pairwise(exact)):
            return 1 / clock.rate, clock.rate, list(range(len(times)))
    step = _common_step(delays)
    return step, rate, [round(time / step) for time in accumulate(delays, initial=Fraction(0))]


def _common_step(delays: list[Fraction]) -> Fraction:
    """The largest time of which all delays are multiples."""
    below = lcm(*(delay.denominator for delay in delays))
    return Fraction(reduce(gcd, (int(delay * below) for delay in delays)), below)
