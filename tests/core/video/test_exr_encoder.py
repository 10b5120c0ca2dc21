"""EXR pictures out, read back by the library itself."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.exr_encoder import ExrEncoder
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

OpenEXR = pytest.importorskip("OpenEXR")

from .test_exr_picture import exr  # noqa: E402

SRGB = ColorTags(0, 2, 1, 13)


def spec(tags=SRGB, depth=16, **more) -> PictureSpec:
    rate = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    return PictureSpec(height=6, width=10, tags=tags, bit_depth=depth, **rate, **more)


def written(path: Path, image, content, tags=SRGB, number=0, **options):
    depth = 16 if image.dtype == np.uint16 else 8
    writer = FrameWriter(path, spec(tags, depth), content=content, **options)
    writer.write(image, 0, number)
    return next(file for file in writer.finish().iterdir() if file.suffix == ".exr")


def channels(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        part = file.parts[0]
        return {name: np.array(channel.pixels) for name, channel in part.channels.items()}, dict(part.header)


IMAGE = np.random.default_rng(2).integers(0, 65536, (6, 10, 4)).astype(np.uint16)


def linear(signal):
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def test_a_cut_out_is_premultiplied_light(tmp_path):
    path = written(tmp_path / "cut.exr", IMAGE, "rgba")
    assert path.relative_to(tmp_path).as_posix() == "cut/cut.1001.exr"
    found, header = channels(path)
    assert {name: pixels.dtype for name, pixels in found.items()} == dict.fromkeys("ABGR", np.float16)
    alpha = IMAGE[..., 3] / 65535
    assert found["A"] == pytest.approx(alpha, abs=3e-4)
    for place, name in enumerate("RGB"):
        assert found[name] == pytest.approx(linear(IMAGE[..., place] / 65535) * alpha, abs=5e-4)
    assert np.ravel(header["chromaticities"]) == pytest.approx([0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329])
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION


def test_eight_bits_and_colours_premultiplied_before(tmp_path):
    image = np.zeros((6, 10, 4), np.uint8)
    image[:] = 100, 50, 0, 128  # of straight 199, 100, 0
    image[0] = 0
    found, _ = channels(written(tmp_path / "cut.exr", image, "rgba", premultiplied=True))
    assert found["R"][1, 1] == pytest.approx(linear(199.2 / 255) * 128 / 255, abs=1e-3)
    assert found["B"][1, 1] == 0
    assert found["R"][0, 0] == 0


@pytest.mark.parametrize(
    ("tags", "signal", "light"),
    [
        (ColorTags(1, 1, 1, 1), 0.5, 0.25959),
        (ColorTags(1, 1, 1, 8), 0.5, 0.5),
        (ColorTags(9, 1, 9, 16), 0.5806889, 1.0),
        (ColorTags(9, 1, 9, 16), 0.75, 983.38 / 203),  # SMPTE ST 2084
        (ColorTags(9, 1, 9, 18), 0.75, 1.0),
    ],
)
def test_the_source_s_curve_is_removed(tmp_path, tags, signal, light):
    image = np.full((6, 10, 3), round(65535 * signal), np.uint16)
    found, header = channels(written(tmp_path / "a.exr", image, "rgb", tags))
    assert sorted(found) == ["B", "G", "R"]
    assert found["G"][3, 3] == pytest.approx(light, rel=2e-3)
    red = (0.708, 0.292) if tags.primaries == 9 else (0.64, 0.33)
    assert np.ravel(header["chromaticities"])[:2] == pytest.approx(red)


def test_a_matte_is_no_light(tmp_path):
    found, _ = channels(written(tmp_path / "matte.exr", IMAGE[..., :1], "gray", ColorTags(1, 1, 1, 1)))
    for name in "RGBA":
        assert found[name] == pytest.approx(IMAGE[..., 0] / 65535, abs=3e-4)


def test_numbers_of_the_source(tmp_path):
    for number in (8, 9):
        exr(tmp_path / f"in.{number:04}.exr", {"RGB": np.full((6, 10, 3), 0.5, np.float16)})
    with open_reader(tmp_path) as reader:
        writer = FrameWriter(tmp_path / "out.exr", reader.info, content="rgb")
        for frame in reader:
            writer.write(frame.image, frame.pts, frame.number)
    assert sorted(path.name for path in writer.finish().glob("*.exr")) == ["out.0008.exr", "out.0009.exr"]


def test_light_beyond_a_display_comes_back(tmp_path):
    light = np.full((6, 10, 3), 0.25, np.float16)
    light[1, :5] = 6
    light[2, :5] = -0.125
    exr(tmp_path / "in.0003.exr", {"RGB": light})
    alpha = np.full((6, 10, 1), 65535, np.uint16)
    alpha[:, 3:] = 32768
    with open_reader(tmp_path) as reader:
        writer = FrameWriter(tmp_path / "out.exr", reader.info, content="rgba")
        for frame in reader:
            writer.write(np.dstack([frame.image, alpha]), frame.pts, frame.number)
    found, _ = channels(writer.finish() / "out.0003.exr")
    assert found["R"][:, :3] == pytest.approx(light[:, :3, 0].astype(float), abs=1e-3)
    assert found["R"][:, 3:] == pytest.approx(light[:, 3:, 0].astype(float) / 2, abs=1e-3)


def test_a_single_picture(tmp_path):
    exr(tmp_path / "in.exr", {"RGB": np.full((6, 10, 3), 3, np.float16)})
    with open_reader(tmp_path / "in.exr") as reader:
        writer = FrameWriter(tmp_path / "out.exr", reader.info, content="rgba", single=True)
        (frame,) = reader
        writer.write(np.dstack([frame.image, np.full((6, 10), 65535, np.uint16)]), frame.pts, frame.number)
    assert channels(writer.finish())[0]["G"][2, 2] == 3


def test_a_transfer_without_a_curve():
    with pytest.raises(StudioError, match=r"transfer 17"):
        ExrEncoder(spec(ColorTags(1, 1, 1, 17)), "rgb48le", False)


def test_libav_reads_it_too(tmp_path):
    path = written(tmp_path / "a.exr", IMAGE[..., :3], "rgb")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.format.name[:5], frame.width, frame.height) == ("gbrpf", 10, 6)
    kind = np.float16 if "16" in frame.format.name else np.float32
    plane = np.frombuffer(frame.planes[0], kind).reshape(6, -1)[:, :10]
    assert plane.astype(float) == pytest.approx(linear(IMAGE[..., 1] / 65535), abs=5e-4)


def test_pixel_shape(tmp_path):
    writer = FrameWriter(tmp_path / "a.exr", spec(sample_aspect_ratio=Fraction(4, 3)), content="rgb")
    writer.write(IMAGE[..., :3].copy(), 0, 0)
    assert channels(writer.finish() / "a.1001.exr")[1]["pixelAspectRatio"] == pytest.approx(4 / 3)
    assert writer.notes == []
