"""The contact sheet: rows spread over a clip of unknown length, right pictures in the right places."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.contact_sheet import ROWS, ContactSheet


def frame(value: float):
    return torch.full((3, 36, 64), value), torch.full((3, 36, 64), 1 - value), torch.full((1, 36, 64), 1.0)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 40, 333])
def test_rows_are_spread_over_the_clip(count, tmp_path):
    sheet = ContactSheet(thumbnail_width=64)
    for index in range(count):
        if sheet.wants(index):
            sheet.add(index, index / 25, *frame(index / count))
    rows = [row[0] for row in sheet._rows]
    assert rows[0] == 0
    assert len(rows) <= 2 * ROWS
    assert rows[-1] >= 0.6 * (count - 1)
    image = Image.open(sheet.save(tmp_path / "new" / "sheet.png"))
    assert not list(tmp_path.rglob("*.partial*"))
    assert image.size[0] > 3 * 64


def test_columns_are_source_alpha_and_composite_over_green(tmp_path):
    sheet = ContactSheet(thumbnail_width=64)
    src, fgr, pha = frame(0.2)
    pha[..., 32:] = 0
    sheet.add(0, 0.0, src, fgr, pha)
    image = Image.open(sheet.save(tmp_path / "sheet.png")).convert("RGB")
    left = [image.size[0] - (3 - column) * 72 + 10 for column in range(3)]
    y = image.size[1] - 20
    assert image.getpixel((left[0], y)) == (51, 51, 51)
    assert image.getpixel((left[1], y)) == (255, 255, 255)
    assert image.getpixel((left[2], y)) == (204, 204, 204)
    assert image.getpixel((left[1] + 40, y)) == (0, 0, 0)
    assert image.getpixel((left[2] + 40, y)) == (0, 177, 64)


def test_columns_and_rows_have_their_names(tmp_path):
    """As Pillow draws the words by themselves: the same pixels, each above or beside what it belongs to."""
    sheet = ContactSheet(thumbnail_width=64)
    sheet.add(0, 0.0, *frame(0.2))
    sheet.add(75, 3.0, *frame(0.2))
    image = np.array(Image.open(sheet.save(tmp_path / "sheet.png")).convert("RGB"))
    font = ImageFont.load_default(size=14)

    def drawn(text: str) -> np.ndarray:
        alone = Image.new("RGB", (90, 36), tuple(image[0, 0]))
        ImageDraw.Draw(alone).text((0, 0), text, (228, 228, 231), font)
        return np.array(alone)

    left = [image.shape[1] - (3 - column) * 72 for column in range(3)]
    top = [image.shape[0] - (2 - row) * 44 for row in range(2)]
    for x, title in zip(left, ("source", "alpha", "composite"), strict=True):
        assert np.array_equal(image[6 : top[0], x : x + 70], drawn(title)[: top[0] - 6, :70])
    for y, caption in zip(top, ("frame 0\n0.00 s", "frame 75\n3.00 s"), strict=True):
        assert np.array_equal(image[y : y + 36, 8 : left[0]], drawn(caption)[:, : left[0] - 8])


def test_what_cannot_be_written_says_so(tmp_path):
    sheet = ContactSheet()
    with pytest.raises(StudioError, match="no frame"):
        sheet.save(tmp_path / "sheet.png")
    sheet.add(0, 0.0, *frame(0.5))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudioError, match="cannot be written"):
        sheet.save(tmp_path / "file" / "sheet.png")
    with pytest.raises(StudioError, match="cannot be written"):
        sheet.save(tmp_path / "sheet.docx")
