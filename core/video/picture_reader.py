"""Reads a still or an image sequence as frames."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ..errors import StudioError
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span
from .picture_library import UnreadablePictureError
from .picture_sequence import Picture, gap_note
from .reduced_size import reduced_picture
from .still_picture import StillPicture, deepened, read_picture


class _Decoded(NamedTuple):
    place: int  # index in the sequence
    picture: Picture
    pixels: StillPicture


class PictureReader(FrameReader):
    """Reads one or more picture files. An unreadable one is reported in `damage` and skipped; later frames keep their
    pts. The first one decides on size and depth.
    """

    def __init__(
        self, path: Path, kind: str, pictures: list[Picture], rate: Fraction, span: Span, max_size: int | None = None
    ) -> None:
        super().__init__()
        self._max_size = max_size
        first_tick, end_tick = span.ticks(1 / rate)
        total = len(pictures)
        pictures = pictures[first_tick:end_tick]
        if not pictures:
            raise StudioError(
                f"{path} has no picture {span}: its {total} pictures end at {float(total / rate):g} s (at "
                f"{float(rate):g} fps). Trim it to a span that contains pictures."
            )
        self._note(*filter(None, [gap_note(pictures)]))
        decoded = self._decode(pictures)
        first = next(decoded, None)
        if first is None:
            raise StudioError(
                f"{path} has no readable picture: {self.damage[0]}. Expected pictures such as .png, .jpg or .tif."
            )
        self._zero = 0 if span.is_whole else first.place  # subtracted from every pts
        height, width, _ = first.pixels.image.shape
        self.info = ClipInfo(
            path=path,
            kind=kind,
            height=height,
            width=width,
            frame_rate=rate,
            time_base=1 / rate,
            frame_count=len(pictures),
            bit_depth=first.pixels.bit_depth,
            tags=first.pixels.tags,
            sample_aspect_ratio=first.pixels.aspect,
        )
        self._frames = self._convert(first, decoded)

    def _decode(self, pictures: list[Picture]) -> Iterator[_Decoded]:
        for place, picture in enumerate(pictures):
            try:
                pixels = read_picture(picture.path)
            except UnreadablePictureError as error:
                self.damage.append(f"picture {picture.path.name} could not be read ({error})")
                continue
            if pixels.damage:
                self.damage.append(f"picture {picture.path.name} is damaged ({pixels.damage})")
            self._note(*pixels.notes)
            image = reduced_picture(pixels.image, self._max_size, self._to_rgb)
            yield _Decoded(place, picture, replace(pixels, image=image))

    def _convert(self, first: _Decoded, decoded: Iterator[_Decoded]) -> Iterator[SourceFrame]:
        info = self.info
        item, number = first, 0
        while item is not None:
            place, picture, pixels = item
            height, width, _ = pixels.image.shape
            if (height, width) != (info.height, info.width):
                raise StudioError(
                    f"{picture.path} is {width}x{height}, but {first.picture.path}, the first of the sequence, is "
                    f"{info.width}x{info.height}. Expected pictures of equal size: scale them, or matte them "
                    "separately."
                )
            if pixels.tags != info.tags:
                self._note(f"from {picture.path.name} on, pictures are tagged with other colours than the first one")
            if info.bit_depth == 8 and pixels.bit_depth > 8:
                self._note("pictures of more than 8 bits were reduced to 8, which the first of the sequence has")
            image = NO_IMAGE if number < self.skip else deepened(pixels, info.bit_depth).image
            yield SourceFrame(image, place - self._zero, picture.number)
            number += 1
            item = next(decoded, None)
