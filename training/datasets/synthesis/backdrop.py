"""Places without persons, but with all that may be mistaken for one: rooms, streets, hills, cloths, odds and ends."""

# H, W the plate, which is larger than the picture; C channels

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from ....core.alpha_ops import gaussian_blur
from ....core.pixel_format import frames_from_pictures, to_float
from .lighting import Light, draw_light, shade
from .noise import look_up, tile_tensors
from .palette import SKINS, Cloth, draw_cloth, draw_color, draw_hair_color, flat
from .randomness import Dice
from .surfaces import Canvas, Cone, Ellipsoid, Frame, Material, Surface, View, Window, place

KINDS = {"studio": 2.0, "room": 4.0, "street": 2.0, "nature": 2.5, "cloth": 1.2, "shapes": 1.8, "lights": 0.8}


def draw_plate(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """A random background [3, H, W], 0..1."""
    kind = dice.one_of(tuple(KINDS), tuple(KINDS.values()))
    draw = {
        "studio": _studio,
        "room": _room,
        "street": _street,
        "nature": _nature,
        "cloth": _cloth,
        "shapes": _shapes,
        "lights": _lights,
    }[kind]
    plate = draw(dice, height, width, device)
    if kind != "studio" or dice.happens(0.3):
        plate = _with_things(dice, plate, device, dice.whole(0, 9 if kind == "room" else 6))
    plate = _lit(dice, plate, device)
    if dice.happens(0.45):
        plate = gaussian_blur(plate[None], dice.ratio(0.002, 0.03) * max(height, width))[0]
    return plate.clamp_(0, 1)


def _painted(height: int, width: int, paint, device: torch.device) -> Tensor:
    """What `paint(draw, height, width)` draws with Pillow, smoothed: [3, H, W]."""
    big = 2 if max(height, width) < 400 else 1.4
    h, w = round(height * big), round(width * big)
    image = Image.new("RGB", (w, h))
    paint(ImageDraw.Draw(image), h, w)
    picture = to_float(frames_from_pictures([np.array(image)]), device)
    return F.interpolate(picture, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _rgb(color: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(round(float(c) * 255)) for c in np.clip(color, 0, 1))
    return red, green, blue


def _gradient(height: int, width: int, top: np.ndarray, bottom: np.ndarray, angle: float, device: torch.device) -> Tensor:
    y = torch.linspace(-0.5, 0.5, height, device=device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=device)
    t = (y * math.cos(angle) + x * math.sin(angle) + 0.5).clamp(0, 1)
    a, b = (torch.as_tensor(c, dtype=torch.float32, device=device).view(3, 1, 1) for c in (top, bottom))
    return torch.lerp(a, b, t)


def _noise(dice: Dice, name: str, height: int, width: int, tiles_across: float, device: torch.device, stretch: float = 1.0) -> Tensor:
    """[H, W] of a tile, `tiles_across` of them over the height."""
    group = tile_tensors(device)[name]
    tile = group[dice.whole(0, len(group) - 1)][None]
    y = torch.linspace(0, tiles_across, height, device=device)[:, None].expand(height, width) + dice.between(0, 1)
    x = torch.linspace(0, tiles_across * stretch * width / height, width, device=device).expand(height, width) + dice.between(0, 1)
    return look_up(tile, x[None], y[None])[0, 0]


def _background_color(dice: Dice) -> np.ndarray:
    """As things have it, among them the colours of skin, wood and hair."""
    pick = dice.whole(0, 9)
    if pick == 0:
        return SKINS[dice.whole(0, len(SKINS) - 1)] * dice.ratio(0.8, 1.1)
    if pick == 1:
        return draw_hair_color(dice)
    if pick == 2:
        return np.array([0.55, 0.38, 0.22]) * dice.ratio(0.5, 1.5)
    return draw_color(dice, 0.35)


def _studio(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    base = draw_color(dice, 0.7)
    plate = _gradient(height, width, base * dice.ratio(0.7, 1.4), base, dice.between(-0.6, 0.6), device)
    cloud = _noise(dice, "cloud", height, width, dice.between(0.4, 1.2), device)
    return (plate * (1 + dice.between(0.02, 0.22) * cloud)).clamp(0, 1)


def _room(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    wall = draw_color(dice, 0.45) * 0.5 + dice.between(0.2, 0.5)
    floor = np.array([0.5, 0.36, 0.24]) * dice.ratio(0.5, 1.6) if dice.happens(0.6) else draw_color(dice, 0.6)
    horizon = dice.between(0.62, 1.1)

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=_rgb(wall))
        if dice.happens(0.5):  # another wall
            edge = dice.between(0.1, 0.9) * w
            draw.rectangle((0 if dice.happens(0.5) else edge, 0, edge if dice.happens(0.5) else w, h), fill=_rgb(wall * dice.ratio(0.75, 1.2)))
        if dice.happens(0.25):
            _bricks(dice, draw, h, w, wall)
        draw.rectangle((0, horizon * h, w, max(h, horizon * h)), fill=_rgb(floor))
        draw.rectangle((0, (horizon - 0.025) * h, w, horizon * h), fill=_rgb(np.clip(wall * 1.25, 0, 1)))
        for _ in range(dice.whole(1, 6)):
            thing = dice.one_of((_window, _shelf, _frame_, _door, _cabinet, _screen))
            thing(dice, draw, h, w, horizon)

    plate = _painted(height, width, paint, device)
    cloud = _noise(dice, "cloud", height, width, dice.between(0.5, 2), device)
    grain = _noise(dice, "grain", height, width, dice.between(1, 4), device)
    return plate * (1 + dice.between(0, 0.08) * cloud + dice.between(0, 0.04) * grain)


def _box(dice: Dice, h: int, w: int, side: tuple[float, float], aspect: tuple[float, float], low: float | None = None):
    """A random rectangle; `low`: its lower edge, as a share of the height."""
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
            shade = _rgb(wall * dice.rng.uniform(0.85, 1.1))
            draw.rectangle((x, line * row, x + long - joint, (line + 1) * row - joint), fill=shade)


def _window(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.25, 0.8), (0.5, 1.6))
    bright = np.array([0.85, 0.92, 1.0]) * dice.ratio(0.6, 1.1)
    frame = _rgb(np.array([0.9, 0.9, 0.88]) * dice.between(0.2, 1.05))
    draw.rectangle((x0, y0, x1, y1), fill=_rgb(bright))
    if dice.happens(0.5):
        draw.rectangle((x0, y0 + (y1 - y0) * dice.between(0.4, 0.8), x1, y1), fill=_rgb(np.array([0.35, 0.5, 0.3]) * dice.ratio(0.7, 1.5)))
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
    wood = _background_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=_rgb(wood * 0.5))
    rows = dice.whole(2, 5)
    board = max(1, round((y1 - y0) * 0.02))
    for row in range(rows):
        bottom = y0 + (y1 - y0) * (row + 1) / rows
        space = (y1 - y0) / rows
        x = x0 + board
        while x < x1 - board:
            thick = space * dice.rng.uniform(0.06, 0.22)
            tall = space * dice.rng.uniform(0.5, 0.9)
            if dice.rng.random() < 0.85:
                color = _rgb(draw_color(dice, 0.3))
                draw.rectangle((x, bottom - tall, min(x + thick, x1) - 1, bottom), fill=color)
            x += thick
        draw.rectangle((x0, bottom - board, x1, bottom), fill=_rgb(wood))
    draw.rectangle((x0, y0, x1, y1), outline=_rgb(wood), width=board)


def _frame_(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.12, 0.5), (0.6, 1.7))
    draw.rectangle((x0, y0, x1, y1), fill=_rgb(_background_color(dice)))
    pad = (y1 - y0) * dice.between(0.03, 0.15)
    draw.rectangle((x0 + pad, y0 + pad, x1 - pad, y1 - pad), fill=_rgb(draw_color(dice, 0.3)))
    for _ in range(dice.whole(0, 5)):
        cx, cy = dice.between(x0 + pad, x1 - pad), dice.between(y0 + pad, y1 - pad)
        r = dice.between(0.05, 0.25) * (y1 - y0)
        left, right = max(cx - r, x0 + pad), min(cx + r, x1 - pad)
        top, bottom = max(cy - r, y0 + pad), min(cy + r, y1 - pad)
        if right > left and bottom > top:
            shape = draw.ellipse if dice.happens(0.6) else draw.rectangle
            shape((left, top, right, bottom), fill=_rgb(_background_color(dice)))


def _door(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.6, 1.2), (0.35, 0.55), horizon)
    color = _background_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=_rgb(color), outline=_rgb(color * 0.6), width=max(1, round(h * 0.008)))
    for k in range(2):
        top = y0 + (y1 - y0) * (0.08 + 0.46 * k)
        draw.rectangle((x0 + (x1 - x0) * 0.18, top, x1 - (x1 - x0) * 0.18, top + (y1 - y0) * 0.36), outline=_rgb(color * 0.75), width=max(1, round(h * 0.006)))
    draw.ellipse((x1 - (x1 - x0) * 0.13, (y0 + y1) / 2, x1 - (x1 - x0) * 0.06, (y0 + y1) / 2 + (x1 - x0) * 0.07), fill=(190, 170, 110))


def _cabinet(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.2, 0.5), (0.8, 2.5), horizon + 0.05)
    color = _background_color(dice)
    draw.rectangle((x0, y0, x1, y1), fill=_rgb(color))
    columns, rows = dice.whole(1, 3), dice.whole(1, 4)
    for i in range(columns):
        for j in range(rows):
            box = [x0 + (x1 - x0) * i / columns, y0 + (y1 - y0) * j / rows, x0 + (x1 - x0) * (i + 1) / columns, y0 + (y1 - y0) * (j + 1) / rows]
            draw.rectangle(box, outline=_rgb(color * 0.6), width=max(1, round(h * 0.006)))
            cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            r = 0.008 * h
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=_rgb(color * 0.4))


def _screen(dice: Dice, draw: ImageDraw.ImageDraw, h: int, w: int, horizon: float) -> None:
    x0, y0, x1, y1 = _box(dice, h, w, (0.15, 0.45), (1.3, 1.9))
    draw.rectangle((x0, y0, x1, y1), fill=(18, 18, 20))
    pad = (y1 - y0) * 0.04
    draw.rectangle((x0 + pad, y0 + pad, x1 - pad, y1 - pad), fill=_rgb(draw_color(dice, 0.2)))
    for row in range(dice.whole(0, 12)):
        y = y0 + pad * 2 + (y1 - y0) * 0.075 * row
        if y < y1 - pad * 2:
            draw.line((x0 + pad * 2, y, x0 + (x1 - x0) * dice.between(0.2, 0.9), y), fill=_rgb(draw_color(dice, 0.2)), width=max(1, round((y1 - y0) * 0.025)))


def _street(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    horizon = dice.between(0.55, 0.85)
    sky = np.array([0.55, 0.72, 0.95]) * dice.ratio(0.4, 1.2)

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=_rgb(sky))
        x = -0.1 * w
        while x < w:
            wide, tall = dice.ratio(0.08, 0.4) * w, dice.ratio(0.3, 1.2) * h
            color = draw_color(dice, 0.5) * 0.7 + 0.15
            top = horizon * h - tall
            draw.rectangle((x, top, x + wide, horizon * h), fill=_rgb(color))
            columns, floor = dice.whole(2, 7), dice.ratio(0.04, 0.12) * h
            glass = _rgb(np.array([0.25, 0.32, 0.4]) * dice.ratio(0.4, 2.2))
            for row in range(int(tall / floor)):
                for column in range(columns):
                    left = x + wide * (column + 0.2) / columns
                    shade = glass if dice.rng.random() < 0.8 else (240, 220, 160)
                    draw.rectangle((left, top + floor * (row + 0.25), left + wide * 0.6 / columns, top + floor * (row + 0.8)), fill=shade)
            x += wide * dice.between(0.8, 1.2)
        draw.rectangle((0, horizon * h, w, h), fill=_rgb(np.array([0.4, 0.4, 0.41]) * dice.ratio(0.5, 1.6)))
        for _ in range(dice.whole(0, 5)):  # poles and signs
            x, top, wide = dice.between(0, 1) * w, dice.between(0, 0.5) * h, dice.ratio(0.006, 0.03) * w
            color = _rgb(draw_color(dice, 0.7))
            draw.rectangle((x, top, x + wide, h * dice.between(0.7, 1)), fill=color)
            r = dice.ratio(0.02, 0.1) * h
            shape = draw.ellipse if dice.happens(0.5) else draw.rectangle
            shape((x - r, top - r, x + r + wide, top + r), fill=_rgb(draw_color(dice, 0.1)))
        for _ in range(dice.whole(0, 4)):  # cars, roughly
            x, wide = dice.between(-0.2, 1) * w, dice.ratio(0.15, 0.5) * w
            y, color = (horizon + dice.between(0, 0.12)) * h, _rgb(draw_color(dice, 0.5))
            draw.rounded_rectangle((x, y - wide * 0.22, x + wide, y), wide * 0.06, fill=color)
            draw.rounded_rectangle((x + wide * 0.2, y - wide * 0.38, x + wide * 0.8, y - wide * 0.15), wide * 0.08, fill=color)
            draw.rounded_rectangle((x + wide * 0.25, y - wide * 0.34, x + wide * 0.75, y - wide * 0.2), wide * 0.05, fill=(60, 70, 80))
            for wheel in (0.22, 0.78):
                cx, r = x + wide * wheel, wide * 0.09
                draw.ellipse((cx - r, y - r, cx + r, y + r), fill=(25, 25, 25))

    plate = _painted(height, width, paint, device)
    cloud = _noise(dice, "cloud", height, width, dice.between(0.6, 2), device)
    grain = _noise(dice, "grain", height, width, dice.between(1, 4), device)
    return plate * (1 + dice.between(0.02, 0.12) * cloud + dice.between(0, 0.06) * grain)


def _nature(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    sky = _gradient(height, width, np.array([0.35, 0.55, 0.9]) * dice.ratio(0.6, 1.2), np.array([0.85, 0.85, 0.85]) * dice.ratio(0.6, 1.1), 0.0, device)
    cloud = _noise(dice, "cloud", height, width, dice.between(0.5, 1.2), device, 0.5)
    plate = torch.lerp(sky, torch.ones_like(sky) * 0.95, (cloud * 0.6).clamp(0, 1) * dice.between(0, 1))
    y = torch.linspace(0, 1, height, device=device)[:, None]
    level = dice.between(0.2, 0.6)
    for layer in range(dice.whole(2, 5)):
        ridge = _noise(dice, "cloud", height, width, dice.ratio(0.2, 1.5), device)[0] * dice.between(0.02, 0.12) + level
        leafy = _noise(dice, dice.one_of(("grain", "cloud", "streak")), height, width, dice.ratio(0.7, 4), device)
        leafy = leafy + 0.7 * _noise(dice, "cloud", height, width, dice.ratio(1, 4), device)
        color = np.array(dice.one_of(((0.25, 0.42, 0.16), (0.40, 0.45, 0.2), (0.45, 0.36, 0.25), (0.55, 0.55, 0.5), (0.2, 0.3, 0.35), (0.62, 0.52, 0.36)))) * dice.ratio(0.5, 1.4)
        mask = ((y - ridge + 0.012 * leafy) * height / 3).clamp(0, 1)
        body = torch.as_tensor(color, dtype=torch.float32, device=device).view(3, 1, 1) * (1 + 0.35 * leafy).clamp(0.2, 2)
        plate = torch.lerp(plate, body, mask)
        level += dice.between(0.06, 0.25)
        if layer == 0 and dice.happens(0.3):
            break
    for _ in range(dice.whole(0, 3)):  # trees
        x = dice.between(0, 1)
        across = torch.linspace(0, width / height, width, device=device)[None] - x * width / height
        wide, top = dice.ratio(0.015, 0.06), dice.between(0.1, 0.5)
        bark = _noise(dice, "streak", height, width, dice.between(0.5, 2), device)
        trunk = ((wide - (across + 0.01 * torch.sin(6 * y)).abs()) * height / 2).clamp(0, 1) * (y > top)
        brown = torch.tensor([0.32, 0.24, 0.17], device=device).view(3, 1, 1) * (1 + 0.3 * bark)
        plate = torch.lerp(plate, brown.clamp(0, 1), trunk)
        leaf = _noise(dice, "cloud", height, width, dice.between(1, 3), device) + _noise(dice, "grain", height, width, dice.between(1, 3), device) * 0.5
        crown = ((0.75 + 0.35 * leaf - ((across / dice.between(0.15, 0.4)).square() + ((y - top) / 0.25).square())) * 6).clamp(0, 1)
        green = torch.tensor([0.22, 0.38, 0.14], device=device).view(3, 1, 1) * dice.ratio(0.5, 1.6) * (1 + 0.4 * leaf)
        plate = torch.lerp(plate, green.clamp(0.02, 1), crown)
    return plate.clamp(0, 1)


def _cloth(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Curtains and hangings: the same cloth that persons wear."""
    axes = np.eye(3)[None]
    frame = Frame(np.zeros((1, 3)), axes)
    view = View(np.zeros((1, 2)), np.array([height / dice.ratio(0.8, 2.5)]), np.zeros(1), 5.0)
    surfaces: list[Surface] = [Ellipsoid(frame, (0, 0, -40), (60, 60, 40), draw_cloth(dice, folds=dice.between(0.3, 1.2)))]
    for _ in range(dice.whole(0, 3)):
        x = dice.between(-1.5, 1.5)
        start, end = np.array([[x, -3.0, 0.1]]), np.array([[x + dice.between(-0.3, 0.3), 3.0, 0.1]])
        surfaces.append(Cone(start, end, (dice.between(0.05, 0.4), dice.between(0.05, 0.4)), draw_cloth(dice)))
    return _rendered(dice, surfaces, view, height, width, device)[0]


def _rendered(dice: Dice, surfaces: list[Surface], view: View, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Colours [3, H, W] and coverage [1, H, W]."""
    canvas = Canvas(1, Window(0, height, 0, width), (height, width), device)
    now = np.array([0])
    for surface in surfaces:
        canvas.draw(place(surface, view, device), now)
    return shade(canvas, draw_light(dice, np.zeros(1)), now, 0.03 * height)[0], canvas.cover[0]


def _shapes(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Flags, posters, graphics."""

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=_rgb(draw_color(dice, 0.4)))
        if dice.happens(0.4):
            count, tilt = dice.whole(3, 14), dice.between(-0.6, 0.6) * w
            colors = [_rgb(draw_color(dice, 0.2)) for _ in range(dice.whole(2, 3))]
            for k in range(-count, 2 * count):
                x = w * k / count
                step = w / count
                draw.polygon([(x, 0), (x + step, 0), (x + step + tilt, h), (x + tilt, h)], fill=colors[k % len(colors)])
        for _ in range(dice.whole(3, 25)):
            cx, cy, r = dice.between(0, 1) * w, dice.between(0, 1) * h, dice.ratio(0.02, 0.35) * h
            color = _rgb(_background_color(dice))
            kind = dice.whole(0, 3)
            if kind == 0:
                draw.ellipse((cx - r, cy - r * dice.between(0.5, 1.5), cx + r, cy + r), fill=color)
            elif kind == 1:
                draw.regular_polygon((cx, cy, r), dice.whole(3, 7), dice.between(0, 360), fill=color)
            elif kind == 2:
                draw.line((cx, cy, dice.between(0, 1) * w, dice.between(0, 1) * h), fill=color, width=max(1, round(r * 0.25)))
            else:
                points = [(cx + r * dice.between(-1, 1), cy + r * dice.between(-1, 1)) for _ in range(5)]
                draw.polygon(points, fill=color)

    plate = _painted(height, width, paint, device)
    wave = _noise(dice, "fold", height, width, dice.between(0.5, 1.5), device)
    return plate * (1 + dice.between(0, 0.2) * wave)


def _lights(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Night, stage, lamps out of focus."""

    def paint(draw: ImageDraw.ImageDraw, h: int, w: int) -> None:
        draw.rectangle((0, 0, w, h), fill=_rgb(draw_color(dice, 0.5) * 0.25))
        for _ in range(dice.whole(10, 60)):
            r = dice.ratio(0.004, 0.06) * h
            cx, cy = dice.between(0, 1) * w, dice.between(0, 1) * h
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=_rgb(draw_color(dice, 0.2) * dice.between(0.4, 1.2)))

    plate = _painted(height, width, paint, device)
    return gaussian_blur(plate[None], dice.ratio(0.001, 0.01) * height)[0]


def _with_things(dice: Dice, plate: Tensor, device: torch.device, number: int) -> Tensor:
    """Draws `number` objects of the same stuff as persons into the plate."""
    if not number:
        return plate
    height, width = plate.shape[1:]
    view = View(np.zeros((1, 2)), np.array([height / dice.ratio(1.2, 3.0)]), np.array([0.0]), 6.0)
    tall, wide = height / view.scale[0], width / view.scale[0]
    surfaces: list[Surface] = []
    for _ in range(number):
        spot = np.array([dice.between(-0.55, 0.55) * wide, dice.between(-0.5, 0.35) * tall, dice.between(-0.8, 0.2)])
        surfaces += draw_thing(dice, spot[None], dice.ratio(0.5, 1.6))
    colors, cover = _rendered(dice, surfaces, view, height, width, device)
    return torch.lerp(plate, colors, cover)


def draw_thing(dice: Dice, spot: np.ndarray, size: float) -> list[Surface]:
    """A lamp, vase, ball, plant, cushion, post or heap at `spot` [N, 3] (metres), `size` 1 as usual."""
    n = len(spot)
    turn = np.deg2rad(dice.between(-25, 25))
    cos, sin = math.cos(turn), math.sin(turn)
    axes = np.broadcast_to(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]]), (n, 3, 3))
    frame = Frame(spot, axes)
    s = size

    def stuff() -> Material:
        color = _background_color(dice)
        return flat(color, dice.one_of((0.0, 0.3, 0.8))) if dice.happens(0.4) else draw_cloth(dice, color)

    kind = dice.one_of(("ball", "vase", "lamp", "plant", "cushion", "post", "heap", "pots", "chair"))
    if kind == "ball":
        r = dice.ratio(0.05, 0.22) * s
        return [Ellipsoid(frame, (0, 0, 0), (r, r * dice.between(0.8, 1.2), r), stuff())]
    if kind == "vase":
        material, high = stuff(), dice.ratio(0.12, 0.35) * s
        return [
            Cone(frame.at(0, 0, 0), frame.at(0, high, 0), (high * dice.between(0.2, 0.5), high * dice.between(0.1, 0.3)), material),
            Cone(frame.at(0, high, 0), frame.at(0, high * 1.5, 0), (high * 0.12, high * dice.between(0.1, 0.3)), material),
        ]
    if kind == "lamp":
        material, high = stuff(), dice.ratio(0.3, 1.2) * s
        shade_ = flat(np.array([1.0, 0.9, 0.7]) * dice.between(0.8, 1.3))
        return [
            Cone(frame.at(0, -high, 0), frame.at(0, 0, 0), (0.015 * s, 0.015 * s), material),
            Cone(frame.at(0, 0, 0), frame.at(0, 0.16 * s, 0), (0.16 * s, dice.between(0.05, 0.15) * s), shade_),
        ]
    if kind == "plant":
        green = np.array([0.2, 0.42, 0.15]) * dice.ratio(0.5, 1.7)
        pot: list[Surface] = [Cone(frame.at(0, -0.15 * s, 0), frame.at(0, 0, 0), (0.08 * s, 0.11 * s), stuff())]
        for _ in range(dice.whole(6, 20)):
            a, reach = dice.between(-1.3, 1.3), dice.ratio(0.12, 0.5) * s
            middle = frame.at(0.5 * reach * math.sin(a), 0.7 * reach * math.cos(a), dice.between(-0.1, 0.1) * s)
            tip = frame.at(reach * math.sin(a) * 1.1, reach * math.cos(a) * dice.between(0.5, 1), dice.between(-0.1, 0.1) * s)
            leaf = flat(green * dice.ratio(0.7, 1.4), 0.1)
            thick = dice.ratio(0.006, 0.04) * s
            pot += [Cone(frame.at(0, 0, 0), middle, (0.006 * s, thick), leaf, depth=0.4), Cone(middle, tip, (thick, 0.003 * s), leaf, depth=0.4)]
        return pot
    if kind == "cushion":
        return [Ellipsoid(frame, (0, 0, 0), (dice.ratio(0.12, 0.5) * s, dice.ratio(0.1, 0.35) * s, 0.12 * s), stuff())]
    if kind == "post":
        high, r = dice.ratio(0.5, 3) * s, dice.ratio(0.015, 0.12) * s
        return [Cone(frame.at(0, -high / 2, 0), frame.at(dice.between(-0.2, 0.2) * high, high / 2, 0), (r, r * dice.between(0.5, 1.2)), stuff())]
    if kind == "pots":
        return [
            Cone(frame.at(0.17 * s * i, 0, 0), frame.at(0.17 * s * i, dice.between(0.08, 0.25) * s, 0), (0.06 * s, dice.between(0.03, 0.08) * s), stuff())
            for i in range(dice.whole(2, 5))
        ]
    if kind == "chair":
        material = stuff()
        return [
            Ellipsoid(frame, (0, 0.3 * s, -0.2), (0.24 * s, 0.32 * s, 0.06), material),
            Ellipsoid(frame, (0, -0.05 * s, 0.0), (0.26 * s, 0.07 * s, 0.25 * s), material),
            *(Cone(frame.at(x * s, -0.1 * s, z), frame.at(x * s * 1.1, -0.55 * s, z), (0.022 * s, 0.015 * s), material) for x in (-0.2, 0.2) for z in (-0.1, 0.1)),
        ]
    surfaces: list[Surface] = []
    for _ in range(dice.whole(3, 7)):
        at = (dice.between(-0.2, 0.2) * s, dice.between(-0.15, 0.15) * s, dice.between(-0.1, 0.1) * s)
        surfaces.append(Ellipsoid(frame, at, (dice.ratio(0.04, 0.2) * s, dice.ratio(0.04, 0.2) * s, 0.1 * s), stuff()))
    return surfaces


def _lit(dice: Dice, plate: Tensor, device: torch.device) -> Tensor:
    """A lamp's or window's light across the whole place, a cast shadow, a vignette."""
    height, width = plate.shape[1:]
    level = dice.ratio(0.6, 1.2)
    angle = dice.between(-math.pi, math.pi)
    ramp = _gradient(height, width, np.full(3, level), np.full(3, level * dice.ratio(0.5, 1.0)), angle, device)
    tint = torch.as_tensor(1 + dice.around(0, 0.06) * np.array([1, 0, -1.0]), dtype=torch.float32, device=device).view(3, 1, 1)
    if dice.happens(0.2):
        wave = _noise(dice, "cloud", height, width, dice.between(0.3, 0.8), device)
        ramp = ramp * (1 - dice.between(0.1, 0.4) * ((wave - 0.2) * 6).clamp(0, 1))
    return plate * ramp * tint
