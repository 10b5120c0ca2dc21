"""Lamps, vases, plants, cushions, heaps and hangings, made with the same surfaces, cloth and light as persons."""

# N moments, H, W size of the plate

import math

import numpy as np
import torch
from torch import Tensor

from .brushes import stuff_color
from .lighting import draw_light, shade
from .palette import draw_cloth, flat
from .randomness import Dice
from .surfaces import Canvas, Cone, Ellipsoid, Frame, Material, Surface, View, Window, place


def draw_thing(dice: Dice, spot: np.ndarray, size: float) -> list[Surface]:
    """A lamp, vase, ball, plant, cushion, post or heap at `spot` [N, 3] (metres). size: 1 is the usual size."""
    n = len(spot)
    turn = np.deg2rad(dice.between(-25, 25))
    cos, sin = math.cos(turn), math.sin(turn)
    axes = np.broadcast_to(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]]), (n, 3, 3))
    frame = Frame(spot, axes)
    s = size

    def stuff() -> Material:
        color = stuff_color(dice)
        return flat(color, dice.one_of((0.0, 0.3, 0.8))) if dice.happens(0.4) else draw_cloth(dice, color)

    kind = dice.one_of(("ball", "vase", "lamp", "plant", "cushion", "post", "heap", "pots", "chair"))
    if kind == "ball":
        r = dice.ratio(0.05, 0.22) * s
        return [Ellipsoid(frame, (0, 0, 0), (r, r * dice.between(0.8, 1.2), r), stuff())]
    if kind == "vase":
        material, high = stuff(), dice.ratio(0.12, 0.35) * s
        return [
            Cone(
                frame.at(0, 0, 0),
                frame.at(0, high, 0),
                (high * dice.between(0.2, 0.5), high * dice.between(0.1, 0.3)),
                material,
            ),
            Cone(
                frame.at(0, high, 0), frame.at(0, high * 1.5, 0), (high * 0.12, high * dice.between(0.1, 0.3)), material
            ),
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
            tip = frame.at(
                reach * math.sin(a) * 1.1, reach * math.cos(a) * dice.between(0.5, 1), dice.between(-0.1, 0.1) * s
            )
            leaf = flat(green * dice.ratio(0.7, 1.4), 0.1)
            thick = dice.ratio(0.006, 0.04) * s
            pot += [
                Cone(frame.at(0, 0, 0), middle, (0.006 * s, thick), leaf, depth=0.4),
                Cone(middle, tip, (thick, 0.003 * s), leaf, depth=0.4),
            ]
        return pot
    if kind == "cushion":
        return [Ellipsoid(frame, (0, 0, 0), (dice.ratio(0.12, 0.5) * s, dice.ratio(0.1, 0.35) * s, 0.12 * s), stuff())]
    if kind == "post":
        high, r = dice.ratio(0.5, 3) * s, dice.ratio(0.015, 0.12) * s
        return [
            Cone(
                frame.at(0, -high / 2, 0),
                frame.at(dice.between(-0.2, 0.2) * high, high / 2, 0),
                (r, r * dice.between(0.5, 1.2)),
                stuff(),
            )
        ]
    if kind == "pots":
        return [
            Cone(
                frame.at(0.17 * s * i, 0, 0),
                frame.at(0.17 * s * i, dice.between(0.08, 0.25) * s, 0),
                (0.06 * s, dice.between(0.03, 0.08) * s),
                stuff(),
            )
            for i in range(dice.whole(2, 5))
        ]
    if kind == "chair":
        material = stuff()
        return [
            Ellipsoid(frame, (0, 0.3 * s, -0.2), (0.24 * s, 0.32 * s, 0.06), material),
            Ellipsoid(frame, (0, -0.05 * s, 0.0), (0.26 * s, 0.07 * s, 0.25 * s), material),
            *(
                Cone(
                    frame.at(x * s, -0.1 * s, z), frame.at(x * s * 1.1, -0.55 * s, z), (0.022 * s, 0.015 * s), material
                )
                for x in (-0.2, 0.2)
                for z in (-0.1, 0.1)
            ),
        ]
    surfaces: list[Surface] = []
    for _ in range(dice.whole(3, 7)):
        at = (dice.between(-0.2, 0.2) * s, dice.between(-0.15, 0.15) * s, dice.between(-0.1, 0.1) * s)
        surfaces.append(Ellipsoid(frame, at, (dice.ratio(0.04, 0.2) * s, dice.ratio(0.04, 0.2) * s, 0.1 * s), stuff()))
    return surfaces


def with_things(dice: Dice, plate: Tensor, device: torch.device, number: int) -> Tensor:
    """Draws `number` objects, made of the same materials as persons, into the plate."""
    if not number:
        return plate
    height, width = plate.shape[1:]
    view = View(np.zeros((1, 2)), np.array([height / dice.ratio(1.2, 3.0)]), np.array([0.0]), 6.0)
    tall, wide = height / view.scale[0], width / view.scale[0]
    surfaces: list[Surface] = []
    for _ in range(number):
        spot = np.array([dice.between(-0.55, 0.55) * wide, dice.between(-0.5, 0.35) * tall, dice.between(-0.8, 0.2)])
        surfaces += draw_thing(dice, spot[None], dice.ratio(0.5, 1.6))
    colors, cover = rendered(dice, surfaces, view, height, width, device)
    return torch.lerp(plate, colors, cover)


def rendered(
    dice: Dice, surfaces: list[Surface], view: View, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(colours [3, H, W], coverage [1, H, W])."""
    canvas = Canvas(1, Window(0, height, 0, width), (height, width), device)
    now = np.array([0])
    for surface in surfaces:
        canvas.draw(place(surface, view, device), now)
    return shade(canvas, draw_light(dice, np.zeros(1)), now, 0.03 * height)[0], canvas.cover[0]


def hangings(dice: Dice, height: int, width: int, device: torch.device) -> Tensor:
    """Curtains and hangings, of the same cloth as clothes."""
    axes = np.eye(3)[None]
    frame = Frame(np.zeros((1, 3)), axes)
    view = View(np.zeros((1, 2)), np.array([height / dice.ratio(0.8, 2.5)]), np.zeros(1), 5.0)
    surfaces: list[Surface] = [
        Ellipsoid(frame, (0, 0, -40), (60, 60, 40), draw_cloth(dice, folds=dice.between(0.3, 1.2)))
    ]
    for _ in range(dice.whole(0, 3)):
        x = dice.between(-1.5, 1.5)
        start, end = np.array([[x, -3.0, 0.1]]), np.array([[x + dice.between(-0.3, 0.3), 3.0, 0.1]])
        surfaces.append(Cone(start, end, (dice.between(0.05, 0.4), dice.between(0.05, 0.4)), draw_cloth(dice)))
    return rendered(dice, surfaces, view, height, width, device)[0]
