"""The contact sheet: rows spread over a clip of unknown length, right pictures in the right places."""

import pytest
import torch
from PIL import Image
from rvm_studio.core.contact_sheet import ROWS, ContactSheet
from rvm_studio.core.errors import StudioError


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
