"""Places without persons, but with things that may be mistaken for one: rooms, streets, hills, cloth, small objects."""

# H, W size of the plate, which is larger than the picture; C channels

import math

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor

from ....core import gaussian_blur
from .brushes import gradient, noise, painted, rgb, stuff_color
from .interiors import room
from .outdoors import nature, street
from .palette import draw_color
from .randomness import Dice
from .things import hangings, with_things

KINDS = {"studio": 2.0, "room": 4.0, "street": 2.0, "nature": 2.5, "cloth": 1.2, "shapes": 1.8, "lights": 0.8}


def draw_plate(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """A random background [3, H, W], 0..1."""
    kind = dice.one_of(tuple(KINDS), tuple(KINDS.values()))
    draw = {
        "studio": _studio,
        "room": room,
        "street": street,
        "nature": nature,
        "cloth": hangings,
        "shapes": _shapes,
        "lights": _lights,
    }[kind]
    plate = draw(dice, height, width, device)
    if kind != "studio" or dice.happens(0.3):
        plate = with_things(dice, plate, device, dice.whole(0, 9 if kind == "room" else 6))
    plate = _lit(dice, plate, device)
    if dice.happens(0.45):
        plate = gaussian_blur(plate[None], dice.ratio(0.002, 0.03) * max(height, width))[0]
    return plate.clamp_(0, 1)


def _studio(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    base = draw_color(dice, 0.7)
    plate = gradient(height, width, base * dice.ratio(0.7, 1.4), base, dice.between(-0.6, 0.6), device)
    cloud = noise(dice, "cloud", height, width, dice.between(0.4, 1.2), device)
    return (plate * (1 + dice.between(0.02, 0.22) * cloud)).clamp(0, 1)


def _shapes(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Flags, posters, graphics."""

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=rgb(draw_color(dice, 0.4)))
        if dice.happens(0.4):
            count, tilt = dice.whole(3, 14), dice.between(-0.6, 0.6) * w
            colors = [rgb(draw_color(dice, 0.2)) for _ in range(dice.whole(2, 3))]
            for k in range(-count, 2 * count):
                x = w * k / count
                step = w / count
                draw.polygon([(x, 0), (x + step, 0), (x + step + tilt, h), (x + tilt, h)], fill=colors[k % len(colors)])
        for _ in range(dice.whole(3, 25)):
            cx, cy, r = dice.between(0, 1) * w, dice.between(0, 1) * h, dice.ratio(0.02, 0.35) * h
            color = rgb(stuff_color(dice))
            kind = dice.whole(0, 3)
            if kind == 0:
                draw.ellipse((cx - r, cy - r * dice.between(0.5, 1.5), cx + r, cy + r), fill=color)
            elif kind == 1:
                draw.regular_polygon((cx, cy, r), dice.whole(3, 7), dice.between(0, 360), fill=color)
            elif kind == 2:
                draw.line(
                    (cx, cy, dice.between(0, 1) * w, dice.between(0, 1) * h), fill=color, width=max(1, round(r * 0.25))
                )
            else:
                points = [(cx + r * dice.between(-1, 1), cy + r * dice.between(-1, 1)) for _ in range(5)]
                draw.polygon(points, fill=color)

    plate = painted(height, width, paint, device)
    wave = noise(dice, "fold", height, width, dice.between(0.5, 1.5), device)
    return plate * (1 + dice.between(0, 0.2) * wave)


def _lights(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Night, stage, lamps that are out of focus."""

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=rgb(draw_color(dice, 0.5) * 0.25))
        for _ in range(dice.whole(10, 60)):
            r = dice.ratio(0.004, 0.06) * h
            cx, cy = dice.between(0, 1) * w, dice.between(0, 1) * h
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=rgb(draw_color(dice, 0.2) * dice.between(0.4, 1.2)))

    plate = painted(height, width, paint, device)
    return gaussian_blur(plate[None], dice.ratio(0.001, 0.01) * height)[0]


def _lit(dice: Dice, plate: Tensor, device: torch.device) -> Tensor:
    """Adds the light of a lamp or window over the whole place, a cast shadow and a vignette."""
    height, width = plate.shape[1:]
    level = dice.ratio(0.75, 1.4)
    angle = dice.between(-math.pi, math.pi)
    ramp = gradient(height, width, np.full(3, level), np.full(3, level * dice.ratio(0.5, 1.0)), angle, device)
    tint = torch.as_tensor(1 + dice.around(0, 0.06) * np.array([1, 0, -1.0]), dtype=torch.float32, device=device).view(
        3, 1, 1
    )
    if dice.happens(0.2):
        wave = noise(dice, "cloud", height, width, dice.between(0.3, 0.8), device)
        ramp = ramp * (1 - dice.between(0.1, 0.4) * ((wave - 0.2) * 6).clamp(0, 1))
    return plate * ramp * tint
