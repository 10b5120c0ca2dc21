"""PNG's chunks before the pixels."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.video.png_header import PngHeader, read_png_header

from .test_still_picture import DEEP, RGB, chromaticities, png


def test_a_plain_picture(tmp_path):
    png(tmp_path / "a.png", RGB, 2)
    assert read_png_header(tmp_path / "a.png") == PngHeader()


def test_depth(tmp_path):
    png(tmp_path / "a.png", DEEP, 2)
    assert read_png_header(tmp_path / "a.png") == PngHeader(deep_color=True)
    png(tmp_path / "g.png", DEEP[..., :1], 0)  # grey of 16 bits is nothing that Pillow cuts
    assert read_png_header(tmp_path / "g.png") == PngHeader()


def test_colors(tmp_path):
    space = chromaticities(0.31, 0.33, 0.64, 0.34, 0.3, 0.6, 0.15, 0.06)
    chunks = {"cICP": bytes([9, 16, 0, 1]), "sRGB": b"\0", "iCCP": b"x\0\0", "gAMA": struct.pack(">I", 45455)}
    png(tmp_path / "a.png", RGB, 2, cHRM=space, **chunks)
    assert read_png_header(tmp_path / "a.png") == PngHeader(
        cicp=(9, 16),
        is_srgb=True,
        has_profile=True,
        gamma=0.45455,
        chromaticities=((0.64, 0.34), (0.3, 0.6), (0.15, 0.06), (0.31, 0.33)),
    )


def test_no_png(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    assert read_png_header(tmp_path / "a.png") is None
    (tmp_path / "b.png").touch()
    assert read_png_header(tmp_path / "b.png") is None


@pytest.mark.parametrize("length", [20, 35, 60])
def test_cut_off(tmp_path, length):
    png(tmp_path / "a.png", RGB, 2, gAMA=struct.pack(">I", 45455))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:length])
    found = read_png_header(tmp_path / "a.png")
    assert found is None or found.chromaticities is None


def test_animation(tmp_path):
    frames = [Image.fromarray(np.roll(RGB, step, 1)) for step in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=[40, 80, 20])
    found = read_png_header(tmp_path / "a.png")
    assert found is not None
    assert found.delays == [Fraction(1, 25), Fraction(2, 25), Fraction(1, 50)]
    assert not found.default_image
    frames[0].save(tmp_path / "b.png", save_all=True, append_images=frames[1:], default_image=True, duration=40)
    found = read_png_header(tmp_path / "b.png")
    assert found is not None
    assert (len(found.delays), found.default_image) == (2, True)
    frames[0].save(tmp_path / "c.png")
    assert (read_png_header(tmp_path / "c.png") or PngHeader()).delays == []
