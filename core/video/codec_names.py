"""The names of codecs that libav does not know, read from the file itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

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
        if "mov" in container.split(","):
            names = [entry.code for entry in sample_entries(path) if entry.kind == kind]
        else:
            with path.open("rb") as file:
                form = "matroska" if "matroska" in container else "avi"
                pattern = _PATTERNS[form] % _LETTERS[form][kind]
                # Matroska's length comes before the name, with its first bit set
                found = re.findall(pattern, file.read(_HEADER), re.DOTALL)
                names = [name[: length[0] & 127] if length else name for length, name in found]
    except OSError:
        names = []
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in names[0]) if names else ""
    return f"'{shown}'" if shown else "unknown"


class SampleEntry(NamedTuple):
    """How the samples of a MOV or MP4 track are coded. track: its number, from 0. kind: "video", "audio" or "".

    code: four characters. size: (height, width) of a picture.
    """

    track: int
    kind: str
    code: bytes
    size: tuple[int, int]


def sample_entries(path: Path) -> list[SampleEntry]:
    """All descriptions of samples in a MOV or MP4 file; none if it cannot be read."""
    entries = []
    track, kind = -1, ""
    try:
        with path.open("rb") as file:
            for name, begin, end in _boxes(file, 0, path.stat().st_size):
                if name == b"trak":
                    track, kind = track + 1, ""
                elif name == b"hdlr" and not kind:
                    file.seek(begin)
                    kind = _HANDLERS.get(file.read(12)[8:], "")
                elif name == b"stsd":
                    file.seek(begin)
                    data = file.read(min(end - begin, _MAX_DESCRIPTION))
                    place = 8  # version, flags, count
                    while place + 8 <= len(data):
                        width, height = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (32, 34))
                        entries.append(SampleEntry(track, kind, data[place + 4 : place + 8], (height, width)))
                        place += max(8, int.from_bytes(data[place : place + 4], "big"))
    except OSError:
        return []
    return entries


def is_encrypted(path: Path, container: str, kind: str) -> bool:
    """Whether a MOV or MP4 file's tracks of a kind are encrypted (ISO/IEC 23001-7)."""
    code = {"video": b"encv", "audio": b"enca"}[kind]
    return "mov" in container.split(",") and any(entry.code == code for entry in sample_entries(path))


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
