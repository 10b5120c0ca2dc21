"""The contact sheet of a validation: source, true alpha, predicted alpha and composite, one row per clip."""

# C channels, h, w

from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from ..core import GREEN, StudioError, atomic_file, composite, pictures_from_frames, quantise

TITLES = ("source", "true alpha", "predicted alpha", "composite")
SIDE = 224  # pixels of a picture's longer side
_PAPER, _INK = (24, 24, 27), (228, 228, 231)
_GAP, _HEADER, _MARGIN = 8, 28, 92


class SheetRow(NamedTuple):
    """A frame of a clip as small pictures on the CPU."""

    title: str
    pictures: tuple[Tensor, ...]  # in the order of TITLES, [3, h, w] uint8

    @classmethod
    def of(cls, title: str, src: Tensor, true_pha: Tensor, pred_pha: Tensor, pred_fgr: Tensor) -> "SheetRow":
        """src, pred_fgr [3, H, W] and alphas [1, H, W], float 0..1."""
        H, W = src.shape[-2:]  # noqa: N806
        scale = SIDE / max(H, W)
        size = max(1, round(H * scale)), max(1, round(W * scale))
        src, true_pha, pred_pha, pred_fgr = (
            F.interpolate(x[None].cpu(), size, mode="bilinear", antialias=True).clamp_(0, 1)
            for x in (src, true_pha, pred_pha, pred_fgr)
        )
        green = src.new_tensor(GREEN).view(1, 3, 1, 1) / 255
        alphas = (x.expand(-1, 3, -1, -1) for x in (true_pha, pred_pha))
        row = (src, *alphas, composite(pred_fgr, pred_pha, green))
        return cls(title, tuple(quantise(x[0], torch.uint8) for x in row))


def draw_rows(rows: list[SheetRow], path: Path) -> Path:
    """Draws rows of any size to a .png or .jpg file. Raises StudioError if it cannot be written."""
    assert rows, "nothing to draw"
    height = _HEADER + sum(row.pictures[0].shape[1] + _GAP for row in rows)
    sheet = Image.new("RGB", (_MARGIN + len(TITLES) * (SIDE + _GAP), height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for column, title in enumerate(TITLES):
        draw.text((_MARGIN + column * (SIDE + _GAP), 6), title, _INK, font)
    top = _HEADER
    for row in rows:
        draw.text((_GAP, top), row.title, _INK, font)
        for column, picture in enumerate(row.pictures):
            image = Image.fromarray(pictures_from_frames(picture[None])[0])
            sheet.paste(image, (_MARGIN + column * (SIDE + _GAP), top))
        top += row.pictures[0].shape[1] + _GAP
    try:
        with atomic_file(path) as partial:
            sheet.save(partial)
    except (OSError, ValueError) as error:
        raise StudioError(f"The sheet cannot be written to {path}: {error}. Use a writable .png path.") from error
    return path
