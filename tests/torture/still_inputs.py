"""Stills, animations and sequences. The second decoder is Pillow, or what was drawn where the file is lossless."""

import functools
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, features

from .drawing import draw, ffmpeg
from .inputs import Input

try:
    import pillow_heif
except ImportError:
    pillow_heif = None

_DRAWN = draw(3)  # [64, 96, 3]


def inputs() -> list[Input]:
    return [*_stills(), *_other_stills(), *_animations(), *_sequences()]


def by_pillow(path: Path) -> list[np.ndarray]:
    """The picture upright, in sRGB, without its transparency."""
    image = Image.open(path)
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("P", "PA", "RGBA", "LA", "1", "L"):
        image = (
            image.convert("RGBA").convert("RGB")
            if "A" in image.getbands() or image.mode == "P"
            else image.convert("RGB")
        )
    if profile:
        import io

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert changed is not None
        image = changed
    return [np.asarray(image.convert("RGB"))]


def _still(name: str, about: str, save: Callable[[Path], None], group: str = "stills", **expect) -> Input:
    def make(folder: Path) -> Path:
        save(folder / name)
        return folder / name

    known = {"out": "cut.png", "frames": 1, "reference": by_pillow, "difference": 0.6}
    return Input(name, group, about, make, **(known | expect))


def _saved(image: Image.Image | None = None, **how) -> Callable[[Path], None]:
    return lambda path: (image or Image.fromarray(_DRAWN)).save(path, **how)


def _exact(*_: Path) -> list[np.ndarray]:
    return [_DRAWN]


def _wide_profile() -> bytes:
    """A matrix profile with the primaries of Adobe RGB and a gamma of 2.2, made by hand."""

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Wide\0" + bytes(78)
    tags = [
        (b"desc", text),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249)),
        (b"rXYZ", b"XYZ \0\0\0\0" + s15(0.60974, 0.31111, 0.01947)),
        (b"gXYZ", b"XYZ \0\0\0\0" + s15(0.20528, 0.62567, 0.06087)),
        (b"bXYZ", b"XYZ \0\0\0\0" + s15(0.14919, 0.06322, 0.74457)),
        *((name, b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags:
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s",
        128 + len(body),
        bytes(4),
        0x02100000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        bytes(12),
        b"acsp",
        bytes(4),
    )
    header += bytes(68 - len(header)) + s15(0.9642, 1, 0.8249)
    return header + bytes(128 - len(header)) + body


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _png(path: Path, samples: np.ndarray, depth: int, kind: int, extra: bytes = b"", interlaced: bool = False) -> None:
    """A PNG by hand: samples [H, W, channels] of `depth` bits, big-endian above 8."""
    height, width = samples.shape[:2]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def rows(part: np.ndarray) -> bytes:
        flat = part.reshape(len(part), -1)
        if depth < 8:
            per = 8 // depth
            flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % per))).reshape(len(part), -1, per)
            flat = (flat << (np.arange(per - 1, -1, -1) * depth)).sum(-1)
        data = flat.astype(">u2" if depth == 16 else np.uint8)
        return b"".join(b"\0" + row.tobytes() for row in data)

    if interlaced:  # Adam7
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        body = b"".join(rows(samples[y::dy, x::dx]) for y, x, dy, dx in passes if samples[y::dy, x::dx].size)
    else:
        body = rows(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def _deep() -> np.ndarray:
    return _DRAWN.astype(np.uint16) * 257 ^ 0x0055  # low bytes of their own


def _with_alpha() -> Image.Image:
    image = Image.fromarray(_DRAWN).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(40, 255, 96).astype(np.uint8), (64, 1))))
    return image


def _stills() -> list[Input]:
    image, wide = Image.fromarray(_DRAWN), _wide_profile()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = image.convert("L")
    found = [
        _still("plain.jpg", "JPEG", _saved(quality=95)),
        _still("420.jpg", "JPEG, 4:2:0, progressive", _saved(quality=95, subsampling=2, progressive=True)),
        _still("gray.jpg", "JPEG, grey", _saved(gray, quality=95)),
        _still("cmyk.jpg", "JPEG, CMYK", _saved(image.convert("CMYK"), quality=95), says=("CMYK",)),
        _still("icc.jpg", "JPEG with a profile of wide colours", _saved(quality=95, icc_profile=wide), says=("Wide",)),
        _still("srgb.jpg", "JPEG with a profile of sRGB", _saved(quality=95, icc_profile=srgb)),
        _still("plain.png", "PNG", _saved(), reference=_exact),
        _still("palette.png", "PNG with a palette", _saved(image.quantize(64))),
        _still("bits1.png", "PNG of 1 bit", _saved(image.convert("1"))),
        _still("gray.png", "PNG, grey", _saved(gray)),
        _still("alpha.png", "PNG with transparency", _saved(_with_alpha()), reference=_exact, says=("transparency",)),
        _still("gray_alpha.png", "PNG, grey with transparency", _saved(_with_alpha().convert("LA"))),
        _still("icc.png", "PNG with a profile of wide colours", _saved(icc_profile=wide), says=("Wide",)),
        _still("srgb.png", "PNG with a profile of sRGB", _saved(icc_profile=srgb)),
        _still("icc_gray.png", "a grey PNG with a profile of colours", _saved(gray, icc_profile=srgb)),
        _still("icc_broken.png", "PNG with a damaged profile", _saved(icc_profile=wide[:90]), reference=_exact, says=("profile",)),
        _still("deep.png", "PNG of 16 bits", lambda p: _png(p, _deep(), 16, 2), reference=lambda _: [_deep()], difference=0.01),
        _still("deep_gray.png", "PNG, grey, 16 bits", lambda p: _png(p, _deep()[..., :1], 16, 0), reference=lambda _: [np.repeat(_deep()[..., :1], 3, -1)], difference=0.01),
        _still("interlaced.png", "PNG, interlaced", lambda p: _png(p, _DRAWN, 8, 2, interlaced=True), reference=_exact),
        _still("gray4.png", "PNG, grey, 4 bits", lambda p: _png(p, _DRAWN[..., :1] >> 4, 4, 0), reference=lambda _: [np.repeat((_DRAWN[..., :1] >> 4) * 17, 3, -1)]),
        _still("plain.bmp", "BMP", _saved(), reference=_exact),
        _still("plain.tif", "TIFF", _saved(), reference=_exact),
        _still("lzw.tif", "TIFF, LZW, with transparency", _saved(_with_alpha(), compression="tiff_lzw"), reference=_exact),
        _still("cmyk.tif", "TIFF, CMYK", _saved(image.convert("CMYK"))),
        _still("deep.tif", "TIFF of 16 bits", _deep_tiff, reference=lambda _: [_deep()], difference=0.01),
        _still("pages.tif", "TIFF of two pages", _saved(save_all=True, append_images=[gray.copy()]), reference=_exact, says=("first",)),
        _still("icc.tif", "TIFF with a profile of wide colours", _saved(icc_profile=wide), says=("Wide",)),
        _still("plain.tga", "TGA", _saved(), reference=_exact),
        _still("rle.tga", "TGA, compressed", _saved(compression="tga_rle"), reference=_exact),
        _still("plain.ppm", "PPM", _saved(), reference=_exact),
        _still("gray.pgm", "PGM", _saved(gray)),
        _still("deep.ppm", "PPM of 16 bits", lambda p: p.write_bytes(b"P6 96 64 65535\n" + _deep().astype(">u2").tobytes()), reference=lambda _: [_deep()], difference=0.01),
        _still("bits.pbm", "PBM", _saved(image.convert("1"))),
        _still("still.gif", "GIF of one frame", _saved(image.quantize(64))),
        _still("plain.webp", "WebP", _saved(quality=95)),
        _still("lossless.webp", "WebP, lossless, with transparency", _saved(_with_alpha(), lossless=True, exact=True), reference=_exact),
        _still("icc.webp", "WebP with a profile of wide colours", _saved(lossless=True, icc_profile=wide), says=("Wide",)),
        _still("jpeg2000.jp2", "JPEG 2000", _saved(), reference=_exact),
        _still("huge.png", "a PNG of 60 megapixels", lambda p: Image.new("L", (10000, 6000), 90).save(p, compress_level=1), size=(10000, 6000)),
    ]  # fmt: skip
    for orientation in range(1, 9):
        size = (64, 96) if orientation > 4 else (96, 64)
        found.append(_still(f"exif{orientation}.jpg", f"JPEG, EXIF orientation {orientation}", _saved(quality=95, exif=_exif(orientation)), size=size))  # fmt: skip
    found.append(_still("exif6.png", "PNG, EXIF orientation 6", _saved(exif=_exif(6)), size=(64, 96)))
    found.append(_still("exif6.webp", "WebP, EXIF orientation 6", _saved(exif=_exif(6), lossless=True), size=(64, 96)))
    return found


def _deep_tiff(path: Path) -> None:
    """A TIFF by hand: 16 bits, RGB, one strip."""
    data = _deep().astype("<u2").tobytes()
    entries = [(256, 3, 1, 96), (257, 3, 1, 64), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
               (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(data)), (284, 3, 1, 1)]  # fmt: skip
    bits = struct.pack("<3H", 16, 16, 16)
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data) + len(bits)) + data + bits + ifd)


def _other_stills() -> list[Input]:
    found = []
    if pillow_heif is not None:

        def heic(path: Path, **how) -> None:
            pillow_heif.from_pillow(Image.fromarray(_DRAWN)).save(path, quality=95, **how)

        def as_heif(path: Path) -> list[np.ndarray]:
            return [np.asarray(pillow_heif.open_heif(path, convert_hdr_to_8bit=True).to_pillow().convert("RGB"))]

        def two(path: Path) -> None:
            file = pillow_heif.from_pillow(Image.fromarray(draw(9)))
            file.add_from_pillow(Image.fromarray(_DRAWN))
            file.save(path, quality=95, primary_index=1)

        found += [
            _still("plain.heic", "HEIC", heic, reference=as_heif),
            _still("two.heic", "HEIC of two pictures, the second primary", two, reference=as_heif),
        ]
    if features.check("avif"):
        found.append(_still("plain.avif", "AVIF", _saved(quality=90), reference=by_pillow))
    for name, about, pix_fmt in (("plain.dpx", "DPX, 8 bits", "rgb24"), ("deep.dpx", "DPX, 10 bits", "gbrp10be")):
        found.append(_still(name, about, functools.partial(_by_ffmpeg, pix_fmt=pix_fmt), reference=None))
    found.append(
        _still(
            "alpha.apng.png",
            "an animation of one frame, named .png",
            functools.partial(_by_ffmpeg, pix_fmt="rgb24", more="-f apng"),
            reference=_exact,
        )
    )
    try:
        import OpenEXR
    except ImportError:
        return found

    def exr(path: Path) -> None:
        x = _DRAWN.astype(np.float32) / 255
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)
        with OpenEXR.File(
            {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": light}
        ) as file:
            file.write(str(path))

    found.append(_still("light.exr", "OpenEXR, float", exr, reference=_exact))
    return found


def _by_ffmpeg(path: Path, pix_fmt: str, more: str = "") -> None:
    ffmpeg(
        f"-f rawvideo -pix_fmt rgb24 -s 96x64 -i pipe:0 -frames:v 1 -pix_fmt {pix_fmt} {more} {{0}}",
        path,
        data=_DRAWN.tobytes(),
    )


_DELAYS = (40, 80, 40, 120, 200, 40)  # ms


def _animations() -> list[Input]:
    group = "animations and sequences"
    pictures = [Image.fromarray(draw(k)) for k in range(len(_DELAYS))]
    times = tuple(Fraction(sum(_DELAYS[:k]), 1000) for k in range(len(_DELAYS)))

    def by_seeking(path: Path) -> list[np.ndarray]:
        image, found = Image.open(path), []
        for k in range(image.n_frames):  # type: ignore
            image.seek(k)
            found.append(np.asarray(image.convert("RGBA").convert("RGB")))
        return found

    def animated(name: str, about: str, **how) -> Input:

        def save(path: Path) -> None:
            pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(_DELAYS), **how)

        return _still(
            name,
            about,
            save,
            group,
            out="cut.mov",
            frames=len(_DELAYS),
            times=times,
            reference=by_seeking,
            difference=1.5,
        )

    found = [
        animated("loop.gif", "animated GIF with times of its own", loop=0),
        animated("loop.webp", "animated WebP with times of its own", lossless=True),
        animated("loop.apng", "animated PNG with times of its own", format="PNG"),
        animated("named.png", "animated PNG, named .png", format="PNG"),
    ]
    if features.check("avif"):
        found.append(animated("loop.avif", "animated AVIF", quality=90))
    return found


def _sequences() -> list[Input]:
    group = "animations and sequences"

    def sequence(name: str, about: str, save: Callable[[Path], None], given: str, frames: int, **expect) -> Input:
        def make(folder: Path) -> Path:
            folder = folder / "shot"
            folder.mkdir()
            save(folder)
            return folder / given if given else folder

        known = {"frames": frames, "reference": lambda _: [draw(k) for k in range(frames)]}
        return Input(name, group, about, make, **(known | expect))

    def numbered(pattern: str, numbers: range | list[int], **how) -> Callable[[Path], None]:
        def save(folder: Path) -> None:
            for k, number in enumerate(numbers):
                Image.fromarray(draw(k)).save(folder / (pattern % number), **how)

        return save

    def mixed(folder: Path) -> None:
        numbered("%03d.png", range(3))(folder)
        Image.fromarray(draw(3, 48, 32)).save(folder / "003.png")

    return [
        sequence("folder", "a folder of pictures", numbered("%03d.png", range(6)), "", 6),
        sequence("pattern", "a pattern, from 995 to 1004", numbered("shot.%d.png", range(995, 1005)), "shot.%d.png", 10),
        sequence("glob", "a pattern with a star", numbered("a %02d.jpg", range(1, 7), quality=95), "a *.jpg", 6),
        sequence("deep pictures", "pictures of 16 bits into pictures", lambda f: [_png(f / f"{k}.png", _deep(), 16, 2) for k in range(3)] and None, "", 3, reference=lambda _: [_deep()] * 3, difference=0.01, out="cut.png"),
        sequence("rate", "a folder at --fps 30000/1001", numbered("%03d.png", range(6)), "", 6, rate=Fraction(30000, 1001), options=("--fps", "30000/1001")),
        sequence("gap", "a pattern with a gap in the numbers", numbered("%03d.png", [0, 1, 2, 5, 6]), "%03d.png", 5, rate=Fraction(25)),
        sequence("mixed", "pictures of mixed sizes", mixed, "", 0, size=None, code=1, says=("size|48x32",)),
    ]  # fmt: skip
