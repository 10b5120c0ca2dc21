"""EXR pictures in, against numbers written by hand."""

import builtins

import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.picture_library import UnreadablePictureError
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.still_picture import DROPPED_ALPHA, SRGB, read_picture

OpenEXR = pytest.importorskip("OpenEXR")

from rvm_studio.core.video.exr_picture import read_light, shown  # noqa: E402

RGB = np.random.default_rng(3).uniform(0, 1, (6, 10, 3)).astype(np.float16)


def exr(path, channels, **header):
    kinds = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File({**kinds, **header}, channels) as file:
        file.write(str(path))
    return path


def srgb(light):
    light = np.clip(light.astype(np.float64), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_light_is_shown_as_srgb(tmp_path):
    found = read_picture(exr(tmp_path / "a.exr", {"RGB": RGB}))
    assert np.abs(found.image - 65535 * srgb(RGB)).max() <= 1
    assert (found.bit_depth, found.tags, found.notes, found.aspect) == (16, SRGB, [], 1)


def test_light_beyond_a_display(tmp_path):
    rgb = RGB.copy()
    rgb[0, 0], rgb[0, 1], rgb[0, 2] = 8, -0.5, np.inf
    path = exr(tmp_path / "a.exr", {"RGB": rgb})
    light = read_light(path).rgb
    assert (light[0, 0, 0], light[0, 1, 0], light[0, 2, 0]) == (8, -0.5, 65504)
    found = read_picture(path)
    assert found.image[0, :3, 0].tolist() == [65535, 0, 65535]
    assert found.notes == ["light above 1 or below 0 is cut off, except in the colours of an .exr cut-out"]


def test_alpha_float_and_layers(tmp_path):
    alpha = np.linspace(0, 1, 60).reshape(6, 10).astype(np.float32)
    floats = {name: RGB[..., place].astype(np.float32) for place, name in enumerate("RGB")}
    light = read_light(exr(tmp_path / "a.exr", {**floats, "A": alpha, "Z": alpha}))
    assert np.array_equal(light.rgb, RGB.astype(np.float32))
    assert np.array_equal(light.alpha, alpha)
    assert read_picture(tmp_path / "a.exr").notes == [DROPPED_ALPHA]
    path = exr(tmp_path / "b.exr", {f"beauty.{name}": pixels for name, pixels in floats.items()})
    assert np.array_equal(read_light(path).rgb, RGB.astype(np.float32))
    grey = read_light(exr(tmp_path / "y.exr", {"Y": floats["G"]}))
    assert np.array_equal(grey.rgb, np.repeat(floats["G"][..., None], 3, 2))
    with pytest.raises(StudioError, match="no channels R, G and B"):
        read_light(exr(tmp_path / "z.exr", {"Z": alpha}))


def test_the_display_window(tmp_path):
    windows = {
        "dataWindow": (np.array([2, 1], np.int32), np.array([11, 6], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([9, 7], np.int32)),
    }
    light = read_light(exr(tmp_path / "a.exr", {"RGB": RGB}, **windows))
    assert light.rgb.shape == (8, 10, 3)
    assert np.array_equal(light.rgb[1:7, 2:], RGB[:, :8].astype(np.float32))
    assert not light.rgb[0].any()
    assert not light.rgb[:, :2].any()


def test_other_primaries(tmp_path):
    aces = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)  # AP1
    light = read_light(exr(tmp_path / "a.exr", {"RGB": np.full((2, 2, 3), 0.5, np.float16)}, chromaticities=aces))
    assert light.rgb == pytest.approx(0.5, abs=2e-3)  # grey stays grey
    assert light.notes == ["colours converted from the EXR's own primaries to BT.709"]
    red = read_light(exr(tmp_path / "b.exr", {"RGB": np.float16([[[1, 0, 0]]])}, chromaticities=aces)).rgb[0, 0]
    assert red == pytest.approx([1.7051, -0.1303, -0.0240], abs=3e-3)  # published matrix of ACEScg to BT.709


def test_a_sequence(tmp_path):
    for number in (7, 8, 9):
        exr(tmp_path / f"shot.{number:04}.exr", {"RGB": RGB * number / 10})
    with open_reader(tmp_path) as reader:
        frames = list(reader)
    assert (reader.info.kind, reader.info.bit_depth) == ("sequence", 16)
    assert [frame.number for frame in frames] == [7, 8, 9]
    assert np.abs(frames[1].image - 65535 * srgb(RGB * np.float16(0.8))).max() < 70  # rounded to half


def test_what_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.exr").write_bytes(b"no picture")
    with pytest.raises(UnreadablePictureError):
        read_picture(tmp_path / "a.exr")
    data = exr(tmp_path / "b.exr", {"RGB": np.random.default_rng(0).random((64, 64, 3), np.float32)}).read_bytes()
    (tmp_path / "c.exr").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadablePictureError):
        read_picture(tmp_path / "c.exr")
    real = builtins.__import__

    def fake(name, *more):
        if name == "OpenEXR":
            raise ImportError
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(StudioError, match=r"the package OpenEXR is needed"):
        read_picture(tmp_path / "b.exr")


def test_shown_in_strips():
    light = np.linspace(-1, 2, 600 * 3).reshape(600, 1, 3)
    assert np.abs(shown(light) - 65535 * srgb(light)).max() <= 1
