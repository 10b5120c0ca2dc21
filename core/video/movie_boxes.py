"""The last touch on MOV and MP4 files: what libav's hybrid writing leaves undone in their table of contents.

While such a file is unfinished, it consists of fragments, which play without a table of contents (`moov`). At the end,
libav writes one for all of them and hides the fragments' own. FFmpeg 7 then still announces fragments (`mvex`) and
leaves the length of each track's edit at 0; both make players stop at once. For the web, the table goes to the front.
(ISO/IEC 14496-12, QuickTime File Format.)
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_CONTAINERS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"}
_MOST = 2**30  # bytes of a table of contents


class _Box(NamedTuple):
    """kind, where it starts, how long its header is, its size with the header."""

    kind: bytes
    start: int
    header: int
    size: int


def finish_movie(path: Path) -> None:
    """Completes the table of contents of a finished file in place. Raises OSError; files of another structure stay as
    they are."""
    with path.open("rb+") as file:
        found = _find(file, b"moov")
        if found is None:
            return
        file.seek(found.start)
        before = file.read(found.size)
        after = _completed(before)
        if after != before:
            file.seek(found.start)
            file.write(after)


def cut_incomplete(path: Path) -> None:
    """Removes a fragment that was not written to its end from the end of an unfinished file. Raises OSError."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        ends = [box.start + box.size for box in _boxes(file, 0, end) if box.kind in (b"mdat", b"moov")]
        if ends:
            file.truncate(ends[-1])


def write_with_table_first(source: Path, target: Path) -> bool:
    """Copies a finished file to `target` (an empty one) with its table of contents before the pictures. Returns whether
    it could; otherwise the source has it there already, or another structure. Raises OSError."""
    with source.open("rb") as file, target.open("rb+") as copy:
        table, media = _find(file, b"moov"), _find(file, b"mdat")
        end = file.seek(0, os.SEEK_END)
        if table is None or media is None or table.start < media.start or table.start + table.size != end:
            return False
        file.seek(table.start)
        moved = _moved(file.read(table.size), table.size)
        if moved is None:
            return False
        first = next(box.start for box in _boxes(file, 0, end) if box.kind != b"ftyp")
        file.seek(0)
        copy.write(file.read(first) + moved)
        _copy(file, copy, table.start - first)
        return True


def _copy(file: BinaryIO, copy: BinaryIO, size: int) -> None:
    while size:
        block = file.read(min(size, 2**20))
        copy.write(block)
        size -= len(block)


def _find(file: BinaryIO, kind: bytes) -> _Box | None:
    end = file.seek(0, os.SEEK_END)
    found = [box for box in _boxes(file, 0, end) if box.kind == kind]
    return found[0] if len(found) == 1 and (kind != b"moov" or found[0].size < _MOST) else None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """The boxes between two places of a file; stops at the first that does not fit."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, header = int.from_bytes(head[8:], "big"), 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            return
        yield _Box(head[4:8], start, header, size)
        start += size


def _inner(table: bytes, start: int, end: int) -> Iterator[_Box]:
    """All boxes of a table of contents, those inside others too."""
    while start + 8 <= end:
        size = int.from_bytes(table[start : start + 4], "big")
        if size < 8 or start + size > end:
            return
        box = _Box(table[start + 4 : start + 8], start, 8, size)
        yield box
        if box.kind in _CONTAINERS:
            yield from _inner(table, start + 8, start + size)
        start += size


def _completed(table: bytes) -> bytes:
    """A table of contents without `mvex`, and with the length of every track's last edit."""
    whole, length = bytearray(table), 0
    for kind, start, header, _ in _inner(table, 0, len(table)):
        if kind == b"mvex":
            whole[start + 4 : start + 8] = b"free"
        elif kind == b"tkhd":  # version and flags, two times, track, reserved, length
            at, form = (start + header + 28, ">Q") if table[start + header] else (start + header + 20, ">I")
            length = struct.unpack_from(form, table, at)[0]
        elif kind == b"elst":  # version and flags, count; then length and place of each edit
            wide = bool(table[start + header])
            form, step = (">Q", 20) if wide else (">I", 12)
            count = struct.unpack_from(">I", table, start + header + 4)[0]
            places = [start + header + 8 + step * number for number in range(count)]
            lengths = [struct.unpack_from(form, table, place)[0] for place in places]
            if lengths and lengths[-1] == 0 and length > sum(lengths):
                struct.pack_into(form, whole, places[-1], length - sum(lengths))
    return bytes(whole)


def _moved(table: bytes, by: int) -> bytes | None:
    """A table of contents whose pictures lie `by` bytes further; None if its numbers are too small for that."""
    whole = bytearray(table)
    for kind, start, header, _ in _inner(table, 0, len(table)):
        if kind not in (b"stco", b"co64"):
            continue
        count = struct.unpack_from(">I", table, start + header + 4)[0]
        form = f">{count}{'I' if kind == b'stco' else 'Q'}"
        places = [place + by for place in struct.unpack_from(form, table, start + header + 8)]
        if kind == b"stco" and places and max(places) >= 2**32:
            return None
        struct.pack_into(form, whole, start + header + 8, *places)
    return bytes(whole)
