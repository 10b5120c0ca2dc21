"""Draws a contact sheet: source, alpha and composite of a few frames of a clip, side by side."""

# C channels, H, W

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import StudioError
from ..machine.whole_file import whole_file
from .alpha_ops import composite
from .pixel_format import pictures_from_frames, quantise

ROWS = 6
GREEN = (0, 177, 64)
"""The default green background: red, green and blue, 0..255."""

_PAPER, _INK = (24, 24, 27), (228, 228, 231)
_GAP, _HEADER, _SIDE = 8, 28, 92


class ContactSheet:
    """Collects up to ROWS frames, evenly spread over a clip of unknown length, and draws them.

    It keeps thumbnails of every frame at first; when it has twice too many, of every 2nd, then of every 4th, and so on.
    """

    def __init__(self, thumbnail_width: int = 360):
        self.thumbnail_width = thumbnail_width
        self._every = 1
        self._rows: list[tuple[int, float, list[Image.Image]]] = []

    def wants(self, index: int) -> bool:
        """Whether the frame with this index (0, 1, 2 ...) may become a row. Call this before preparing its pictures."""
        return index % self._every == 0

    def add(self, index: int, seconds: float, src: Tensor, fgr: Tensor, pha: Tensor) -> None:
        """Adds a frame: src, fgr [3, H, W] and pha [1, H, W], float 0..1, at the time `seconds`."""
        H, W = src.shape[-2:]  # noqa: N806
        size = (max(1, round(H * self.thumbnail_width / W)), self.thumbnail_width)
        src, fgr, pha = (
            F.interpolate(x[None].float().cpu(), size, mode="bilinear", antialias=True).clamp_(0, 1)
            for x in (src, fgr, pha)
        )
        green = src.new_tensor(GREEN).view(1, 3, 1, 1) / 255
        row = [src, pha.expand(-1, 3, -1, -1), composite(fgr, pha, green)]
        pictures = [Image.fromarray(pictures_from_frames(quantise(x, torch.uint8))[0]) for x in row]
        self._rows.append((index, seconds, pictures))
        if len(self._rows) == 2 * ROWS:
            self._every *= 2
            self._rows = self._rows[::2]

    def save(self, path: Path, *, overwrite: bool = True) -> Path:
        """Draws the sheet to a .png or .jpg file (temporary name, then renamed); overwrite: in place of an existing
        one. Raises StudioError if there are no frames, or if the file cannot be written."""
        if not self._rows:
            raise StudioError(f"There are no frames for the contact sheet {path}.")
        rows = self._rows
        if len(rows) > ROWS:
            rows = [rows[round(i * (len(rows) - 1) / (ROWS - 1))] for i in range(ROWS)]
        width, height = rows[0][2][0].size
        sheet = Image.new("RGB", (_SIDE + 3 * (width + _GAP), _HEADER + len(rows) * (height + _GAP)), _PAPER)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
        for column, title in enumerate(("source", "alpha", "composite")):
            draw.text((_SIDE + column * (width + _GAP), 6), title, _INK, font)
        for line, (index, seconds, pictures) in enumerate(rows):
            top = _HEADER + line * (height + _GAP)
            draw.text((_GAP, top), f"frame {index}\n{seconds:.2f} s", _INK, font)
            for column, picture in enumerate(pictures):
                sheet.paste(picture, (_SIDE + column * (width + _GAP), top))
        try:
            with whole_file(path, replace=overwrite) as partial:
                sheet.save(partial)
        except (OSError, ValueError) as error:  # ValueError: Pillow does not support the suffix
            raise StudioError(
                f"The contact sheet cannot be written to {path}: {error}. Use a writable .png path."
            ) from error
        return path
