"""The names of codecs that libav does not know, read from the file itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER = 1 << 20  # bytes of other files in which a name is looked for
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_MAX_DESCRIPTION = 1 << 16  # bytes of a sample description that are read
_PATTERNS = {"matroska": rb"\x86([\x80-\xa0])(%s_[A-Z0-9/_.]+)", "avi": rb"strh.{4}()%s(.{4})"}
_LETTERS = {"matroska": {"video": b"V", "audio": b"A"}, "avi": {"video": b"vids", "audio": b"auds"}}
_HANDLERS = {b"vide": "video", b"soun": "audio"}


def codec_name(path: Path, container: str, kind: str) -> str:
    """A name for the codec of the first stream of a kind, in quotes; "unknown" if the file does not tell it.

    Args:
        path: The file.
        container: libav's name of its format.
        kind: "video" or "audio".
    """
    try:
        with path.open("rb") as file:
            if "mov" in container.split(","):
                names = [code for handler, code in _sample_codes(file, path.stat().st_size) if handler == kind]
            else:
                form = "matroska" if "matroska" in container else "avi"
                pattern = _PATTERNS[form] % _LETTERS[form][kind]
                # Matroska's length comes before the name, with its first bit set
                found = re.findall(pattern, file.read(_HEADER), re.DOTALL)
                names = [name[: length[0] & 127] if length else name for length, name in found]
    except OSError:
        names = []
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in names[0]) if names else ""
    return f"'{shown}'" if shown else "unknown"


def _sample_codes(file: BinaryIO, size: int) -> Iterator[tuple[str, bytes]]:
    """(kind of track, four-character code) of each sample description of a MOV or MP4 file."""
    kind = ""
    for name, begin, end in _boxes(file, 0, size):
        file.seek(begin)
        if name == b"hdlr":
            kind = _HANDLERS.get(file.read(12)[8:], kind) if kind == "" else kind
        elif name == b"trak":
            kind = ""
        elif name == b"stsd":
            data = file.read(min(end - begin, _MAX_DESCRIPTION))
            place = 8  # version, flags, count
            while place + 8 <= len(data):
                yield kind, data[place + 4 : place + 8]
                place += max(8, int.from_bytes(data[place : place + 4], "big"))


def _boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the content, end) of all boxes on the way to the sample descriptions."""
    while begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        if len(head) < 8:
            return
        length, name, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        until = end if length == 0 else min(end, begin + length)
        yield name, begin + header, until
        if name in _CONTAINERS:
            yield from _boxes(file, begin + header, until)
        if length and length < header:
            return
        begin = until
