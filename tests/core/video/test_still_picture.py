"""Stills of every kind, against the pixels they were made from."""

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import picture_library, still_picture
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_library import UnreadablePictureError
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.still_picture import DROPPED_ALPHA, SRGB, deepened, read_picture

from .icc_profiles import ADOBE, P3, gray_profile, in_srgb, rgb_profile

RGB = np.random.default_rng(5).integers(0, 256, (12, 20, 3), np.uint8)
DEEP = np.random.default_rng(6).integers(0, 65536, (12, 20, 3), np.uint16)
SMOOTH = np.stack(np.meshgrid(np.linspace(20, 230, 160), np.linspace(20, 230, 96)), -1)
SMOOTH = np.dstack([SMOOTH, np.full((96, 160), 120.0)]).round().astype(np.uint8)
Image.init()
HAS_AVIF = ".avif" in Image.registered_extensions()


def png(path, array: np.ndarray, color_type: int, **chunks: bytes) -> None:
    """A PNG written by hand: [H, W] or [H, W, C], uint8 or uint16, with chunks before the pixels."""
    height, width = array.shape[:2]
    raw = array.astype(">u2").tobytes() if array.dtype == np.uint16 else array.tobytes()
    line = len(raw) // height
    data = b"".join(b"\0" + raw[start : start + line] for start in range(0, len(raw), line))
    head = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, color_type, 0, 0, 0)
    parts = {"IHDR": head, **chunks, "IDAT": zlib.compress(data), "IEND": b""}
    text = b"\x89PNG\r\n\x1a\n"
    for name, content in parts.items():
        body = name.encode() + content
        text += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(text)


def tiff16(path, samples: np.ndarray, photometric: int, order: str = "<", planar: bool = False, tiled: bool = False):
    """An uncompressed TIFF of 16 bits, [H, W, C]; as one strip, one strip a channel, or one tile of 16 x 32."""
    height, width, channels = samples.shape
    raw = samples.astype(order + "u2")
    if tiled:
        raw = np.pad(raw, ((0, 16 - height), (0, 32 - width), (0, 0)))
    strips = [raw[..., c].tobytes() for c in range(channels)] if planar else [raw.tobytes()]
    extra = {4: [2]}.get(channels)
    entries = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [16] * channels), 259: ("H", [1])}
    entries |= {262: ("H", [photometric]), 277: ("H", [channels]), 284: ("H", [2 if planar else 1])}
    places = (324, 325) if tiled else (273, 279)
    entries |= {places[0]: ("I", [0] * len(strips)), places[1]: ("I", [len(strip) for strip in strips])}
    entries |= {322: ("I", [32]), 323: ("I", [16])} if tiled else {278: ("I", [height])}
    entries |= {338: ("H", extra)} if extra else {}
    start = 8 + 2 + 12 * len(entries) + 4
    later, offsets = b"", []
    for strip in strips:
        offsets.append(start + len(later))
        later += strip
    entries[places[0]] = ("I", offsets)
    table = struct.pack(order + "H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(data) > 4:
            data, later = struct.pack(order + "I", start + len(later)), later + data
        table += struct.pack(order + "HHI", tag, 3 if kind == "H" else 4, len(values)) + data.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    path.write_bytes(head + table + bytes(4) + later)


def gray(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 3, axis=2)


LUMA = np.asarray(Image.fromarray(RGB).convert("L"))


def saved(path, image: Image.Image, **options) -> still_picture.StillPicture:
    image.save(path, **options)
    return read_picture(path)


def test_plain(tmp_path):
    for suffix in ("png", "bmp", "tga", "tif", "webp", "ppm", "jp2"):
        found = saved(
            tmp_path / f"a.{suffix}", Image.fromarray(RGB), **({"lossless": True} if suffix == "webp" else {})
        )
        assert np.array_equal(found.image, RGB), suffix
        assert (found.tags, found.bit_depth, found.notes, found.damage) == (SRGB, 8, [], ""), suffix


def test_jpeg_is_srgb(tmp_path):
    found = saved(tmp_path / "a.jpg", Image.fromarray(SMOOTH), quality=98, subsampling=0)
    assert np.abs(found.image.astype(int) - SMOOTH).max() <= 4
    assert found.tags == ColorTags(0, 2, 1, 13)


def test_grey_and_one_bit(tmp_path):
    for suffix in ("png", "tif"):
        assert np.array_equal(saved(tmp_path / f"l.{suffix}", Image.fromarray(LUMA)).image, gray(LUMA))
        one = Image.fromarray(LUMA > 100)
        assert np.array_equal(saved(tmp_path / f"1.{suffix}", one).image, gray(255 * np.uint8(LUMA > 100)))


def test_palette(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    colors = np.asarray(image.convert("RGB"))
    for suffix in ("png", "tif", "gif"):
        found = saved(tmp_path / f"p.{suffix}", image)
        assert np.array_equal(found.image, colors)
        assert found.notes == []
    found = saved(tmp_path / "t.png", image, transparency=3)
    assert np.array_equal(found.image, colors)
    assert found.notes == [DROPPED_ALPHA]


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_dropped_and_said(tmp_path, suffix):
    alpha = np.full((12, 20), 255, np.uint8)
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    opaque = saved(tmp_path / f"o.{suffix}", Image.fromarray(np.dstack([RGB, alpha])), **options)
    assert (opaque.notes, np.array_equal(opaque.image, RGB)) == ([], True)
    alpha[2:5] = 7
    found = saved(tmp_path / f"a.{suffix}", Image.fromarray(np.dstack([RGB, alpha])), **options)
    assert (found.notes, np.array_equal(found.image, RGB)) == ([DROPPED_ALPHA], True)


def test_grey_with_alpha(tmp_path):
    found = saved(tmp_path / "la.png", Image.fromarray(np.dstack([LUMA, LUMA // 2])))
    assert (found.notes, np.array_equal(found.image, gray(LUMA))) == ([DROPPED_ALPHA], True)


@pytest.mark.parametrize(
    ("color_type", "samples", "colors", "notes"),
    [
        (2, DEEP, DEEP, []),
        (6, np.dstack([DEEP, np.full((12, 20), 65535, np.uint16)]), DEEP, []),
        (6, np.dstack([DEEP, np.full((12, 20), 65534, np.uint16)]), DEEP, [DROPPED_ALPHA]),
        (0, DEEP[..., :1], gray(DEEP[..., 0]), []),
        (4, DEEP[..., :2], gray(DEEP[..., 0]), [DROPPED_ALPHA]),
    ],
)
def test_sixteen_bits_of_png(tmp_path, color_type, samples, colors, notes):
    png(tmp_path / "a.png", samples, color_type)
    found = read_picture(tmp_path / "a.png")
    assert np.array_equal(found.image, colors)
    assert (found.bit_depth, found.notes, found.tags) == (16, notes, SRGB)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_tiff(tmp_path, order):
    tiff16(tmp_path / "a.tif", DEEP, 2, order)
    assert np.array_equal(read_picture(tmp_path / "a.tif").image, DEEP)
    tiff16(tmp_path / "p.tif", DEEP, 2, order, planar=True)
    assert np.array_equal(read_picture(tmp_path / "p.tif").image, DEEP)
    tiff16(tmp_path / "g.tif", DEEP[..., :1], 1, order)
    assert np.array_equal(read_picture(tmp_path / "g.tif").image, gray(DEEP[..., 0]))
    tiff16(tmp_path / "w.tif", DEEP[..., :1], 0, order)  # white is zero
    assert np.array_equal(read_picture(tmp_path / "w.tif").image, gray(65535 - DEEP[..., 0]))
    tiff16(tmp_path / "4.tif", np.dstack([DEEP, DEEP[..., :1]]), 2, order)
    found = read_picture(tmp_path / "4.tif")
    assert (np.array_equal(found.image, DEEP), found.notes) == (True, [DROPPED_ALPHA])


def test_a_tiff_of_tiles_keeps_its_picture_and_loses_depth_with_a_note(tmp_path):
    """libav reads it as noise, and says nothing."""
    tiff16(tmp_path / "t.tif", DEEP, 2, tiled=True)
    found = read_picture(tmp_path / "t.tif")
    assert np.abs(found.image.astype(int) - DEEP // 256).max() <= 1
    assert found.notes == ["only the upper 8 bits of each sample could be read"]


def test_sixteen_bits_of_other_formats(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 20 12 65535\n" + DEEP.astype(">u2").tobytes())
    (tmp_path / "a.pgm").write_bytes(b"P5 20 12 65535\n" + DEEP[..., 0].astype(">u2").tobytes())
    assert np.array_equal(read_picture(tmp_path / "a.ppm").image, DEEP)
    assert np.array_equal(read_picture(tmp_path / "a.pgm").image, gray(DEEP[..., 0]))
    for codec, suffix in (("dpx", "dpx"), ("jpeg2000", "jp2")):
        (tmp_path / f"a.{suffix}").write_bytes(encoded(codec, DEEP))
        found = read_picture(tmp_path / f"a.{suffix}")
        assert np.abs(found.image.astype(int) - DEEP).max() <= (0 if codec == "dpx" else 600)  # JPEG 2000 is lossy here
        assert found.bit_depth == 16


def encoded(codec: str, image: np.ndarray) -> bytes:
    """[H, W, 3] uint16 as libav's encoder writes it."""
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = image.shape[:2]
    context.pix_fmt = "rgb48be" if codec == "dpx" else "rgb48le"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame(image.shape[1], image.shape[0], context.pix_fmt)
    lines = np.frombuffer(frame.planes[0], np.uint8).reshape(image.shape[0], -1)
    data = image.astype(">u2" if codec == "dpx" else "<u2").view(np.uint8).reshape(image.shape[0], -1)
    lines[:, : data.shape[1]] = data
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def test_cmyk(tmp_path):
    ink = Image.fromarray(RGB).convert("CMYK")
    found = saved(tmp_path / "a.tif", ink)
    assert np.array_equal(found.image, RGB)
    assert found.notes == ["CMYK without a usable profile: its colours are approximate"]
    smooth = saved(tmp_path / "a.jpg", Image.fromarray(SMOOTH).convert("CMYK"), quality=98, subsampling=0)
    # Pillow writes an Adobe marker, and so inverted samples; read wrongly, dark would be light
    assert np.abs(smooth.image.astype(int) - SMOOTH).max() <= 8


@pytest.mark.parametrize("space", [ADOBE, P3])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_wide_profile_is_converted(tmp_path, suffix, space):
    options = {"png": {}, "tif": {}, "jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}[suffix]
    data = rgb_profile(space, "Wide gamut")
    found = saved(tmp_path / f"a.{suffix}", Image.fromarray(SMOOTH), icc_profile=data, **options)
    differences = np.abs(found.image - 255 * in_srgb(SMOOTH / 255, space))
    assert differences.mean() < 1.2 if suffix == "jpg" else differences.max() < 2
    assert (found.notes, found.tags) == (["colours converted from Wide gamut to sRGB"], SRGB)


def test_a_wide_profile_of_sixteen_bits(tmp_path):
    png(tmp_path / "a.png", DEEP, 2, iCCP=b"x\0\0" + zlib.compress(rgb_profile()))
    found = read_picture(tmp_path / "a.png")
    assert np.abs(found.image / 65535 - in_srgb(DEEP / 65535)).max() < 0.001
    assert found.notes == ["colours converted from Wide to sRGB"]


def test_an_srgb_profile_changes_nothing(tmp_path):
    from PIL import ImageCms

    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("png", "tif"):
        found = saved(tmp_path / f"a.{suffix}", Image.fromarray(RGB), icc_profile=data)
        assert (np.array_equal(found.image, RGB), found.notes) == (True, [])
    png(tmp_path / "d.png", DEEP, 2, iCCP=b"x\0\0" + zlib.compress(data))
    found = read_picture(tmp_path / "d.png")
    assert (np.array_equal(found.image, DEEP), found.notes) == (True, [])
    grey = saved(tmp_path / "g.png", Image.fromarray(LUMA), icc_profile=data)
    assert (np.array_equal(grey.image, gray(LUMA)), grey.notes) == (True, [])


def test_profiles_of_greys(tmp_path):
    found = saved(tmp_path / "g.png", Image.fromarray(LUMA), icc_profile=gray_profile(1.8))
    expected = in_srgb(gray(LUMA) / 255, (((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), 1.8))
    assert np.abs(found.image - 255 * expected).max() < 2
    assert found.notes == ["colours converted from Grey to sRGB"]


@pytest.mark.parametrize("data", [b"no profile at all", gray_profile(1.8)])
def test_a_profile_that_does_not_fit_is_ignored_with_a_note(tmp_path, data):
    found = saved(tmp_path / "a.png", Image.fromarray(RGB), icc_profile=data)
    assert np.array_equal(found.image, RGB)
    assert len(found.notes) == 1
    assert found.notes[0].startswith("the colour profile was ignored: ")


def test_adobe_rgb_by_exif(tmp_path):
    """Cameras write no profile but ColorSpace "uncalibrated" and the interoperability index R03 (DCF 2.0)."""
    interop = struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R03\0", 0)
    exif = struct.pack("<HHHIHHHHIII", 2, 0xA001, 3, 1, 65535, 0, 0xA005, 4, 1, 26 + 30, 0)
    head = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x8769, 4, 1, 26, 0)
    data = b"Exif\0\0" + head + exif + interop
    found = saved(tmp_path / "a.jpg", Image.fromarray(SMOOTH), quality=98, subsampling=0, exif=data)
    assert found.notes == ["colours converted from Adobe RGB to sRGB"]
    assert np.abs(found.image - 255 * in_srgb(SMOOTH / 255)).mean() < 1.2


def chromaticities(*values: float) -> bytes:
    return struct.pack(">8I", *(round(100000 * value) for value in values))


def test_png_gamma_and_primaries(tmp_path):
    png(tmp_path / "usual.png", RGB, 2, gAMA=struct.pack(">I", 45455))
    assert np.array_equal(read_picture(tmp_path / "usual.png").image, RGB)
    png(tmp_path / "linear.png", RGB, 2, gAMA=struct.pack(">I", 100000))
    found = read_picture(tmp_path / "linear.png")
    linear = in_srgb(RGB / 255, (((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), 1))
    assert np.abs(found.image - 255 * linear).max() <= 1
    assert found.notes == ["colours converted to sRGB from the gamma 1 in the file (gAMA, cHRM)"]
    space = chromaticities(0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    png(tmp_path / "adobe.png", DEEP, 2, gAMA=struct.pack(">I", round(1e5 / ADOBE[1])), cHRM=space)
    found = read_picture(tmp_path / "adobe.png")
    # 256/563 is too near 1/2.2 to be told apart, and so sRGB's own curve is taken
    light = np.where(DEEP / 65535 <= 0.04045, DEEP / 65535 / 12.92, ((DEEP / 65535 + 0.055) / 1.055) ** 2.4)
    assert np.abs(found.image / 65535 - in_srgb(light ** (1 / ADOBE[1]))).max() < 0.001
    png(tmp_path / "said.png", RGB, 2, sRGB=b"\0", gAMA=struct.pack(">I", 100000))
    assert np.array_equal(read_picture(tmp_path / "said.png").image, RGB)
    png(tmp_path / "zero.png", RGB, 2, gAMA=bytes(4), cHRM=bytes(32))
    assert np.array_equal(read_picture(tmp_path / "zero.png").image, RGB)


def test_png_codes_are_carried_over(tmp_path):
    """cICP comes before all other chunks (PNG, third edition)."""
    icc = b"x\0\0" + zlib.compress(rgb_profile())
    for samples in (RGB, DEEP):
        png(tmp_path / "a.png", samples, 2, cICP=bytes([9, 16, 0, 1]), iCCP=icc, gAMA=struct.pack(">I", 100000))
        found = read_picture(tmp_path / "a.png")
        assert (found.tags, np.array_equal(found.image, samples), found.notes) == (ColorTags(0, 2, 9, 16), True, [])


def test_exif_of_sixteen_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    png(tmp_path / "a.png", DEEP, 2, eXIf=exif.tobytes()[6:])
    assert np.array_equal(read_picture(tmp_path / "a.png").image, np.rot90(DEEP, -1))


def test_interlaced(tmp_path):
    image = Image.fromarray(SMOOTH)
    found = saved(tmp_path / "a.jpg", image, progressive=True, quality=98, subsampling=0)
    assert np.abs(found.image.astype(int) - SMOOTH).max() <= 4
    found = saved(tmp_path / "a.gif", image.quantize(32), interlace=True)
    assert np.array_equal(found.image, np.asarray(image.quantize(32).convert("RGB")))


def test_several_pages(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1])
    for suffix, form in (("tif", "TIFF"), ("jpg", "MPO")):
        path = tmp_path / f"a.{suffix}"
        first.save(path, form, save_all=True, append_images=[second], quality=95)
        found = read_picture(path)
        assert found.notes == ["only the first of the 2 pictures in the file is used"]
        assert np.abs(found.image.astype(int) - RGB).mean() < 60 < np.abs(found.image.astype(int) - RGB[::-1]).mean()


def heic(path, image: np.ndarray, **options) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(image)).save(path, quality=100, chroma=444, **options)


def test_heic(tmp_path):
    heic(tmp_path / "a.heic", SMOOTH)
    found = read_picture(tmp_path / "a.heic")
    assert np.abs(found.image.astype(int) - SMOOTH).max() <= 4
    assert (found.bit_depth, found.tags, found.notes) == (8, SRGB, [])
    (tmp_path / "a.heic").rename(tmp_path / "renamed.jpg")  # as some phones and programs do
    assert np.array_equal(read_picture(tmp_path / "renamed.jpg").image, found.image)


def test_heic_with_profile_and_alpha(tmp_path):
    heic(tmp_path / "a.heic", SMOOTH, icc_profile=rgb_profile(P3, "Display P3"))
    found = read_picture(tmp_path / "a.heic")
    assert found.notes == ["colours converted from Display P3 to sRGB"]
    assert np.abs(found.image - 255 * in_srgb(SMOOTH / 255, P3)).mean() < 1.2
    heic(tmp_path / "b.heic", np.dstack([SMOOTH, SMOOTH[..., 0]]))
    assert read_picture(tmp_path / "b.heic").notes == [DROPPED_ALPHA]


def test_heic_of_ten_bits(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    ramp = np.linspace(2000, 60000, 160 * 96).reshape(96, 160)
    samples = np.repeat(ramp[..., None], 3, 2).astype(np.uint16)
    pillow_heif.encode("RGB;16", (160, 96), samples.tobytes(), str(tmp_path / "a.heic"), quality=100, chroma=444)
    found = read_picture(tmp_path / "a.heic")
    assert found.bit_depth > 8
    assert found.image.dtype == np.uint16
    assert np.abs(found.image.astype(int) - samples).max() < 400  # one and a half of 255


def test_several_pictures_in_a_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(SMOOTH))
    file.add_from_pillow(Image.fromarray(255 - SMOOTH))
    file.save(tmp_path / "a.heic", quality=100, chroma=444, primary_index=1)
    assert np.abs(read_picture(tmp_path / "a.heic").image.astype(int) - (255 - SMOOTH)).max() <= 4


@pytest.mark.skipif(not HAS_AVIF, reason="Pillow has AVIF since 11.3")
def test_avif(tmp_path):
    found = saved(tmp_path / "a.avif", Image.fromarray(SMOOTH), quality=100, subsampling="4:4:4")
    assert np.abs(found.image.astype(int) - SMOOTH).max() <= 4
    assert (found.bit_depth, found.tags) == (8, SRGB)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = saved(tmp_path / "b.avif", Image.fromarray(SMOOTH), quality=100, subsampling="4:4:4", exif=exif)
    assert np.abs(found.image.astype(int) - np.rot90(SMOOTH, -1)).max() <= 4


def test_truncated(tmp_path):
    big = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    for suffix in ("png", "jpg"):
        data = io.BytesIO()
        Image.fromarray(big).save(data, "PNG" if suffix == "png" else "JPEG", quality=95, subsampling=0)
        half = data.getvalue()[: len(data.getvalue()) // 2]
        (tmp_path / f"a.{suffix}").write_bytes(half)
        found = read_picture(tmp_path / f"a.{suffix}")
        assert "truncated" in found.damage
        assert np.abs(found.image[:60].astype(int) - big[:60]).mean() < 30
        (tmp_path / f"b.{suffix}").write_bytes(data.getvalue()[:30])
        with pytest.raises(UnreadablePictureError):
            read_picture(tmp_path / f"b.{suffix}")


def test_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").touch()
    (tmp_path / "c.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    for name in ("a.png", "b.png", "c.heic", "missing.png"):
        with pytest.raises(UnreadablePictureError):
            read_picture(tmp_path / name)


def test_floats_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(StudioError, match="floating-point"):
        read_picture(tmp_path / "a.tif")


def test_a_large_photo_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert saved(tmp_path / "a.png", Image.fromarray(RGB)).image.shape == (12, 20, 3)
    assert Image.MAX_IMAGE_PIXELS == 50
    monkeypatch.setattr(picture_library, "free_memory", lambda: 12 * 20 * 15)
    with pytest.raises(StudioError, match=r"is 20x12 pixels, for which .* GB of memory are needed"):
        read_picture(tmp_path / "a.png")


def test_an_icc_png_in_every_place_of_libav(tmp_path):
    """Side data with a name was freed twice by PyAV: here in a still that libav decodes, and in a video of PNGs."""
    icc = b"x\0\0" + zlib.compress(rgb_profile())
    png(tmp_path / "a.png", DEEP, 2, iCCP=icc)
    for _ in range(20):
        read_picture(tmp_path / "a.png")
    png(tmp_path / "b.png", RGB, 2, iCCP=icc)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 12, 20, "rgb24"
        for number in range(20):
            packet = av.Packet((tmp_path / "b.png").read_bytes())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            container.mux(packet)
    with open_reader(tmp_path / "a.mov") as reader:
        images = [frame.image for frame in reader]
    assert len(images) == 20
    assert all(np.array_equal(image, RGB) for image in images)


def test_depth_of_a_sequence():
    flat, deep = still_picture.StillPicture(RGB), still_picture.StillPicture(DEEP, 16)
    assert np.array_equal(deepened(flat, 16).image, RGB.astype(np.uint16) * 257)
    assert np.array_equal(deepened(deep, 8).image, np.rint(DEEP / 257).astype(np.uint8))
    assert deepened(flat, 8).image is RGB


def test_a_video_with_the_name_of_a_picture(tmp_path: Path):
    sample = Path(__file__).resolve().parents[3] / "assets" / "sample.mp4"
    (tmp_path / "clip.png").write_bytes(sample.read_bytes())
    with pytest.raises(StudioError, match=r"clip\.png is a video .* rename it"):
        open_reader(tmp_path / "clip.png")
