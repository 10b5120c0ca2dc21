"""Whether a picture file is animated, and how long each of its frames is shown, by the file's own blocks."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

from .picture_sequence import is_picture
from .png_header import read_png_header

ANIMATED_SUFFIXES = frozenset((".gif", ".webp", ".png", ".apng", ".avif", ".avifs"))
_AT_ONCE = Fraction(1, 10)  # what players make of a frame without a time
_SHORTEST_GIF = Fraction(2, 100)


def picture_kind(path: Path) -> Literal["still", "animation"] | None:
    """What an existing picture file is: by its suffix, and by what it holds if the suffix may be that of a clip. None
    for other files, and for those that do not exist."""
    may_move = path.suffix.lower() in ANIMATED_SUFFIXES
    if not path.is_file() or not (may_move or is_picture(path)):
        return None
    return "animation" if may_move and frame_delays(path) else "still"


def is_single_picture(path: Path) -> bool:
    """Whether an existing file is a still."""
    return picture_kind(path) == "still"


def frame_delays(path: Path) -> list[Fraction]:
    """The seconds that each frame of a GIF, PNG, WebP or AVIF is shown; empty for a still, and for other files. A
    truncated file has the frames that begin in it.

    A time of zero counts as 0.1 s, and in a GIF also one of 0.01 s, as browsers play them.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
            if start[:6] in (b"GIF87a", b"GIF89a"):
                found = list(_gif(file))
                shortest = _SHORTEST_GIF
            elif start[:4] == b"RIFF" and start[8:] == b"WEBP":
                found, shortest = list(_webp(file)), Fraction(1, 1000)
            elif start[4:] == b"ftypavis":
                found, shortest = _avif(path), Fraction(1, 10**9)
            else:
                header = read_png_header(path)
                found, shortest = header.delays if header else [], Fraction(1, 10**9)
    except OSError:
        return []
    return [delay if delay >= shortest else _AT_ONCE for delay in found] if len(found) > 1 else []


def _avif(path: Path) -> list[Fraction]:
    """The durations of a sequence's frames; beside it, libav sees the file's still as a stream of one frame."""
    import av.error  # not for the other kinds, and so not for the command line's help

    from .container import known, open_to_read

    try:
        with open_to_read(path) as container:
            stream = max(container.streams.video, key=lambda stream: stream.frames, default=None)
            base = None if stream is None else known(stream.time_base)
            if stream is None or base is None:
                return []
            packets = [packet for packet in container.demux(stream) if packet.pts is not None and packet.size]
    except av.error.FFmpegError:
        return []
    packets.sort(key=lambda packet: packet.pts)
    times = [packet.pts for packet in packets]
    lengths = [after - before for before, after in pairwise(times)] + [packet.duration or 0 for packet in packets[-1:]]
    return [length * base for length in lengths]


def _webp(file: BinaryIO) -> Iterator[Fraction]:
    """The durations in the ANMF chunks of a WebP (RFC 9649, 2.7.1.1)."""
    while len(start := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", start)
        if name != b"ANMF":
            file.seek(length + length % 2, 1)
            continue
        head = file.read(16)
        if len(head) < 16:
            return
        yield Fraction(int.from_bytes(head[12:15], "little"), 1000)
        file.seek(length + length % 2 - 16, 1)


def _gif(file: BinaryIO) -> Iterator[Fraction]:
    """The delays of a GIF's images (GIF89a, 23)."""
    file.seek(10)
    delay = Fraction(0)
    _skip_table(file, file.read(3)[:1])
    while kind := file.read(1):
        if kind == b"\x21":
            label = file.read(1)
            if label == b"\xf9":
                block = file.read(6)
                if len(block) < 6:
                    return
                delay = Fraction(int.from_bytes(block[2:4], "little"), 100)
            else:
                _skip_blocks(file)
        elif kind == b"\x2c":
            head = file.read(9)
            _skip_table(file, head[8:])
            file.seek(1, 1)
            if not file.read(1):
                return  # cut off before the first pixels
            file.seek(-1, 1)
            yield delay
            delay = Fraction(0)
            _skip_blocks(file)
        else:
            return  # the trailer, or what cannot be read


def _skip_table(file: BinaryIO, flags: bytes) -> None:
    """Passes over the colour table that the flags announce."""
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), 1)


def _skip_blocks(file: BinaryIO) -> None:
    while (length := file.read(1)) and length[0]:
        file.seek(length[0], 1)
