"""Colour conversion against exact float arithmetic (H.273), in both directions, for every kind of pixel format."""

import io

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ColorTags, FromRGB, ToRGB, alpha_of, is_gray, is_rgb, resolve_tags, widened

# matrix code -> (red, blue) weight of luma
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LIMITED, FULL = 1, 2
BT709 = ColorTags(1, LIMITED, 1, 1)


def tags_of(matrix: int, range_: int) -> ColorTags:
    return ColorTags(matrix, range_, 1, 1)


def exact_yuv(rgb: np.ndarray, matrix: int, range_: int, bits: int) -> list[np.ndarray]:
    """rgb [H, W, 3] of 0..1 -> unrounded y, u, v samples."""
    red, blue = WEIGHTS[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    cb, cr = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    step = 2 ** (bits - 8)
    if range_ == LIMITED:
        return [(16 + 219 * luma) * step, (128 + 224 * cb) * step, (128 + 224 * cr) * step]
    peak = 2**bits - 1
    return [luma * peak, cb * peak + 128 * step, cr * peak + 128 * step]


def exact_rgb(planes: list[np.ndarray], matrix: int, range_: int, bits: int) -> np.ndarray:
    y, u, v = (plane.astype(float) for plane in planes)
    red, blue = WEIGHTS[matrix]
    step, peak = 2 ** (bits - 8), 2**bits - 1
    if range_ == LIMITED:
        luma, cb, cr = (y / step - 16) / 219, (u / step - 128) / 224, (v / step - 128) / 224
    else:
        luma, cb, cr = y / peak, (u - 128 * step) / peak, (v - 128 * step) / peak
    r, b = luma + (2 - 2 * red) * cr, luma + (2 - 2 * blue) * cb
    return np.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b], -1).clip(0, 1)


def plane_of(frame: av.VideoFrame, index: int) -> np.ndarray:
    """A copy of one plane of a planar format."""
    plane = frame.planes[index]
    wide = max(component.bits for component in frame.format.components) > 8
    dtype = np.dtype(">u2" if frame.format.is_big_endian else "<u2") if wide else np.dtype(np.uint8)
    lines = np.frombuffer(bytes(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width].astype(np.uint16 if wide else np.uint8)


def frame_of(name: str, planes: list[np.ndarray]) -> av.VideoFrame:
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], name)
    for plane, samples in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, samples.dtype).reshape(-1, plane.line_size // samples.itemsize)
        lines[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def picture(channels: int, dtype: type = np.uint8, height: int = 33, width: int = 51, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    image = np.random.default_rng(seed).integers(0, top, (height, width, channels), endpoint=True).astype(dtype)
    image[0, :4] = np.array([0, top, top // 2, 1])[:, None]
    return image


# ---- YUV -> RGB


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("range_", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_yuv444_to_rgb_is_exact(matrix: int, range_: int, bits: int):
    rgb = np.random.default_rng(matrix).random((37, 53, 3))
    rgb[0, :2] = [[0, 0, 0], [1, 1, 1]]
    dtype = np.uint8 if bits == 8 else np.uint16
    planes = [np.rint(plane).clip(0, 2**bits - 1).astype(dtype) for plane in exact_yuv(rgb, matrix, range_, bits)]
    frame = frame_of("yuv444p" if bits == 8 else f"yuv444p{bits}le", planes)
    image = ToRGB()(frame, tags_of(matrix, range_), bit_depth=bits)
    peak = 255 if bits == 8 else 65535
    assert image.dtype == dtype
    assert image.shape == rgb.shape
    assert image.flags.c_contiguous
    error = image / peak - exact_rgb(planes, matrix, range_, bits)
    # half a step of 8 bits and the coefficients' rounding; with 16 bits nothing but the latter
    assert np.abs(error).max() <= (0.52 if bits == 8 else 0.02) / 255
    assert abs(error.mean()) <= 0.02 / 255
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[0, 1].tolist() == [peak] * 3


def test_every_grey_comes_back():
    greys = np.broadcast_to(np.arange(256, dtype=np.uint8)[None], (4, 256))
    neutral = np.full_like(greys, 128)
    frame = frame_of("yuv444p", [greys, neutral, neutral])
    assert (ToRGB()(frame, tags_of(1, FULL)) == greys[..., None]).all()
    image = np.repeat(greys[..., None], 3, axis=2)
    for tags in (BT709, tags_of(5, LIMITED), tags_of(9, LIMITED)):
        back = ToRGB()(FromRGB("yuv444p", tags)(image), tags)
        assert np.abs(back.astype(int) - image).max() <= 1
        assert np.array_equal(back[:, [0, 255]], image[:, [0, 255]])
    deep = ToRGB()(FromRGB("yuv444p10le", BT709)(image), BT709, bit_depth=10)
    assert np.array_equal(np.rint(deep / 257), image)


@pytest.mark.parametrize("name", ["yuv420p", "nv12", "yuv422p", "yuv420p10le", "p010le"])
def test_subsampled_chroma_sits_on_the_left(name: str):
    """A ramp of colour: the upsampled value at luma x is the ramp at x / 2 (a centred sample would be 1/4 off)."""
    ramp = np.arange(32, dtype=float) * 3 + 80
    height, width = 16, 64
    bits = 10 if "10" in name else 8
    step = 2 ** (bits - 8)
    frame = av.VideoFrame(width, height, name)
    shift = 6 if name == "p010le" else 0
    dtype = np.uint16 if bits == 10 else np.uint8
    for index, plane in enumerate(frame.planes):
        lines = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype(0).itemsize)
        lines[:] = 128 * step << shift
        blue = (ramp * step).astype(dtype) << shift
        if index == 1:
            lines[:, : 64 if len(frame.planes) == 2 else 32 : 2 if len(frame.planes) == 2 else 1] = blue
    image = ToRGB()(frame, BT709, bit_depth=bits) / (255 if bits == 8 else 65535)
    # blue = luma + (2 - 2 * weight) * cb
    ramp_seen = ((image[8, :, 2] - (128 - 16) / 219) / (2 - 2 * 0.0722)) * 224 + 128
    inner = slice(12, 52)
    offset = np.mean((ramp_seen[inner] - (80 + 3 * np.arange(64)[inner] / 2)) / 3)
    assert abs(offset) < 0.05  # in samples of chroma


SUBSAMPLED = ["yuv420p", "yuv422p", "yuva420p", "yuv420p10le", "yuv422p10le"]


def chroma(name: str, red: np.ndarray) -> np.ndarray:
    """Cr of a picture whose red is given (0..255 [H, W], the rest black), in steps of 8 bits."""
    image = np.zeros((*red.shape, 4 if "a" in name else 3), np.uint8)
    image[..., 0] = red
    return plane_of(FromRGB(name, BT709)(image), 2) / (4 if "10" in name else 1)


@pytest.mark.parametrize("name", SUBSAMPLED)
def test_written_chroma_sits_on_the_left_of_a_pair_of_columns(name: str):
    """Cr is 128 left of an edge and 240 right of it. Sample k stands at column 2 k: half a column behind an edge before
    column 2 k, half a column before one behind it. So the two edges, mirrored about it, give values that add up."""
    before, behind = np.zeros((16, 64)), np.zeros((16, 64))
    k = 16
    before[:, 2 * k :], behind[:, 2 * k + 1 :] = 255, 255
    one, other = chroma(name, before)[4], chroma(name, behind)[4]
    assert (one[0], one[-1]) == (128, 240)
    for d in range(-6, 7):
        assert abs(one[k + d] + other[k - d] - (128 + 240)) <= 1
    assert one[k] - other[k] > 30  # the two edges are no alike


@pytest.mark.parametrize("name", SUBSAMPLED)
def test_written_chroma_of_a_slope(name: str):
    """A filter without a shift leaves a slope as it is: Cr of the column that a sample stands at."""
    red = np.broadcast_to(np.arange(64) * 4, (16, 64))
    at_columns = exact_yuv(np.stack([red / 255, 0 * red, 0 * red], -1), 1, LIMITED, 8)[2]
    assert np.abs(chroma(name, red) - at_columns[:: 16 // len(chroma(name, red)), ::2])[:, 4:-4].max() <= 0.6
    down = np.broadcast_to(np.arange(64)[:, None] * 4, (64, 16))
    at_rows = exact_yuv(np.stack([down / 255, 0 * down, 0 * down], -1), 1, LIMITED, 8)[2][:, ::2]
    if "420" in name:  # between two rows
        at_rows = (at_rows[::2] + at_rows[1::2]) / 2
    assert np.abs(chroma(name, down) - at_rows)[4:-4].max() <= 0.6


@pytest.mark.parametrize("name", [name for name in SUBSAMPLED if "420" in name])
def test_written_chroma_sits_between_two_rows(name: str):
    even, odd = np.zeros((64, 16)), np.zeros((64, 16))
    k = 16
    even[2 * k :], odd[2 * k + 1 :] = 255, 255
    between, through = chroma(name, even)[:, 4], chroma(name, odd)[:, 4]
    for d in range(-6, 7):
        assert abs(between[k + d] + between[k - 1 - d] - (128 + 240)) <= 1
        assert abs(through[k + d] + through[k - d] - (128 + 240)) <= 1
    assert abs(through[k] - (128 + 240) / 2) <= 0.5


@pytest.mark.parametrize("name", SUBSAMPLED)
def test_colour_stays_in_its_place_there_and_back(name: str):
    """A red column on black comes back as symmetric as it was, whatever column it is."""
    for column in (30, 31):
        image = np.zeros((16, 64, 3), np.uint8)
        image[:, column, 0] = 255
        back = ToRGB()(FromRGB(name, BT709)(image), BT709)[8, :, 0].astype(float)
        centre = (back * np.arange(64)).sum() / back.sum()
        assert abs(centre - column) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 31), (64, 48)])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p", "rgb24", "gray"])
def test_odd_sizes(name: str, size: tuple[int, int]):
    height, width = size
    image = np.full((height, width, 1 if name == "gray" else 3), 200, np.uint8)
    frame = FromRGB(name, BT709)(image)
    assert (frame.width, frame.height) == (width, height)
    back = ToRGB()(frame, resolve_tags(frame, height))
    assert back.shape == (height, width, 3)
    assert back.flags.c_contiguous
    assert np.abs(back.astype(int) - 200).max() <= 1


@pytest.mark.parametrize("deep", [False, True])
def test_rotation_and_mirror(deep: bool):
    image = picture(3, np.uint16 if deep else np.uint8, 6, 10)
    for name in ("rgb48le", "gbrp16le", "yuv444p16le") if deep else ("rgb24", "gbrp", "yuv444p"):
        frame = FromRGB(name, BT709)(image)
        plain = ToRGB()(frame, resolve_tags(frame, 720), bit_depth=16 if deep else 8)
        for quarter in range(4):
            for mirrored in (False, True):
                turned = ToRGB()(
                    frame, resolve_tags(frame, 720), quarter * 90, bit_depth=16 if deep else 8, mirrored=mirrored
                )
                assert np.array_equal(turned, np.rot90(plain[:, ::-1] if mirrored else plain, -quarter))


def test_converter_follows_changes():
    convert = ToRGB()
    small, large = picture(3, height=8, width=12), picture(3, height=20, width=30, seed=1)
    for image in (small, large, small):
        frame = FromRGB("gbrp", BT709)(image)
        assert np.array_equal(convert(frame, resolve_tags(frame, 8)), image)
    frame = FromRGB("yuv444p", tags_of(5, LIMITED))(small)
    right, wrong = convert(frame, tags_of(5, LIMITED)), convert(frame, tags_of(9, LIMITED))
    assert np.abs(right.astype(int) - small).max() <= 2
    assert np.abs(wrong.astype(int) - small).max() > 5
    assert convert(frame, tags_of(5, LIMITED), size=(20, 30)).shape == (20, 30, 3)


def test_images_stay_what_they_were():
    """The array may share libav's buffer: later frames must not change it."""
    convert, images = ToRGB(), [picture(3, height=32, width=64, seed=seed) for seed in range(5)]
    results = [convert(FromRGB("gbrp", BT709)(image), tags_of(0, FULL)) for image in images]
    assert all(np.array_equal(result, image) for result, image in zip(results, images, strict=True))


def test_palette_and_alpha_are_read_as_rgb():
    indexed = Image.fromarray(np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8), "P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    file = io.BytesIO()
    indexed.save(file, "png")
    file.seek(0)
    with av.open(file) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "pal8"
    tags = resolve_tags(frame, 2)
    assert (tags.matrix, tags.range) == (0, FULL)
    image = ToRGB()(frame, tags)
    assert image[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]
    rgba = picture(4)
    for name in ("rgba", "bgra", "argb", "gbrap"):
        assert np.array_equal(ToRGB()(FromRGB(name, BT709)(rgba), tags_of(0, FULL)), rgba[..., :3])


def test_unsupported_matrix():
    frame = frame_of("yuv444p", [np.full((4, 4), 128, np.uint8)] * 3)
    with pytest.raises(StudioError, match=r"H\.273 code 8"):
        ToRGB()(frame, tags_of(8, LIMITED))


# ---- tags


def test_untagged_frames():
    def resolved(name: str, height: int) -> tuple[int, int]:
        tags = resolve_tags(av.VideoFrame(64, 48, name), height)
        assert 2 not in (tags.matrix, tags.primaries, tags.transfer)
        return tags.matrix, tags.range

    assert resolved("yuv420p", 1080) == (1, LIMITED)
    assert resolved("yuv420p10le", 577) == (1, LIMITED)
    assert resolved("yuv420p", 576) == (5, LIMITED)
    assert resolved("yuv420p", 480) == (6, LIMITED)
    assert resolved("yuvj420p", 1080) == (5, FULL)
    assert resolved("gray", 1080)[1] == FULL
    assert resolved("rgb24", 1080) == (0, FULL)
    assert resolved("gbrp10le", 1080) == (0, FULL)
    assert resolved("pal8", 100) == (0, FULL)


def test_tagged_frames_keep_their_tags():
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    frame.colorspace, frame.color_range = 9, FULL
    assert resolve_tags(frame, 480) == ColorTags(9, FULL, 9, 14)
    if hasattr(frame, "color_primaries"):
        frame.color_primaries, frame.color_trc = 9, 16  # PQ
        assert resolve_tags(frame, 480) == ColorTags(9, FULL, 9, 16)


def test_format_kinds():
    assert [is_gray(av.VideoFormat(name)) for name in ("gray", "gray16le", "ya8", "yuv444p", "gbrp")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert [is_rgb(av.VideoFormat(name)) for name in ("gbrap16le", "pal8", "bgra", "gray", "yuv444p")] == [
        True, True, True, False, False,
    ]  # fmt: skip


# ---- RGB -> frame


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("name", "bits", "limit"),
    [("yuv444p", 8, 1.0), ("yuva444p", 8, 1.0), ("yuva444p10le", 10, 0.2), ("yuv444p12le", 12, 0.1),
     ("yuva444p16le", 16, 0.1)],
)  # fmt: skip
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_rgb_to_limited_yuv_is_exact(matrix: int, name: str, bits: int, limit: float, dtype: type):
    image = picture(3, dtype)
    frame = FromRGB(name, tags_of(matrix, LIMITED))(image)
    assert (int(frame.colorspace), int(frame.color_range)) == (matrix, LIMITED)
    wanted = exact_yuv(image / np.iinfo(dtype).max, matrix, LIMITED, bits)
    for index in range(3):
        error = (plane_of(frame, index) - wanted[index]) / 2 ** (bits - 8)
        assert np.abs(error).max() <= limit
        assert abs(error.mean()) <= 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("name", "bits"),
    [("yuva420p", 8), ("yuva444p", 8), ("yuva422p", 8), ("yuva444p10le", 10), ("yuva444p12le", 12),
     ("yuva444p16le", 16), ("gbrap", 8), ("gbrap10le", 10), ("gbrap12le", 12), ("gbrap16le", 16), ("gbrap16be", 16)],
)  # fmt: skip
def test_alpha_is_rounded_exactly(name: str, bits: int, dtype: type):
    image = picture(4, dtype)
    top = np.iinfo(dtype).max
    ramp = np.linspace(0, top, image.shape[1]).round().astype(dtype)
    image[5, :, 3] = ramp
    frame = FromRGB(name, BT709)(image)
    alpha = plane_of(frame, 3)
    assert np.array_equal(alpha, np.rint(image[..., 3] * ((2**bits - 1) / top)))
    assert (np.diff(alpha[5].astype(int)) >= 0).all()
    assert (alpha[5, 0], alpha[5, -1]) == (0, 2**bits - 1)
    back = np.rint(alpha / (2**bits - 1) * 255)
    assert np.abs(back - np.rint(image[..., 3] / top * 255)).max() <= 1
    assert (plane_of(FromRGB(name, BT709)(image[..., :3]), 3) == 2**bits - 1).all()


@pytest.mark.parametrize("width", [16, 48, 50, 64])
@pytest.mark.parametrize("name", ["rgba", "bgra", "yuva444p10le", "yuva420p", "yuv420p"])
def test_a_picture_that_is_not_copied_gives_the_same_frame(name: str, width: int):
    """Pictures whose lines swscale may read in place, beside the same one with gaps between its lines."""
    image = picture(4, width=width)
    gapped = np.zeros((image.shape[0], width + 4, 4), np.uint8)
    gapped[:, :width] = image
    before = image.copy()
    frames = [FromRGB(name, BT709)(pixels) for pixels in (image, gapped[:, :width])]
    size = 4 if name in ("rgba", "bgra") else 2 if name.endswith("10le") else 1  # of a sample, or pixel
    for planes in zip(*(frame.planes for frame in frames), strict=True):
        lines = [np.frombuffer(plane, np.uint8).reshape(plane.height, -1) for plane in planes]
        assert np.array_equal(*(samples[:, : planes[0].width * size] for samples in lines))
    assert np.array_equal(image, before)


PASSES_VIEWS = int(av.__version__.split(".")[0]) >= 18  # older PyAV copies a picture on its way into a filter


def test_a_frame_keeps_the_picture_it_is_a_view_of():
    image = picture(4, width=64)
    wanted = image.copy()
    frame = FromRGB("rgba", BT709)(image)
    if PASSES_VIEWS:
        assert np.shares_memory(np.frombuffer(frame.planes[0], np.uint8), image)
    del image
    others = [picture(4, width=64, seed=seed) for seed in range(1, 9)]  # would take its memory
    assert np.array_equal(np.frombuffer(frame.planes[0], np.uint8).reshape(wanted.shape), wanted)
    assert len(others) == 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["rgba", "bgra", "argb", "abgr", "rgb24", "bgr24", "rgba64le", "rgba64be", "rgb48le"])
def test_packed_rgb_is_exact(name: str, dtype: type):
    image = picture(4, dtype)
    wide = "64" in name or "48" in name
    top = 65535 if wide else 255
    wanted = np.rint(image * (top / np.iinfo(dtype).max)).astype(int)
    frame = FromRGB(name, BT709)(image)
    order = ["rgba".index(letter) for letter in name.removesuffix("be") if letter in "rgba"]
    samples = np.dtype((">u2" if name.endswith("be") else "<u2") if wide else np.uint8)
    lines = np.frombuffer(bytes(frame.planes[0]), samples).reshape(image.shape[0], -1)
    found = lines[:, : image.shape[1] * len(order)].reshape(*image.shape[:2], len(order)).astype(int)
    assert np.array_equal(found, wanted[..., order])
    opaque = FromRGB(name, BT709)(np.ascontiguousarray(image[..., :3]))
    if 3 in order:
        lines = np.frombuffer(bytes(opaque.planes[0]), samples).reshape(image.shape[0], -1)
        assert (lines[:, : image.shape[1] * 4].reshape(*image.shape[:2], 4)[..., order.index(3)] == top).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("name", "bits"), [("gbrp", 8), ("gbrp10le", 10), ("gbrap16le", 16), ("gbrp16be", 16)])
def test_planar_rgb_is_exact_and_comes_back(name: str, bits: int, dtype: type):
    image = picture(3, dtype)
    frame = FromRGB(name, BT709)(image)
    assert (int(frame.colorspace), int(frame.color_range)) == (0, FULL)
    wanted = np.rint(image * ((2**bits - 1) / np.iinfo(dtype).max))
    for index, channel in enumerate((1, 2, 0)):
        assert np.array_equal(plane_of(frame, index), wanted[..., channel])
    back = ToRGB()(frame, resolve_tags(frame, 480), bit_depth=bits)
    assert np.abs(back / (255 if bits == 8 else 65535) - wanted / (2**bits - 1)).max() <= 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("name", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16), ("gray16be", 16)])
def test_gray_is_exact_and_comes_back(name: str, bits: int, dtype: type):
    image = picture(1, dtype)
    frame = FromRGB(name, BT709)(image)
    wanted = np.rint(image[..., 0] * ((2**bits - 1) / np.iinfo(dtype).max))
    assert np.array_equal(plane_of(frame, 0), wanted)
    back = ToRGB()(frame, resolve_tags(frame, 480), bit_depth=bits)
    assert np.abs(back / (255 if bits == 8 else 65535) - wanted[..., None] / (2**bits - 1)).max() <= 1e-4


@pytest.mark.parametrize(("name", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
@pytest.mark.parametrize("depth", [8, 16])
def test_gray_that_is_tagged_as_limited(name: str, bits: int, depth: int):
    shift = bits - 8
    values = np.array([[0, 16, 70, 125, 235, 255]]).repeat(4, 0) << shift
    frame = av.VideoFrame(6, 4, name)  # not from_ndarray, which knows few formats in PyAV 14
    samples = np.dtype(np.uint8 if bits == 8 else np.uint16)
    lines = np.zeros((4, frame.planes[0].line_size // samples.itemsize), samples)
    lines[:, :6] = values
    frame.planes[0].update(lines.tobytes())
    frame.color_range = LIMITED
    back = ToRGB()(frame, resolve_tags(frame, 480), bit_depth=depth)[0, :, 0]
    wanted = np.clip((np.array([0, 16, 70, 125, 235, 255]) - 16) / 219, 0, 1)
    assert np.abs(back / np.iinfo(back.dtype).max - wanted).max() <= 0.502 / 255


@pytest.mark.parametrize(("name", "bits"), [("yuv420p", 8), ("yuv444p10le", 10), ("yuva444p10le", 10)])
@pytest.mark.parametrize("range_", [LIMITED, FULL])
def test_gray_in_yuv(name: str, bits: int, range_: int):
    image = picture(1)
    frame = FromRGB(name, tags_of(1, range_))(image)
    luma = exact_yuv(np.repeat(image / 255, 3, 2), 1, range_, bits)[0]
    assert np.abs(plane_of(frame, 0) - luma).max() <= 0.501
    assert (plane_of(frame, 1) == 128 * 2 ** (bits - 8)).all()
    assert (plane_of(frame, 2) == 128 * 2 ** (bits - 8)).all()
    if name.startswith("yuva"):
        assert (plane_of(frame, 3) == 2**bits - 1).all()


@pytest.mark.parametrize("name", ["yuv420p", "gbrap", "rgba", "gray"])
def test_padding_repeats_the_edge(name: str):
    image = picture(1 if name == "gray" else 4, height=5, width=7)
    image[:, -1], image[-1] = 90, 90  # flat at the edges, so that chroma does not blur it
    image[:, -2], image[-2] = 90, 90
    frame = FromRGB(name, BT709, pad_to_even=True)(image)
    assert (frame.width, frame.height) == (8, 6)
    back = ToRGB()(frame, resolve_tags(frame, 480))
    assert np.abs(back[:, 6:].astype(int) - 90).max() <= 1
    assert np.abs(back[4:].astype(int) - 90).max() <= 1
    even = FromRGB(name, BT709, pad_to_even=True)(image[:4, :6])
    assert (even.width, even.height) == (6, 4)


def test_420_round_trip_of_a_smooth_picture():
    """Gradients survive subsampling within 2 of 255, in both depths."""
    y, x = np.mgrid[0:64, 0:96]
    image = np.stack([40 + x * 1.5, 60 + y * 2, 200 - x], -1).astype(np.uint8)
    for name, bits in (("yuv420p", 8), ("yuv420p10le", 10)):
        frame = FromRGB(name, BT709)(image)
        back = ToRGB()(frame, resolve_tags(frame, 1080), bit_depth=bits) / (255 if bits == 8 else 65535) * 255
        assert np.abs(back - image)[2:-2, 2:-2].max() <= 2


def test_one_converter_takes_changing_images():
    convert = FromRGB("yuv444p", BT709)
    for image in (picture(3), picture(4), picture(1), picture(3, np.uint16), picture(3, height=8, width=8)):
        frame = convert(image)
        assert (frame.height, frame.width) == image.shape[:2]
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
        luma = exact_yuv(rgb / np.iinfo(image.dtype).max, 1, LIMITED, 8)[0]
        assert np.abs(plane_of(frame, 0) - luma).max() <= 1
        assert frame.pts is None


@pytest.mark.parametrize("name", ["rgb24", "rgba", "gbrp", "gray"])
def test_eight_bits_become_sixteen_without_loss(name: str):
    """swscale would make 65283 of white in RGB."""
    image = picture(4, np.uint8, 6, 10)
    image[0, 0], image[0, 1] = 0, 255
    image = image[..., :1] if name == "gray" else image[..., :3]
    frame = FromRGB(name, BT709)(image)
    found = ToRGB()(frame, resolve_tags(frame, 720), 90, bit_depth=16, mirrored=True)
    assert np.array_equal(found, np.rot90(np.broadcast_to(image, (6, 10, 3))[:, ::-1], -1).astype(np.uint16) * 257)
    assert np.array_equal(widened(image), image.astype(np.uint16) * 257)


@pytest.mark.parametrize("name", ["rgba", "gbrap", "yuva444p", "ya8", "rgba64be", "gbrap10le", "yuva444p10le"])
def test_alpha_of_a_frame(name: str):
    format = av.VideoFormat(name)
    frame = av.VideoFrame(10, 6, name)
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 0
    assert alpha_of(frame).max() == 0
    component = next(part for part in format.components if part.is_alpha)
    if name in ("gbrap", "yuva444p", "gbrap10le", "yuva444p10le"):
        np.frombuffer(frame.planes[component.plane], np.uint8)[:] = 1
        assert alpha_of(frame).min() == (1 if max(part.bits for part in format.components) == 8 else 257)
    else:
        samples = np.frombuffer(frame.planes[0], np.uint8).reshape(6, -1)
        bytes_per_pixel = {"rgba": 4, "ya8": 2, "rgba64be": 8}[name]
        samples[2, bytes_per_pixel * 3 - 1] = 5  # the last byte of the third pixel
        assert alpha_of(frame)[2, 2] == 5
    assert alpha_of(frame).shape == (6, 10)
    assert alpha_of(av.VideoFrame(10, 6, "rgb24")) is None
