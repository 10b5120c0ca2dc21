"""Every format there and back, against the pixels that went in; names, times, tags, faults."""

import errno
import os
import re
import subprocess
import sys
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.output_formats import FORMATS, format_for
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

from .small_outputs import names

OF_SPEC = {field.name for field in fields(PictureSpec)}
BT709 = ColorTags(1, 1, 1, 1)
BT601 = ColorTags(6, 1, 6, 6)
NTSC = Fraction(30000, 1001)
SIZES = [(48, 64), (27, 35)]
CHANNELS = {"rgba": 4, "rgb": 3, "gray": 1}


def make_writer(path, content="rgba", size=(48, 64), **more) -> FrameWriter:
    given = {"frame_rate": NTSC, "time_base": Fraction(1, 30000), "tags": BT709, "height": size[0], "width": size[1]}
    given |= {name: more.pop(name) for name in list(more) if name in OF_SPEC}
    return FrameWriter(path, PictureSpec(**given), content=content, **more)


def make_image(content="rgba", size=(48, 64), depth=8, step=0) -> np.ndarray:
    """Four flat quarters of colour, a soft disc of alpha; gray: the disc."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    left, top = x < width / 2 + step, y < height / 2  # no two frames are alike
    colour = np.stack([np.where(left, 0.8, 0.25), np.where(top, 0.7, 0.3), np.where(left ^ top, 0.2, 0.6)], -1)
    alpha = np.clip((0.35 * height - np.hypot(x - width / 2 - step, y - height / 2)) / 6 + 0.5, 0, 1)
    image = np.dstack([colour, alpha])
    image = {"rgba": image, "rgb": colour, "gray": alpha[..., None]}[content]
    return np.rint(image * (65535 if depth > 8 else 255)).astype(np.uint16 if depth > 8 else np.uint8)


def write_clip(path, content="rgba", size=(48, 64), frames=3, depth=8, **more) -> tuple[Path, list[np.ndarray]]:
    writer = make_writer(path, content, size, bit_depth=depth, **more)
    images = [make_image(content, size, writer.bit_depth, i) for i in range(frames)]
    for i, image in enumerate(images):
        writer.write(image, 1001 * i, i)
    return writer.finish(), images


def decode(path: Path) -> tuple[list[av.VideoFrame], Fraction]:
    """All frames, VP9 with libvpx (libav's own decoder leaves the alpha out), and the unit of their pts."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        time_base = stream.time_base
        return [
            f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None)
        ], time_base


PACKED = {
    "rgb24": "rgb",
    "rgb48be": "rgb",
    "rgb48le": "rgb",
    "rgba": "rgba",
    "rgba64be": "rgba",
    "bgra": "bgra",
    "bgr0": "bgr0",
}


def to_rgba(frame: av.VideoFrame) -> np.ndarray:
    """[H, W, 4] of 0..1 by the textbook: straight from the planes, chroma repeated, matrix as tagged."""
    name, values = frame.format.name, {}
    for component, letter in zip(frame.format.components, "rgba" if frame.format.is_rgb else "yuva", strict=False):
        if component.is_alpha:
            letter = "a"
        plane = frame.planes[component.plane]
        dtype = np.dtype(np.uint8) if component.bits == 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
        lines = np.frombuffer(bytes(plane), dtype).reshape(plane.height, -1)
        if name in PACKED:
            lines = lines[:, PACKED[name].index(letter) :: len(PACKED[name])]
        repeat = np.ones((-(-frame.height // plane.height), -(-frame.width // plane.width)))
        values[letter] = np.kron(lines[:, : plane.width], repeat)[: frame.height, : frame.width]
    top = 2 ** frame.format.components[0].bits - 1
    alpha = values.get("a", np.full((frame.height, frame.width), top)) / top
    if frame.format.is_rgb:
        return np.stack([values["r"] / top, values["g"] / top, values["b"] / top, alpha], -1)
    if "u" not in values:
        return np.stack([values["y"] / top] * 3 + [alpha], -1)
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[int(frame.colorspace)]
    assert int(frame.color_range) == 1
    step = (top + 1) / 256
    y, u, v = (values["y"] / step - 16) / 219, (values["u"] / step - 128) / 224, (values["v"] / step - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b, alpha], -1)


def check_pixels(frames: list[np.ndarray], images: list[np.ndarray], colour: float, alpha: float) -> None:
    """Largest errors allowed, of 255: `colour` away from the edges of the quarters, `alpha` anywhere."""
    assert len(frames) == len(images)
    for frame, image in zip(frames, images, strict=True):
        true = image / np.iinfo(image.dtype).max
        height, width, channels = true.shape
        assert frame.shape[0] in (height, height + height % 2)
        pred = frame[:height, :width]
        if channels == 1:
            assert np.abs(pred[..., :3] - true).max() * 255 <= colour
            continue
        flat = np.ones((height, width), bool)
        flat[height // 2 - 8 : height // 2 + 8] = flat[:, width // 2 - 8 : width // 2 + 10] = False
        assert np.abs(pred[..., :3] - true[..., :3])[flat].max() * 255 <= colour
        if channels == 4:
            assert np.abs(pred[..., 3] - true[..., 3]).max() * 255 <= alpha


def read_pictures(path: Path) -> list[np.ndarray]:
    """What libav does not decode (animated WebP), by Pillow."""
    with Image.open(path) as picture:
        pictures = []
        for i in range(getattr(picture, "n_frames", 1)):
            picture.seek(i)
            pictures.append(np.asarray(picture.convert("RGBA")) / 255)
        return pictures


def read_back(path: Path) -> list[np.ndarray]:
    if path.suffix == ".webp":
        return read_pictures(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [to_rgba(frame) for file in files for frame in decode(file)[0]]


# format, depth of the source -> largest error of colour in flat areas, of 255
LOSSY = {".mov": 1.5, ".webm": 2.0, ".mp4": 6.0}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("suffix", "depth", "taken"),
    [
        (".mov", 8, 8), (".mov", 10, 16), (".webm", 8, 8), (".webm", 10, 8), (".mkv", 8, 8), (".mkv", 10, 16),
        (".mkv", 12, 16), (".mkv", 16, 16), (".png", 8, 8), (".png", 10, 16), (".apng", 8, 8), (".apng", 16, 8),
        (".webp", 8, 8),
    ],
)  # fmt: skip
def test_rgba_there_and_back(tmp_path, suffix, depth, taken, size):
    assert make_writer(tmp_path / f"probe{suffix}", bit_depth=depth).bit_depth == taken
    path, images = write_clip(tmp_path / f"matte{suffix}", size=size, depth=depth)
    # a 10- or 12-bit sample is off by at most half a step from the 16 bits that went in
    rounding = 255 / 2 / (2**depth - 1) + 1e-9 if suffix == ".mkv" and depth > 8 else 1e-9
    frames = read_back(path)
    if suffix == ".webp":  # its colours under alpha 0 are not kept
        for frame, image in zip(frames, images, strict=True):
            frame[image[..., 3] == 0, :3] = image[image[..., 3] == 0, :3] / 255
    check_pixels(frames, images, LOSSY.get(suffix, rounding), 1 if suffix in LOSSY else rounding)
    assert frames[0].shape[:2] == size


OTHERS = [row for row in FORMATS if row.suffix not in (".exr", ".gif")]  # those two have tests of their own


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", ["rgb", "gray"])
@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.suffix)
def test_rgb_and_gray_there_and_back(tmp_path, row, content, size):
    path, images = write_clip(tmp_path / f"out{row.suffix}", content, size)
    bound = LOSSY.get(row.suffix, 1e-9)
    if (row.suffix, content) == (".webm", "rgb"):
        bound = 6  # not lossless by default
    elif (row.suffix, content) == (".mov", "gray"):
        bound = 4  # edges count here, and the disc is soft
    check_pixels(read_back(path), images, bound, 0)


@pytest.mark.parametrize("content", ["rgb", "gray"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_sequences_are_exact(tmp_path, content, suffix):
    path, images = write_clip(tmp_path / f"deep.{suffix}", content, depth=16)
    check_pixels(read_back(path), images, 1e-9, 0)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (40, 1), (15, 16), (16, 16), (27, 35)])
def test_ffv1_takes_every_size(tmp_path, size, depth):
    """FFV1 refuses slices without pixels."""
    rng = np.random.RandomState(0)
    dtype = np.uint16 if depth > 8 else np.uint8
    for content, channels in CHANNELS.items():
        image = rng.randint(0, np.iinfo(dtype).max + 1, (*size, channels)).astype(dtype)
        writer = make_writer(tmp_path / f"{content}.mkv", content, size, bit_depth=depth)
        writer.write(image, 0, 0)
        (frame,) = read_back(writer.finish())
        assert frame.shape[:2] == size
        pred = frame[..., :channels] * np.iinfo(dtype).max
        assert np.abs(pred - image).max() < 1e-6


@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_that_prores_keeps(tmp_path, depth):
    """Every step of 8 bits; 10 bits of 16."""
    dtype = np.uint16 if depth > 8 else np.uint8
    image = np.full((256, 256, 4), np.iinfo(dtype).max // 2, dtype)
    image[..., 3] = np.arange(65536).reshape(256, 256) % 2**depth
    writer = make_writer(tmp_path / "out.mov", size=(256, 256), bit_depth=depth)
    writer.write(image, 0, 0)
    (frame,) = read_back(writer.finish())
    assert len(np.unique(frame[..., 3])) == min(2**depth, 1024)
    if depth == 8:
        assert np.array_equal(np.rint(frame[..., 3] * 255), image[..., 3])
    else:
        assert np.abs(frame[..., 3] - image[..., 3] / 65535).max() * 255 < 0.2


def test_odd_h264_repeats_the_last_column_and_row(tmp_path):
    path, images = write_clip(tmp_path / "out.mp4", "rgb", (27, 35), frames=1)
    (frame,) = read_back(path)
    assert frame.shape[:2] == (28, 36)
    assert np.abs(frame[27, :10, :3] - images[0][26, :10] / 255).max() * 255 <= 3
    assert np.abs(frame[:8, 35, :3] - images[0][:8, 34] / 255).max() * 255 <= 3


def test_a_better_quality_makes_a_larger_file(tmp_path):
    rng = np.random.RandomState(0)
    image = rng.randint(0, 256, (48, 64, 4)).astype(np.uint8)
    for suffix, good, bad in ((".mov", 1, 8), (".webm", 0, 40), (".mp4", 10, 40)):
        sizes = []
        for quality in (good, bad):
            content = "rgb" if suffix == ".mp4" else "rgba"
            writer = make_writer(tmp_path / f"q{quality}{suffix}", content, quality=quality)
            writer.write(image[..., : CHANNELS[content]].copy(), 0, 0)
            sizes.append(writer.finish().stat().st_size)
        assert sizes[0] > 1.3 * sizes[1], suffix


# --- colour tags


@pytest.mark.parametrize(
    ("suffix", "content", "tags", "written"),
    [
        (".mov", "rgba", BT601, (6, 1)),
        (".mov", "rgba", ColorTags(9, 1, 9, 14), (9, 1)),
        (".mov", "rgba", ColorTags(0, 2, 1, 13), (1, 1)),  # RGB source: BT.709
        (".mov", "rgb", ColorTags(7, 1, 7, 7), (1, 1)),
        (".webm", "rgba", BT601, (6, 1)),
        (".mp4", "rgb", ColorTags(1, 2, 1, 1), (1, 1)),  # a full-range source becomes limited
        (".mkv", "rgba", BT709, (0, 2)),
    ],
)
def test_what_is_written_is_tagged(tmp_path, suffix, content, tags, written):
    path, images = write_clip(tmp_path / f"out{suffix}", content, tags=tags)
    frames, _ = decode(path)
    assert {(int(f.colorspace), int(f.color_range)) for f in frames} == {written}
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc) == (tags.primaries, tags.transfer)
    check_pixels([to_rgba(frame) for frame in frames], images, LOSSY.get(suffix, 1e-9), 1)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_composites_become_10_bit_hevc(tmp_path, transfer):
    tags = ColorTags(9, 1, 9, transfer)
    path, images = write_clip(tmp_path / "out.mp4", "rgb", depth=10, tags=tags)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.codec_tag) == ("hevc", "yuv420p10le", "hvc1")
        assert context.color_trc == transfer
    check_pixels(read_back(path), images, LOSSY[".mp4"], 0)
    assert make_writer(tmp_path / "sdr.mp4", "rgb", bit_depth=10).bit_depth == 8


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".mkv"])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_the_kind_of_alpha_is_said(tmp_path, suffix, premultiplied):
    path, _ = write_clip(tmp_path / f"out{suffix}", premultiplied=premultiplied)
    with av.open(str(path)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["comment"] == ("alpha: premultiplied" if premultiplied else "alpha: straight")
        if suffix == ".webm":  # what browsers look for
            assert {k.lower(): v for k, v in container.streams.video[0].metadata.items()}["alpha_mode"] == "1"


@pytest.mark.parametrize("suffix", [".png", ".apng", ".webp", ".mov", ".webm", ".mkv"])
def test_premultiplied_where_the_file_cannot_say_it(tmp_path, suffix):
    silent = suffix in (".png", ".apng", ".webp")
    writer = make_writer(tmp_path / f"a{suffix}", premultiplied=True)
    assert [note for note in writer.notes if f"{suffix} cannot store" in note and "premultiplied" in note] == (
        writer.notes if silent else []
    )
    assert len(writer.notes) == silent
    assert make_writer(tmp_path / f"b{suffix}").notes == []
    assert make_writer(tmp_path / f"c{suffix}", "rgb", premultiplied=True).notes == []


def test_long_webp_is_warned_of(tmp_path):
    image = make_image(size=(2, 2))
    for suffix in (".webp", ".apng"):
        writer = make_writer(tmp_path / f"out{suffix}", size=(2, 2))
        for i in range(302):
            if i <= 300:
                assert writer.notes == []
            writer.write(image, 1001 * i, i)
        writer.finish()
        assert ["held in memory" in note for note in writer.notes] == ([True] if suffix == ".webp" else [])


def test_pixels_that_are_not_square(tmp_path):
    for suffix in (".mov", ".mp4"):
        path, _ = write_clip(tmp_path / f"out{suffix}", "rgb", sample_aspect_ratio=Fraction(4, 3))
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    writer = make_writer(tmp_path / "out.webp", sample_aspect_ratio=Fraction(4, 3))
    assert any("pixel aspect ratio 4/3" in note for note in writer.notes)


# --- times


@pytest.mark.parametrize("first", [0, 5005, -3003])
@pytest.mark.parametrize("time_base", [Fraction(1, 30000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 25)])
@pytest.mark.parametrize(
    ("suffix", "content"), [(".mov", "rgba"), (".mp4", "rgb"), (".mkv", "rgba"), (".webm", "rgba")]
)
def test_times_come_back(tmp_path, suffix, content, time_base, first):
    """Variable rate, a start that is not zero: exact in MOV and MP4, to a millisecond in Matroska."""
    steps = np.cumsum([0, 1, 3, 1, 1, 7, 2, 1, 1, 1, 5, 1]) * (
        1001 if time_base.denominator > 1000 * time_base.numerator else 1
    )
    start = first if abs(first * time_base) < 1 else first // 1001
    pts = [start + int(step) for step in steps]
    writer = make_writer(tmp_path / f"out{suffix}", content, time_base=time_base)
    for number, time in enumerate(pts):
        writer.write(make_image(content, step=number), time, number)
    frames, unit = decode(writer.finish())
    pts = [time - min(pts[0], 0) for time in pts]  # what begins before zero is moved there
    times = [frame.pts * unit for frame in frames]
    if suffix in (".mov", ".mp4"):
        assert times == [time * time_base for time in pts]
        if time_base.numerator == 1:
            assert unit == time_base
            assert [frame.pts for frame in frames] == pts
    else:
        assert max(abs(a - b * time_base) for a, b in zip(times, pts, strict=True)) <= Fraction(1, 2000)


def test_delays_of_animated_pictures(tmp_path):
    for suffix in (".apng", ".webp"):
        writer = make_writer(tmp_path / f"out{suffix}")
        for number, time in enumerate([5005, 6006, 9009, 10010]):
            writer.write(make_image(step=number), time, number)
        durations = []
        with Image.open(writer.finish()) as picture:
            assert picture.n_frames == 4
            assert picture.info["loop"] == 0
            for i in range(4):
                picture.seek(i)
                picture.load()
                durations.append(picture.info["duration"])
        # the last one has no end: libav repeats the one before (APNG), takes the mean (WebP)
        assert durations[:3] == pytest.approx([33.37, 100.1, 33.37], abs=0.02 if suffix == ".apng" else 1)
        assert durations[3] > 30


def test_times_that_stand_still_are_moved_by_a_tick(tmp_path):
    writer = make_writer(tmp_path / "out.mov")
    for number, time in enumerate([0, 1001, 1001, 900, 4004]):
        writer.write(make_image(step=number), time, number)
    frames, _ = decode(writer.finish())
    assert [frame.pts for frame in frames] == [0, 1001, 1002, 1003, 4004]
    assert any("2 frames" in note for note in writer.notes)


# --- names

TARGETS = [
    ("out.mov", "rgba"),
    ("out.webm", "rgba"),
    ("out.mkv", "rgba"),
    ("out.apng", "rgba"),
    ("out.webp", "rgba"),
    ("out.mp4", "rgb"),
]


@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_the_final_name_appears_at_the_end_only(tmp_path, name, content):
    path = tmp_path / "new" / "folder" / name
    writer = make_writer(path, content)
    for i in range(3):
        writer.write(make_image(content, step=i), 1001 * i, i)
        (partial,) = names(path.parent)
        assert re.fullmatch(rf"out\.[0-9a-f]{{8}}\.partial\{path.suffix}", partial)
    assert writer.finish() == path
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_abandoned_and_kept_it_plays(tmp_path, name, content):
    path = tmp_path / name
    writer = make_writer(path, content)
    images = [make_image(content, step=i) for i in range(5)]
    for i, image in enumerate(images):
        writer.write(image, 1001 * i, i)
    partial = writer.abandon(keep=True)
    assert partial == tmp_path / f"out.partial{path.suffix}"
    assert names(tmp_path) == [partial.name]
    assert len(read_back(partial)) == 5


@pytest.mark.parametrize(("keep", "frames"), [(False, 0), (False, 3), (True, 0)])
@pytest.mark.parametrize(("name", "content"), TARGETS)
def test_abandoned_without_a_trace(tmp_path, name, content, keep, frames):
    writer = make_writer(tmp_path / name, content)
    for i in range(frames):
        writer.write(make_image(content, step=i), 1001 * i, i)
    assert writer.abandon(keep) is None
    assert os.listdir(tmp_path) == []


def test_an_existing_output_stays_unless_overwritten(tmp_path):
    path = tmp_path / "out.mov"
    path.write_bytes(b"mine")
    with pytest.raises(StudioError, match="exists already"):
        make_writer(path)
    assert os.listdir(tmp_path) == ["out.mov"]
    writer = make_writer(path, overwrite=True)
    writer.write(make_image(), 0, 0)
    assert path.read_bytes() == b"mine"  # until the last step
    writer.finish()
    assert len(read_back(path)) == 1


def test_names_that_libav_would_misread(tmp_path):
    for name in ("a:b.mkv", "%03d.mkv", "ä ö.mkv"):
        if os.name == "nt" and ":" in name:
            continue
        path, _ = write_clip(tmp_path / name)
        assert path.name == name
        assert path.exists()


# --- sequences


def write_sequence(path, numbers=(1001, 1002, 1003), **more) -> FrameWriter:
    writer = make_writer(path, **more)
    for i, number in enumerate(numbers):
        writer.write(make_image(step=i), 1001 * i, number)
    return writer


@pytest.mark.parametrize(
    ("name", "expected"),
    [("matte.png", "matte/{:05d}.png"), ("shot/a_%04d.png", "shot/a_{:04d}.png"), ("shot/%d.png", "shot/{}.png")],
)
def test_sequences_keep_their_numbers(tmp_path, name, expected):
    writer = write_sequence(tmp_path / name)
    assert not (tmp_path / expected.format(1001)).exists()
    folder = writer.finish()
    assert folder == (tmp_path / expected).parent
    assert os.listdir(tmp_path) == [folder.name]
    assert sorted(folder.iterdir()) == [tmp_path / expected.format(n) for n in (1001, 1002, 1003)]
    for i, file in enumerate(sorted(folder.iterdir())):
        assert np.array_equal(np.asarray(Image.open(file)), make_image(step=i))


def test_sequence_into_a_folder_that_is_there(tmp_path):
    folder = tmp_path / "shot"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    write_sequence(folder / "a_%04d.png").finish()
    names = ["a_1001.png", "a_1002.png", "a_1003.png", "notes.txt"]
    assert sorted(os.listdir(folder)) == names
    with pytest.raises(StudioError, match=r"a_1001.png exists already"):
        make_writer(folder / "a_%04d.png")
    assert sorted(os.listdir(folder)) == names
    write_sequence(folder / "a_%04d.png", [1002], overwrite=True).finish()
    assert sorted(os.listdir(folder)) == ["a_1002.png", "notes.txt"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a_%05d.png", "fg_%05d.png"),
        ("%05d.png", "frames_%05d.png"),
        ("a_%05d.png", "a-%05d.png"),
        ("a%03d.png", "a%05d.png"),
        ("a#%d.png", "a%02d.png"),
        ("a5%d.png", "a%05d.png"),
    ],
)
def test_two_sequences_into_one_folder(tmp_path, first, second, there):
    folder = tmp_path / "new" / "x"
    if there:
        folder.mkdir(parents=True)
    patterns = (first, second)
    writers = [make_writer(folder / pattern) for pattern in patterns]
    for i in range(3):
        for step, writer in enumerate(writers):
            writer.write(make_image(step=2 * i + step), 1001 * i, i)
    assert not list(folder.glob("*.png"))
    for writer in writers:
        assert writer.finish() == folder
    assert os.listdir(folder.parent) == ["x"]
    assert sorted(os.listdir(folder)) == sorted(pattern % i for pattern in patterns for i in range(3))
    for step, pattern in enumerate(patterns):
        for i in range(3):
            assert np.array_equal(np.asarray(Image.open(folder / (pattern % i))), make_image(step=2 * i + step))


def test_one_of_two_sequences_abandoned(tmp_path):
    done, stopped = write_sequence(tmp_path / "x" / "a_%d.png", [1]), write_sequence(tmp_path / "x" / "b_%d.png", [1])
    assert stopped.abandon(keep=False) is None
    assert done.finish() == tmp_path / "x"
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "a_1.png"]


def test_sequences_whose_names_overlap(tmp_path):
    """a1000.png is one of a%03d.png too: it was not there when that began, so it stays."""
    one, other = write_sequence(tmp_path / "x" / "a1%03d.png", [0]), write_sequence(tmp_path / "x" / "a%03d.png", [0])
    one.finish()
    other.finish()
    assert sorted(os.listdir(tmp_path / "x")) == ["a000.png", "a1000.png"]


@pytest.mark.parametrize("there", [False, True])
def test_sequence_abandoned(tmp_path, there):
    folder = tmp_path / "shot"
    if there:
        folder.mkdir()
    partial = write_sequence(folder / "a_%04d.png").abandon(keep=True)
    assert partial is not None
    assert "partial" in partial.name
    assert sorted(os.listdir(partial)) == ["a_1001.png", "a_1002.png", "a_1003.png"]
    assert not list(tmp_path.glob("shot/*.png"))
    # the left-over frames do not slip into the next run
    assert write_sequence(folder / "a_%04d.png", [1]).abandon(keep=False) is None
    assert not list(tmp_path.rglob("*.png"))


def test_a_still_is_one_file(tmp_path):
    writer = make_writer(tmp_path / "matte.png", single=True)
    writer.write(make_image(), 0, 0)
    assert not (tmp_path / "matte.png").exists()
    assert writer.finish() == tmp_path / "matte.png"
    assert os.listdir(tmp_path) == ["matte.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "matte.png")), make_image())
    with pytest.raises(StudioError, match="exists already"):
        make_writer(tmp_path / "matte.png", single=True)


def test_a_still_has_no_second_frame(tmp_path):
    writer = make_writer(tmp_path / "matte.png", single=True)
    writer.write(make_image(), 0, 0)
    with pytest.raises(StudioError, match="second frame"):
        writer.write(make_image(), 1, 1)
    assert writer.abandon(keep=False) is None
    assert os.listdir(tmp_path) == []


def test_a_still_named_by_a_pattern(tmp_path):
    path = tmp_path / "still_%03d.png"
    (tmp_path / "still_007.png").write_bytes(b"mine")
    writer = make_writer(path, single=True)
    writer.write(make_image(), 0, 0)
    assert writer.finish() == tmp_path / "still_000.png"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "still_000.png")), make_image())

    again = make_writer(path, single=True)
    with pytest.raises(StudioError, match=r"still_007.png exists already"):
        again.write(make_image(), 0, 7)
    again.abandon(keep=False)
    assert (tmp_path / "still_007.png").read_bytes() == b"mine"
    over = make_writer(path, single=True, overwrite=True)
    over.write(make_image(step=1), 0, 7)
    over.finish()
    assert sorted(os.listdir(tmp_path)) == ["still_000.png", "still_007.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "still_007.png")), make_image(step=1))


# --- faults


def test_formats_by_suffix():
    assert format_for(Path("A.MOV")).suffix == ".mov"
    for name in ("matte.avi", "matte", "matte.png.gz"):
        with pytest.raises(StudioError, match=re.escape(".mov (ProRes)")):
            format_for(Path(name))


def test_mp4_holds_no_alpha(tmp_path):
    with pytest.raises(StudioError, match=r"cannot hold transparency.*\.webm"):
        make_writer(tmp_path / "out.mp4")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.png"])
def test_a_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="cannot be written"):
        make_writer(tmp_path / "file" / "below" / name)
    assert os.listdir(tmp_path) == ["file"]


def test_the_output_is_a_folder(tmp_path):
    (tmp_path / "out.mov").mkdir()
    with pytest.raises(StudioError, match="is a folder"):
        make_writer(tmp_path / "out.mov", overwrite=True)


def test_frames_of_another_kind(tmp_path):
    writer = make_writer(tmp_path / "out.mov")
    for image in (make_image(size=(27, 35)), make_image("rgb"), make_image(depth=16), make_image()[..., 0]):
        with pytest.raises(StudioError, match="64x48 with 4 channels, uint8"):
            writer.write(image, 0, 0)
        writer.abandon(keep=False)
        writer = make_writer(tmp_path / "out.mov")
    writer.abandon(keep=False)


@pytest.mark.parametrize("name", ["out.mov", "out.png", "out.webp"])
def test_no_frames(tmp_path, name):
    writer = make_writer(tmp_path / name)
    with pytest.raises(StudioError, match="no frames"):
        writer.finish()
    assert writer.abandon(keep=True) is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mkv", "out/%05d.png"])
def test_no_frames_after_a_failed_write(tmp_path, name, monkeypatch):
    """A disk that has room again must not leave a hole in the output."""
    writer = make_writer(tmp_path / name)
    writer.write(make_image(), 0, 0)
    file, calls = writer._file, []

    def full(frame, number):
        calls.append(number)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file, "write", full)
        with pytest.raises(StudioError, match="the disk is full") as first:
            writer.write(make_image(step=1), 1001, 1)
    for again in (lambda: writer.write(make_image(step=2), 2002, 2), writer.finish):
        with pytest.raises(StudioError) as error:
            again()
        assert error.value is first.value
    assert calls == [1]
    assert writer.abandon(keep=False) is None


def test_a_frame_of_another_kind_ends_the_output(tmp_path):
    writer = make_writer(tmp_path / "out.mov")
    writer.write(make_image(), 0, 0)
    for image in (make_image("rgb"), make_image(step=1)):
        with pytest.raises(StudioError, match="Frame 1 for"):
            writer.write(image, 1001, 1)
    writer.abandon(keep=False)


DISK_FULL = """
import resource, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

path, keep = Path(sys.argv[1]), sys.argv[2] == "keep"
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = 150_000 if path.suffix == ".png" else 1_500_000  # a picture takes about 230 000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
content = "rgb" if path.suffix == ".mp4" else "rgba"
rate = Fraction(25)
spec = PictureSpec(height=240, width=320, frame_rate=rate, time_base=1 / rate, tags=ColorTags(1, 1, 1, 1))
writer = FrameWriter(path, spec, content=content, quality=1)
rng = np.random.RandomState(0)
try:
    for i in range(40):
        writer.write(rng.randint(0, 256, (240, 320, len(content)), dtype=np.uint8), i, i)
    writer.finish()
except StudioError as error:
    print(error)
    print(writer.abandon(keep))
else:
    print("no error")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.webm", "out.mp4", "out.png", "out.apng"])
def test_a_full_disk(tmp_path, name, keep):
    """A limit of the file's size stands for the disk: libav gets the same kind of error from write()."""
    command = [sys.executable, "-c", DISK_FULL, str(tmp_path / name), "keep" if keep else "remove"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    message, left = result.stdout.strip().splitlines()
    assert "the disk is full" in message
    assert "Traceback" not in result.stderr
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".claim"]
    assert not [file for file in files if "partial" not in str(file.relative_to(tmp_path))]
    if left == "None":
        assert not files
    else:
        assert keep
        assert len(decode(Path(left))[0]) > 0
