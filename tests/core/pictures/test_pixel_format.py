"""Conversions between pictures and frames, against exact arithmetic."""

import numpy as np
import pytest
import torch
from rvm_studio.core.pictures.pixel_format import (
    frames_from_pictures,
    pictures_from_frames,
    quantise,
    rgba_pictures,
    to_float,
)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_integer_survives_the_way_to_float_and_back(dtype, scale):
    codes = np.arange(scale + 1, dtype=dtype).reshape(1, -1, 1).repeat(3, 2)
    frames = frames_from_pictures([codes])
    values = to_float(frames)
    assert values.dtype == torch.float32
    assert values.is_contiguous()
    assert torch.equal(values, torch.from_numpy((codes / np.float32(scale)).astype(np.float32)).permute(2, 0, 1)[None])
    back = quantise(values, torch.uint8 if dtype == np.uint8 else torch.uint16)
    assert np.array_equal(pictures_from_frames(back)[0], codes)


def test_quantise_rounds_and_clamps():
    x = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 254.4 / 255, 254.6 / 255, 1.0, 2.0])
    assert quantise(x, torch.uint8).tolist() == [0, 0, 0, 1, 254, 255, 255, 255]
    assert quantise(x, torch.uint16)[-1].item() == 65535
    assert quantise(x.half(), torch.float32).dtype == torch.float32


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_quantise_of_half_precision(half):
    x = torch.tensor([0.0, 0.25, 0.7, 1.0]).to(half)
    for dtype, scale in ((torch.uint8, 255), (torch.uint16, 65535)):
        assert quantise(x, dtype).tolist() == [round(scale * value) for value in x.float().tolist()]


def test_half_precision_keeps_sixteen_bit_white():
    white = np.full((2, 2, 3), 65535, np.uint16)
    assert to_float(frames_from_pictures([white]), dtype=torch.float16).unique().tolist() == [1.0]


@pytest.mark.parametrize(("order", "red_at"), [("rgb", 0), ("bgra", 2), ("rgba", 0), ("bgr", 2)])
def test_channel_orders(order, red_at):
    picture = np.zeros((3, 5, len(order)), np.uint8)
    picture[..., red_at] = 200
    frames = frames_from_pictures([picture, picture], order)
    assert frames.shape == (2, 3, 3, 5)
    assert frames[:, 0].unique().tolist() == [200]
    assert frames[:, 1:].unique().tolist() == [0]


def test_one_picture_is_not_copied():
    picture = np.zeros((4, 4, 3), np.uint8)
    frames = frames_from_pictures([picture])
    picture[1, 2, 0] = 9
    assert frames[0, 0, 1, 2] == 9


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_rgba_pictures(dtype):
    fgr = quantise(torch.rand(2, 3, 3, 5), dtype)
    pha = quantise(torch.rand(2, 1, 3, 5), dtype)
    rgba = rgba_pictures(fgr, pha)
    assert rgba.shape == (2, 3, 5, 4)
    assert rgba.flags.c_contiguous
    assert np.array_equal(rgba[..., :3], pictures_from_frames(fgr))
    assert np.array_equal(rgba[..., 3:], pictures_from_frames(pha))


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([np.zeros((2, 2, 4), np.uint8)], r"\[T, H, W, 3\]"),
        ([np.zeros((2, 2, 3), np.int32)], "uint8, uint16 or float"),
        ([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)], "differ in size"),
    ],
)
def test_wrong_pictures(pictures, message):
    with pytest.raises(ValueError, match=message):
        frames_from_pictures(pictures)
