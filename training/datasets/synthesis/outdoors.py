"""Streets with houses, and landscapes with sky, hills and trees."""

# H, W size of the plate; h, w size of the picture that is painted

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor

from .brushes import gradient, noise, painted, rgb
from .palette import draw_color
from .randomness import Dice


def street(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    horizon = dice.between(0.55, 0.85)
    sky = np.array([0.55, 0.72, 0.95]) * dice.ratio(0.4, 1.2)

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=rgb(sky))
        x = -0.1 * w
        while x < w:
            wide, tall = dice.ratio(0.08, 0.4) * w, dice.ratio(0.3, 1.2) * h
            color = draw_color(dice, 0.5) * 0.7 + 0.15
            top = horizon * h - tall
            draw.rectangle((x, top, x + wide, horizon * h), fill=rgb(color))
            columns, floor = dice.whole(2, 7), dice.ratio(0.04, 0.12) * h
            glass = rgb(np.array([0.25, 0.32, 0.4]) * dice.ratio(0.4, 2.2))
            for row in range(int(tall / floor)):
                for column in range(columns):
                    left = x + wide * (column + 0.2) / columns
                    shade = glass if dice.rng.random() < 0.8 else (240, 220, 160)
                    draw.rectangle(
                        (left, top + floor * (row + 0.25), left + wide * 0.6 / columns, top + floor * (row + 0.8)),
                        fill=shade,
                    )
            x += wide * dice.between(0.8, 1.2)
        draw.rectangle((0, horizon * h, w, h), fill=rgb(np.array([0.4, 0.4, 0.41]) * dice.ratio(0.5, 1.6)))
        for _ in range(dice.whole(0, 5)):  # poles and signs
            x, top, wide = dice.between(0, 1) * w, dice.between(0, 0.5) * h, dice.ratio(0.006, 0.03) * w
            color = rgb(draw_color(dice, 0.7))
            draw.rectangle((x, top, x + wide, h * dice.between(0.7, 1)), fill=color)
            r = dice.ratio(0.02, 0.1) * h
            shape = draw.ellipse if dice.happens(0.5) else draw.rectangle
            shape((x - r, top - r, x + r + wide, top + r), fill=rgb(draw_color(dice, 0.1)))
        for _ in range(dice.whole(0, 4)):  # cars, roughly
            x, wide = dice.between(-0.2, 1) * w, dice.ratio(0.15, 0.5) * w
            y, color = (horizon + dice.between(0, 0.12)) * h, rgb(draw_color(dice, 0.5))
            draw.rounded_rectangle((x, y - wide * 0.22, x + wide, y), wide * 0.06, fill=color)
            draw.rounded_rectangle(
                (x + wide * 0.2, y - wide * 0.38, x + wide * 0.8, y - wide * 0.15), wide * 0.08, fill=color
            )
            draw.rounded_rectangle(
                (x + wide * 0.25, y - wide * 0.34, x + wide * 0.75, y - wide * 0.2), wide * 0.05, fill=(60, 70, 80)
            )
            for wheel in (0.22, 0.78):
                cx, r = x + wide * wheel, wide * 0.09
                draw.ellipse((cx - r, y - r, cx + r, y + r), fill=(25, 25, 25))

    plate = painted(height, width, paint, device)
    cloud = noise(dice, "cloud", height, width, dice.between(0.6, 2), device)
    grain = noise(dice, "grain", height, width, dice.between(1, 4), device)
    return plate * (1 + dice.between(0.02, 0.12) * cloud + dice.between(0, 0.06) * grain)


def nature(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    sky = gradient(
        height,
        width,
        np.array([0.35, 0.55, 0.9]) * dice.ratio(0.6, 1.2),
        np.array([0.85, 0.85, 0.85]) * dice.ratio(0.6, 1.1),
        0.0,
        device,
    )
    cloud = noise(dice, "cloud", height, width, dice.between(0.5, 1.2), device, 0.5)
    plate = torch.lerp(sky, torch.ones_like(sky) * 0.95, (cloud * 0.6).clamp(0, 1) * dice.between(0, 1))
    y = torch.linspace(0, 1, height, device=device)[:, None]
    level = dice.between(0.2, 0.6)
    for layer in range(dice.whole(2, 5)):
        ridge = noise(dice, "cloud", height, width, dice.ratio(0.2, 1.5), device)[0] * dice.between(0.02, 0.12) + level
        leafy = noise(dice, dice.one_of(("grain", "cloud", "streak")), height, width, dice.ratio(0.7, 4), device)
        leafy = leafy + 0.7 * noise(dice, "cloud", height, width, dice.ratio(1, 4), device)
        color = np.array(
            dice.one_of(
                (
                    (0.25, 0.42, 0.16),
                    (0.40, 0.45, 0.2),
                    (0.45, 0.36, 0.25),
                    (0.55, 0.55, 0.5),
                    (0.2, 0.3, 0.35),
                    (0.62, 0.52, 0.36),
                )
            )
        ) * dice.ratio(0.5, 1.4)
        mask = ((y - ridge + 0.012 * leafy) * height / 3).clamp(0, 1)
        body = torch.as_tensor(color, dtype=torch.float32, device=device).view(3, 1, 1) * (1 + 0.35 * leafy).clamp(
            0.2, 2
        )
        plate = torch.lerp(plate, body, mask)
        level += dice.between(0.06, 0.25)
        if layer == 0 and dice.happens(0.3):
            break
    for _ in range(dice.whole(0, 3)):  # trees
        x = dice.between(0, 1)
        across = torch.linspace(0, width / height, width, device=device)[None] - x * width / height
        wide, top = dice.ratio(0.015, 0.06), dice.between(0.1, 0.5)
        bark = noise(dice, "streak", height, width, dice.between(0.5, 2), device)
        trunk = ((wide - (across + 0.01 * torch.sin(6 * y)).abs()) * height / 2).clamp(0, 1) * (y > top)
        brown = torch.tensor([0.32, 0.24, 0.17], device=device).view(3, 1, 1) * (1 + 0.3 * bark)
        plate = torch.lerp(plate, brown.clamp(0, 1), trunk)
        leaf = (
            noise(dice, "cloud", height, width, dice.between(1, 3), device)
            + noise(dice, "grain", height, width, dice.between(1, 3), device) * 0.5
        )
        crown = (
            (0.75 + 0.35 * leaf - ((across / dice.between(0.15, 0.4)).square() + ((y - top) / 0.25).square())) * 6
        ).clamp(0, 1)
        green = torch.tensor([0.22, 0.38, 0.14], device=device).view(3, 1, 1) * dice.ratio(0.5, 1.6) * (1 + 0.4 * leaf)
        plate = torch.lerp(plate, green.clamp(0.02, 1), crown)
    return plate.clamp(0, 1)
