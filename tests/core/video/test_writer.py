"""Every format there and back, against the pixels that went in; faults."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.output_formats import FORMATS, format_for

from .written_clips import LOSSY, check_pixels, decode, make_image, make_writer, read_back, write_clip

SIZES = [(48, 64), (27, 35)]
CHANNELS = {"rgba": 4, "rgb": 3, "gray": 1}


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
    """Every 8-bit step is kept; of 16 bits, 10 are kept."""
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
    """A limit on the file's size simulates the full disk: libav gets the same kind of error from write()."""
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
