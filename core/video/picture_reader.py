"""Reads a still or an image sequence as frames."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error

from ..errors import StudioError
from .color import resolve_tags
from .container import known, open_to_read
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span, bit_depth_of
from .orientation import Orientation, picture_orientation, upright
from .picture_sequence import Picture


class _Decoded(NamedTuple):
    place: int  # index in the sequence
    picture: Picture
    frame: av.VideoFrame
    orientation: Orientation
    aspect: Fraction | None


class PictureReader(FrameReader):
    """Reads one or more picture files. An unreadable one is reported in `damage` and skipped; later frames keep their
    pts.
    """

    def __init__(self, path: Path, kind: str, pictures: list[Picture], rate: Fraction, span: Span) -> None:
        super().__init__()
        first_tick, end_tick = span.ticks(1 / rate)
        total = len(pictures)
        pictures = pictures[first_tick:end_tick]
        if not pictures:
            raise StudioError(
                f"{path} has no picture {span}: its {total} pictures end at {float(total / rate):g} s (at "
                f"{float(rate):g} fps). Trim it to a span that contains pictures."
            )
        decoded = self._decode(pictures)
        first = next(decoded, None)
        if first is None:
            raise StudioError(
                f"{path} has no readable picture: {self.damage[0]}. Expected pictures such as .png, .jpg or .tif."
            )
        frame = first.frame
        self._zero = 0 if span.is_whole else first.place  # subtracted from every pts
        height, width, aspect = upright(frame, first.orientation, first.aspect)
        self.info = ClipInfo(
            path=path,
            kind=kind,
            height=height,
            width=width,
            frame_rate=rate,
            time_base=1 / rate,
            frame_count=len(pictures),
            bit_depth=bit_depth_of(frame, first.picture.path),
            tags=resolve_tags(frame, frame.height),
            sample_aspect_ratio=aspect,
        )
        self._frames = self._convert(first, decoded)

    def _decode(self, pictures: list[Picture]) -> Iterator[_Decoded]:
        for place, picture in enumerate(pictures):
            try:
                frame, orientation, aspect = _decode_picture(picture.path)
            except av.error.FFmpegError as error:
                self.damage.append(f"picture {picture.path.name} could not be read ({error.strerror})")
                continue
            if frame.is_corrupt:
                self.damage.append(f"picture {picture.path.name} is damaged")
            yield _Decoded(place, picture, frame, orientation, aspect)

    def _convert(self, first: _Decoded, decoded: Iterator[_Decoded]) -> Iterator[SourceFrame]:
        info = self.info
        item, number = first, 0
        while item is not None:
            place, picture, frame, orientation, _ = item
            height, width, _ = upright(frame, orientation, None)
            if (height, width) != (info.height, info.width):
                raise StudioError(
                    f"{picture.path} is {width}x{height}, but {first.picture.path}, the first of the sequence, is "
                    f"{info.width}x{info.height}. Expected pictures of equal size: scale them, or matte them "
                    "separately."
                )
            image = NO_IMAGE
            if number >= self.skip:
                tags = resolve_tags(frame, frame.height)
                image = self._to_rgb(frame, tags, orientation.rotation, info.bit_depth, orientation.mirrored)
            yield SourceFrame(image, place - self._zero, picture.number)
            number += 1
            item = next(decoded, None)


def _decode_picture(path: Path) -> tuple[av.VideoFrame, Orientation, Fraction | None]:
    """-> the first frame, its orientation, and its sample aspect ratio if the file has one."""
    # without pattern_type, libav would treat a "%" in the name as a pattern
    with open_to_read(path, options={"pattern_type": "none"}) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            orientation = picture_orientation(path, frame, stream.codec_context.name)
            return frame, orientation, known(stream.sample_aspect_ratio)
    raise av.error.InvalidDataError(0, "it contains no picture", str(path))
