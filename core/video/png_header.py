"""What a PNG file says before its pixels: depth, colour space, frames. Pillow and libav each read only a part of it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_USEFUL = {b"IHDR", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"acTL", b"fcTL"}


@dataclass
class PngHeader:
    """cicp: (primaries, transfer), H.273 codes. gamma: of the encoding, 1 / 2.2 for example. chromaticities: (x, y) of
    red, green, blue and white. delays: of an animation's frames, in seconds; empty for a still. default_image: whether
    the file's own picture is not part of its animation."""

    deep_color: bool = False  # 16 bits, and not just grey: what Pillow would cut to 8
    cicp: tuple[int, int] | None = None
    is_srgb: bool = False
    has_profile: bool = False
    gamma: float | None = None
    chromaticities: tuple[tuple[float, float], ...] | None = None
    delays: list[Fraction] = field(default_factory=list)
    default_image: bool = False


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the chunks; the content is read only where it is of use."""
    with path.open("rb") as file:
        if file.read(8) != _SIGNATURE:
            return
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            if name in _USEFUL:
                yield name, file.read(length)
                file.seek(4, 1)
            else:
                yield name, b""
                file.seek(length + 4, 1)


def read_png_header(path: Path) -> PngHeader | None:
    """The header of a file; None if it is no PNG. What is broken or cut off counts as missing."""
    header, found, frames, before_pixels = PngHeader(), False, 0, True
    try:
        for name, data in _chunks(path):
            found = True
            if name == b"IHDR":
                header.deep_color = data[8] == 16 and data[9] != 0
            elif name == b"cICP":
                header.cicp = data[0], data[1]
            elif name == b"iCCP":
                header.has_profile = True
            elif name == b"sRGB":
                header.is_srgb = True
            elif name == b"gAMA":
                header.gamma = struct.unpack(">I", data)[0] / 100000
            elif name == b"cHRM":
                values = [value / 100000 for value in struct.unpack(">8I", data)]
                white, *colors = ((values[place], values[place + 1]) for place in range(0, 8, 2))
                header.chromaticities = (*colors, white)
            elif name == b"acTL":
                frames = struct.unpack(">I", data[:4])[0]
            elif name == b"fcTL":
                above, below = struct.unpack(">HH", data[20:24])
                header.delays.append(Fraction(above, below or 100))  # the standard's meaning of 0
            elif name == b"IDAT" and before_pixels:
                before_pixels = False
                if not frames:
                    break  # no animation: acTL would come before
                header.default_image = not header.delays
    except (struct.error, IndexError, OSError):
        pass
    if len(header.delays) < 2:
        header.delays = []
    return header if found else None
