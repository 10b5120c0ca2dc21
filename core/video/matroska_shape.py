"""The pixel aspect ratio in the header of a Matroska or WebM file.

libav's muxer takes it from a place that PyAV cannot write. So the video track gets a title as a placeholder, and when
the file is complete, the title makes room for the elements that hold the shape (RFC 9559, section 5.1.4.1.28):
DisplayWidth, DisplayHeight and DisplayUnit. No other byte of the file moves.
"""

import io
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

PLACEHOLDER = "-" * 24
"""The title that makes room."""

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_NAME, _VOID, _CRC = 0x536E, 0xEC, 0xBF
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_PIXELS, _RATIO = 0, 3  # units: the size in pixels, or the ratio of the sides


class _Element(NamedTuple):
    id: int
    begin: int  # of the content
    end: int


def write_pixel_shape(path: Path, width: int, height: int, aspect: Fraction) -> None:
    """Writes the shape into a complete file whose video track has the title `PLACEHOLDER`.

    Args:
        path: The file.
        width: Of the picture, in pixels.
        height: The same.
        aspect: Width / height of a pixel.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: It has no such track.
    """
    with path.open("r+b") as file:
        place, changed = _changed_tracks(file, path.stat().st_size, width, height, aspect)
        file.seek(place)
        file.write(changed)


def header_with_pixel_shape(header: bytes, width: int, height: int, aspect: Fraction) -> bytes:
    """The same for the beginning of a stream, up to its first frame at least."""
    place, changed = _changed_tracks(io.BytesIO(header), len(header), width, height, aspect)
    return header[:place] + changed + header[place + len(changed) :]


def _changed_tracks(file: BinaryIO, size: int, width: int, height: int, aspect: Fraction) -> tuple[int, bytes]:
    """(place, new content) of the element that holds all tracks."""
    place, data = _tracks_of(file, size)
    for track in _elements(data, 0, len(data)):
        if track.id != _TRACK:
            continue
        changed = _with_shape(data[track.begin : track.end], width, height, aspect)
        if changed is not None:
            return place, _with_checksum(data[: track.begin] + changed + data[track.end :])
    raise ValueError("the file has no video track with the placeholder")


def _tracks_of(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """(place, content) of the element that holds all tracks."""
    place, end = 0, size
    while place < end:
        file.seek(place)
        head = file.read(12)
        if len(head) < 2:
            break
        id, length, header = _head(head, 0)
        begin = place + header
        if id == _SEGMENT:
            place = begin  # go on inside
        elif id == _TRACKS:
            file.seek(begin)
            return begin, file.read(length)
        else:
            place = begin + length
    raise ValueError("the file has no tracks")


def _with_shape(track: bytes, width: int, height: int, aspect: Fraction) -> bytes | None:
    """A track's content with the shape, of the same length; None if it has no placeholder."""
    children = list(_elements(track, 0, len(track)))
    names = [track[child.begin : child.end] for child in children if child.id == _NAME]
    if names != [PLACEHOLDER.encode()] or all(child.id != _VIDEO for child in children):
        return None
    parts = []
    for child in children:
        content = track[child.begin : child.end]
        if child.id == _VIDEO:
            shape = (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
            kept = [e for e in _elements(content, 0, len(content)) if e.id not in shape]
            content = b"".join(_element(e.id, content[e.begin : e.end]) for e in kept)
            for id, value in zip(shape, _display(width, height, aspect), strict=True):
                content += _element(id, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
        if child.id != _NAME:
            parts.append(_element(child.id, content))
    whole = b"".join(parts)
    spare = len(track) - len(whole)
    assert 2 <= spare <= 128, spare
    return whole + bytes([_VOID, 0x80 | (spare - 2)]) + bytes(spare - 2)


def _display(width: int, height: int, aspect: Fraction) -> tuple[int, int, int]:
    """(width, height, unit): the shown size in pixels if it is whole, which all players know, else the ratio."""
    shown = Fraction(width) * aspect, Fraction(height)
    if aspect < 1:
        shown = Fraction(width), Fraction(height) / aspect
    if all(side.denominator == 1 for side in shown):
        return int(shown[0]), int(shown[1]), _PIXELS
    ratio = shown[0] / shown[1]
    return ratio.numerator, ratio.denominator, _RATIO


def _with_checksum(tracks: bytes) -> bytes:
    """The content of the tracks' element with its checksum, which comes first if there is one, made right."""
    first = next(_elements(tracks, 0, len(tracks)))
    if first.id != _CRC:
        return tracks
    checksum = zlib.crc32(tracks[first.end :]).to_bytes(4, "little")
    return tracks[: first.begin] + checksum + tracks[first.end :]


def _elements(data: bytes, place: int, end: int) -> Iterator[_Element]:
    while place < end:
        id, length, header = _head(data, place)
        yield _Element(id, place + header, place + header + length)
        place += header + length


def _head(data: bytes, place: int) -> tuple[int, int, int]:
    """(id, length of the content, length of both) of the element at `place`."""
    id_length = 9 - data[place].bit_length()
    id = int.from_bytes(data[place : place + id_length], "big")
    first = data[place + id_length]
    size_length = 9 - first.bit_length()
    raw = int.from_bytes(data[place + id_length : place + id_length + size_length], "big")
    return id, raw & ((1 << 7 * size_length) - 1), id_length + size_length


def _element(id: int, content: bytes) -> bytes:
    length = len(content)
    size = 1
    while length >= (1 << 7 * size) - 1:
        size += 1
    return id.to_bytes((id.bit_length() + 7) // 8, "big") + (length | 1 << 7 * size).to_bytes(size, "big") + content
