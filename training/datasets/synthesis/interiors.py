"""Rooms: walls and floor, windows, shelves, doors, pictures, cupboards and screens."""

# H, W size of the plate; h, w size of the picture that is painted

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor

from .brushes import noise, painted, rgb, stuff_color
from .palette import draw_color
from .randomness import Dice


def room(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    wall = draw_color(dice, 0.45) * 0.5 + dice.between(0.2, 0.5)
    floor = np.array([0.5, 0.36, 0.24]) * dice.ratio(0.5, 1.6) if dice.happens(0.6) else draw_color(dice, 0.6)
    horizon = dice.between(0.62, 1.1)

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=rgb(wall))
        if dice.happens(0.5):  # a second wall
            edge = dice.between(0.1, 0.9) * w
            draw.rectangle(
                (0 if dice.happens(0.5) else edge, 0, edge if dice.happens(0.5) else w, h),
                fill=rgb(wall * dice.ratio(0.75, 1.2)),
            )
        if dice.happens(0.25):
            _bricks(dice, draw, h, w, wall)
        draw.rectangle((0, horizon * h, w, max(h, horizon * h)), fill=rgb(floor))
        draw.rectangle((0, (horizon - 0.025) * h, w, horizon * h), fill=rgb(np.clip(wall * 1.25, 0, 1)))
        for _ in range(dice.whole(1, 6)):
            thing = dice.one_of((_window, _shelf, _frame_, _door, _cabinet, _screen))
            thing(dice, draw, h, w, horizon)

    plate = painted(height, width, paint, device)
    cloud = noise(dice, "cloud", height, width, dice.between(0.5, 2), device)
    grain = noise(dice, "grain", height, width, dice.between(1, 4), device)
    return plate * (1 + dice.between(0, 0.08) * cloud + dice.between(0, 0.04) * grain)


def _box(dice: Dice, h: int, w: int, side: tuple[float, float], aspect: tuple[float, float], low: float | None = None):
    """A random rectangle. low: its lower edge, as a share of the height; None: random."""
    high = dice.ratio(*side) * h
    wide = high * dice.ratio(*aspect)
    x = dice.between(-0.1, 1.0) * w
    y = (low * h - high) if low is not None else dice.between(-0.1, 0.8) * h
    return x, y, x + wide, y + high


def _bricks(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, wall: np.ndarray) -> None:
    row = dice.ratio(0.02, 0.08) * h
    long = row * dice.ratio(1, 4)
    joint = max(1, round(row * 0.1))
    for line in range(int(h / row) + 1):
        for column in range(-1, int(w / long) + 1):
            x = (column + 0.5 * (line % 2)) * long
            shade = rgb(wall * dice.rng.uniform(0.85, 1.1))
            draw.rectangle((x, line * row, x + long - joint, (line + 1) * row - joint), fill=shade)


def _window(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.25, 0.8), (0.5, 1.6))
    bright = np.array([0.85, 0.92, 1.0]) * dice.ratio(0.6, 1.1)
    frame = rgb(np.array([0.9, 0.9, 0.88]) * dice.between(0.2, 1.05))
    draw.rectangle((x0, y0, x1, y1), fill=rgb(bright))
    if dice.happens(0.5):
        draw.rectangle(
            (x0, y0 + (y1 - y0) * dice.between(0.4, 0.8), x1, y1),
            fill=rgb(np.array([0.35, 0.5, 0.3]) * dice.ratio(0.7, 1.5)),
        )
    thick = max(1, round(0.012 * h))
    draw.rectangle((x0, y0, x1, y1), outline=frame, width=thick * 2)
    for k in range(1, dice.whole(2, 4)):
        x = x0 + (x1 - x0) * k / 3
        draw.line((x, y0, x, y1), fill=frame, width=thick)
    if dice.happens(0.5):
        y = (y0 + y1) / 2
        draw.line((x0, y, x1, y), fill=frame, width=thick)
    if dice.happens(0.3):
        for k in range(24):  # blinds
            y = y0 + (y1 - y0) * k / 24
            draw.line((x0, y, x1, y), fill=frame, width=max(1, thick // 2))


def _shelf(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.4, 1.1), (0.4, 1.2), horizon if dice.happens(0.6) else None)
    wood = stuff_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=rgb(wood * 0.5))
    rows = dice.whole(2, 5)
    board = (y1 - y0) * 0.02
    for row in range(rows):
        bottom = y0 + (y1 - y0) * (row + 1) / rows
        space = (y1 - y0) / rows
        x = x0 + board
        while x < x1 - board:
            thick = space * dice.rng.uniform(0.06, 0.22)
            tall = space * dice.rng.uniform(0.5, 0.9)
            if dice.rng.random() < 0.85:
                color = rgb(draw_color(dice, 0.3))
                draw.rectangle((x, bottom - tall, max(x, min(x + thick, x1) - 1), bottom), fill=color)
            x += thick
        draw.rectangle((x0, bottom - board, x1, bottom), fill=rgb(wood))
    draw.rectangle((x0, y0, x1, y1), outline=rgb(wood), width=max(1, round(board)))


def _frame_(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.12, 0.5), (0.6, 1.7))
    draw.rectangle((x0, y0, x1, y1), fill=rgb(stuff_color(dice)))
    pad = (y1 - y0) * dice.between(0.03, 0.15)
    draw.rectangle((x0 + pad, y0 + pad, x1 - pad, y1 - pad), fill=rgb(draw_color(dice, 0.3)))
    for _ in range(dice.whole(0, 5)):
        cx, cy = dice.between(x0 + pad, x1 - pad), dice.between(y0 + pad, y1 - pad)
        r = dice.between(0.05, 0.25) * (y1 - y0)
        left, right = max(cx - r, x0 + pad), min(cx + r, x1 - pad)
        top, bottom = max(cy - r, y0 + pad), min(cy + r, y1 - pad)
        if right > left and bottom > top:
            shape = draw.ellipse if dice.happens(0.6) else draw.rectangle
            shape((left, top, right, bottom), fill=rgb(stuff_color(dice)))


def _door(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.6, 1.2), (0.35, 0.55), horizon)
    color = stuff_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=rgb(color), outline=rgb(color * 0.6), width=max(1, round(h * 0.008)))
    for k in range(2):
        top = y0 + (y1 - y0) * (0.08 + 0.46 * k)
        draw.rectangle(
            (x0 + (x1 - x0) * 0.18, top, x1 - (x1 - x0) * 0.18, top + (y1 - y0) * 0.36),
            outline=rgb(color * 0.75),
            width=max(1, round(h * 0.006)),
        )
    draw.ellipse(
        (x1 - (x1 - x0) * 0.13, (y0 + y1) / 2, x1 - (x1 - x0) * 0.06, (y0 + y1) / 2 + (x1 - x0) * 0.07),
        fill=(190, 170, 110),
    )


def _cabinet(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.2, 0.5), (0.8, 2.5), horizon + 0.05)
    color = stuff_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=rgb(color))
    columns, rows = dice.whole(1, 3), dice.whole(1, 4)
    for i in range(columns):
        for j in range(rows):
            box = [
                x0 + (x1 - x0) * i / columns,
                y0 + (y1 - y0) * j / rows,
                x0 + (x1 - x0) * (i + 1) / columns,
                y0 + (y1 - y0) * (j + 1) / rows,
            ]
            draw.rectangle(box, outline=rgb(color * 0.6), width=max(1, round(h * 0.006)))
            cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            r = 0.008 * h
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=rgb(color * 0.4))


def _screen(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.15, 0.45), (1.3, 1.9))
    draw.rectangle((x0, y0, x1, y1), fill=(18, 18, 20))
    pad = (y1 - y0) * 0.04
    draw.rectangle((x0 + pad, y0 + pad, x1 - pad, y1 - pad), fill=rgb(draw_color(dice, 0.2)))
    for row in range(dice.whole(0, 12)):
        y = y0 + pad * 2 + (y1 - y0) * 0.075 * row
        if y < y1 - pad * 2:
            draw.line(
                (x0 + pad * 2, y, x0 + (x1 - x0) * dice.between(0.2, 0.9), y),
                fill=rgb(draw_color(dice, 0.2)),
                width=max(1, round((y1 - y0) * 0.025)),
            )
