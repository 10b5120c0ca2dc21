"""Tools for painting backgrounds: antialiased Pillow shapes, gradients, noise, and the colours of objects."""

# H, W size of the plate; C channels

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from ....core import frames_from_pictures, to_float
from .noise import look_up, tile_tensors
from .palette import SKINS, draw_color, draw_hair_color
from .randomness import Dice

_SMALLEST = 480  # minimum height of a painting, in pixels


def painted(height: int, width: int, paint, device: torch.device) -> Tensor:
    """The drawing of `paint(draw, height, width)`, antialiased: [3, H, W]."""
    big = max(1.4, _SMALLEST / height)  # Pillow's shapes are not antialiased, and very small ones vanish
    h, w = round(height * big), round(width * big)
    image = Image.new("RGB", (w, h))
    paint(ImageDraw.Draw(image), h, w)
    picture = to_float(frames_from_pictures([np.array(image)]), device)
    return F.interpolate(picture, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def rgb(color: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (round(float(c) * 255) for c in np.clip(color, 0, 1))
    return red, green, blue


def gradient(
    height: int, width: int, top: np.ndarray, bottom: np.ndarray, angle: float, device: torch.device
) -> Tensor:
    y = torch.linspace(-0.5, 0.5, height, device=device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=device)
    t = (y * math.cos(angle) + x * math.sin(angle) + 0.5).clamp(0, 1)
    a, b = (torch.as_tensor(c, dtype=torch.float32, device=device).view(3, 1, 1) for c in (top, bottom))
    return torch.lerp(a, b, t)


def noise(
    dice: Dice, name: str, height: int, width: int, tiles_across: float, device: torch.device, stretch: float = 1.0
) -> Tensor:
    """[H, W]: a tile, repeated `tiles_across` times over the height."""
    group = tile_tensors(device)[name]
    tile = group[dice.whole(0, len(group) - 1)][None]
    y = torch.linspace(0, tiles_across, height, device=device)[:, None].expand(height, width) + dice.between(0, 1)
    x = torch.linspace(0, tiles_across * stretch * width / height, width, device=device).expand(
        height, width
    ) + dice.between(0, 1)
    return look_up(tile, x[None], y[None])[0, 0]


def stuff_color(dice: Dice) -> np.ndarray:
    """A colour for an object; skin, wood and hair colours are among them."""
    pick = dice.whole(0, 9)
    if pick == 0:
        return SKINS[dice.whole(0, len(SKINS) - 1)] * dice.ratio(0.8, 1.1)
    if pick == 1:
        return draw_hair_color(dice)
    if pick == 2:
        return np.array([0.55, 0.38, 0.22]) * dice.ratio(0.5, 1.5)
    return draw_color(dice, 0.35)
