"""Hair: masses with a hairline, streaks and an uneven edge, surrounded by single strands thinner than a pixel."""

# n of N moments, K strands, P points per strand, h, w, H, W

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .noise import look_up, tile_tensors
from .randomness import Dice
from .skeleton import Body, Build, halfway
from .surfaces import Cone, Edge, Ellipsoid, Frame, Look, Material, Patch, Surface, View, Window

STYLES = {
    "bald": 0.6,
    "buzz": 1.0,
    "short": 3.0,
    "volume": 3.0,
    "curly": 1.5,
    "afro": 0.8,
    "spiky": 0.8,
    "bob": 2.0,
    "long": 3.5,
    "ponytail": 1.2,
    "bun": 0.8,
}
_LONG = ("bob", "long")
_THICKNESS = 0.00028  # metres: a strand stands for a few hairs side by side


@dataclass(frozen=True)
class Strands:
    """Curves that are attached to a body part."""

    frame: Frame
    points: np.ndarray  # [K, 3, 3] in the frame: root, middle and end of a quadratic curve
    shade: np.ndarray  # [K] brightness
    sway: np.ndarray  # [N, 3] displacement of the ends
    behind: bool  # they are behind the person


@dataclass(frozen=True)
class Hair:
    style: str
    color: np.ndarray
    surfaces: tuple[Surface, ...]
    strands: tuple[Strands, ...]


def draw_style(dice: Dice, build: Build) -> str:
    woman = build.bust > 0
    odds = [
        weight
        * (
            0.15
            if woman and style in ("bald", "buzz")
            else 0.12
            if not woman and style in ("bob", "long", "bun", "ponytail")
            else 1
        )
        for style, weight in STYLES.items()
    ]
    return dice.one_of(tuple(STYLES), odds)


def grow_hair(dice: Dice, build: Build, body: Body, color: np.ndarray, style: str, seconds: np.ndarray) -> Hair:
    k, head = build.head, body.head
    if style == "bald":
        return Hair(style, color, (), ())
    size, rough, lift = {
        "buzz": (1.015, 0.0015, 0.0),
        "short": (dice.between(1.05, 1.12), 0.004, 0.005),
        "volume": (dice.between(1.12, 1.28), 0.006, 0.010),
        "curly": (dice.between(1.12, 1.30), 0.006, 0.012),
        "afro": (dice.between(1.35, 1.75), 0.006, 0.020),
        "spiky": (dice.between(1.08, 1.18), 0.010, 0.012),
        "bob": (dice.between(1.08, 1.20), 0.005, 0.005),
        "long": (dice.between(1.06, 1.18), 0.005, 0.005),
        "ponytail": (1.05, 0.003, 0.003),
        "bun": (1.05, 0.003, 0.003),
    }[style]
    crimped = style in ("curly", "afro")
    soft = (0.002 if style == "buzz" else dice.ratio(0.003, 0.012) * (1.6 if crimped else 1)) * k
    radii = (0.076 * size * k, 0.098 * size * k, 0.096 * size * k)
    centre = (0.0, (0.026 + lift) * k, -0.014 * k)
    fringe = dice.between(0.01, 0.05) if style in ("volume", "bob", "long", "short") and dice.happens(0.5) else 0.0
    side = dice.between(0.03, 0.09) if style in ("volume", "curly", "afro", *_LONG) else dice.between(0, 0.03)
    parting = dice.around(0, 0.025)
    line = dice.around(0.0, 0.006)
    streaks = hair_material(color, crimped)

    def shell(patch: Patch) -> Look:
        x, y, z = (patch.place / k).unbind(1)
        look = streaks(patch)
        wave = look_up(tile_tensors(patch.place.device)["streak"][0:1], x / 0.11, z / 0.3 + 0.1)[:, 0]
        front = (z / 0.05).clamp(0, 1)
        drop = (
            fringe
            * torch.exp(-(((x - parting) / 0.055) ** 2))
            * front
            * (1 - 0.5 * torch.exp(-(((x - parting) / 0.008) ** 2)))
        )
        drop = drop + side * ((x.abs() - 0.045) / 0.025).clamp(0, 1)
        above = y - (0.008 + line + 0.84 * z.clamp(max=0.09)) + drop + 0.005 * wave
        cover = (above / max(patch.pixel / k, 0.004) + 0.5).clamp(0, 1)
        if style == "buzz":
            cover = cover * 0.75
        return Look(look.albedo, look.bump, look.gloss, cover[:, None])

    edge = rough_edge(rough * k, crimped)
    surfaces: list[Surface] = [Ellipsoid(head, centre, radii, shell, edge, 0.004, soft)]
    strands = [_shell_strands(dice, head, centre, radii, k, style, seconds, behind) for behind in (True, False)]
    if style in _LONG:
        more, hanging = _hanging(dice, build, body, style, streaks, size, seconds)
        surfaces += more
        strands += hanging
    elif style in ("ponytail", "bun"):
        surfaces += _tied(dice, body, k, style, streaks, seconds)
    return Hair(style, color, tuple(surfaces), tuple(strands))


def hair_material(color: np.ndarray, crimped: bool = False) -> Material:
    """Streaks along y, or curls."""

    def look(patch: Patch) -> Look:
        tiles = tile_tensors(patch.place.device)
        x, y, z = patch.place.unbind(1)
        if crimped:
            streak = look_up(tiles["grain"][0:1], x / 0.22, y / 0.22)
        else:
            streak = look_up(tiles["streak"][1:2], (x + 0.6 * z) / 0.13, y / 0.45)
        lock = look_up(tiles["streak"][2:3], x / 0.5 + 0.3, y / 1.2)
        shade = (1 + (0.13 if crimped else 0.22) * streak + 0.16 * lock).clamp(0.25, 2)
        base = patch.place.new_tensor(color).view(3, 1, 1)
        bump = torch.cat(((0.08 if crimped else 0.16) * streak, 0.05 * lock), 1)
        return Look((base * shade).clamp(0, 1), bump, 0.22)

    return look


def rough_edge(size: float, fine: bool) -> Edge:
    """An outline that varies by about `size` metres, in curls (fine) or in locks."""

    def edge(patch: Patch) -> Tensor:
        tiles = tile_tensors(patch.place.device)
        x, y, z = patch.place.unbind(1)
        u, v = x + 0.7 * z, y - 0.4 * z
        fade = min(1.0, (0.004 / patch.pixel) ** 2)  # detail finer than a pixel would only be noise
        if fine:
            wave = 0.8 * look_up(tiles["grain"][0:1], u / 0.7, v / 0.7) + 0.5 * fade * look_up(
                tiles["grain"][0:1], u / 0.3, v / 0.3
            )
        else:
            wave = look_up(tiles["streak"][2:3], u / 0.55, v / 0.55) + 0.4 * fade * look_up(
                tiles["streak"][1:2], u / 0.25, v / 0.25
            )
        return size * wave[:, 0]

    return edge


def _sway(dice: Dice, seconds: np.ndarray, size: float) -> np.ndarray:
    """[N, 3] metres: the movement of the ends of the hair."""
    curve = np.zeros((len(seconds), 3))
    for axis, share in ((0, 1.0), (2, 0.5)):
        for _ in range(2):
            curve[:, axis] += (
                share
                * size
                * dice.between(0, 1)
                * np.sin(2 * np.pi * (dice.ratio(0.3, 1.5) * seconds + dice.between(0, 1)))
            )
    return curve


def _shell_strands(
    dice: Dice, head: Frame, centre, radii, k: float, style: str, seconds: np.ndarray, behind: bool
) -> Strands:
    """Strands around the outline of the head's hair (behind), and a few over forehead and temples (in front)."""
    rng = dice.rng
    wild = dice.ratio(0.5, 2.0)
    number = int(dice.ratio(350, 1200) * (0.7 if style == "buzz" else 1) * (1 if behind else 0.12))
    length = {"buzz": 0.003, "short": 0.014, "afro": 0.014, "curly": 0.02, "spiky": 0.025}.get(style, 0.024) * wild * k
    angle = rng.uniform(-0.15 * np.pi, 1.15 * np.pi, number)  # around the outline from ear to ear over the top
    spread = rng.uniform(0.93, 1.0, number)
    z = rng.normal(0.0, 0.35, number).clip(-0.8, 0.8)
    outwards = np.stack((np.cos(angle), np.sin(angle), z), 1)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    root = np.asarray(centre) + outwards * np.asarray(radii) * spread[:, None]
    if not behind:
        root = np.asarray(centre) + np.asarray(radii) * np.stack(
            (rng.uniform(-0.8, 0.8, number), rng.uniform(0.35, 0.75, number), np.full(number, 0.75)), 1
        )
    reach = length * rng.exponential(1.0, number).clip(0.15, 4)
    along = np.stack((-np.sin(angle), np.cos(angle), np.zeros(number)), 1) * np.where(np.cos(angle) > 0, -1, 1)[:, None]
    flow = rng.normal(0.6, 0.8, (number, 1))
    direction = outwards * rng.uniform(0.25, 1.0, (number, 1)) + along * flow + rng.normal(0, 0.3, (number, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    fall = (
        np.array([0, -1.0, 0]) * rng.uniform(0, 0.9, (number, 1)) * (0.2 if style in ("afro", "spiky", "buzz") else 1)
    )
    middle = root + direction * reach[:, None] * 0.5
    end = root + (direction * 0.7 + fall * 0.6) * reach[:, None]
    if style in ("curly", "afro"):
        middle = middle + rng.normal(0, 0.35, (number, 3)) * reach[:, None]
    return Strands(
        head, np.stack((root, middle, end), 1), rng.uniform(0.65, 1.45, number), _sway(dice, seconds, 0.003), behind
    )


def _hanging(dice: Dice, build: Build, body: Body, style: str, streaks: Material, size: float, seconds: np.ndarray):
    """Hair next to and behind the neck, down to the jaw (bob) or over the shoulders (long)."""
    k = build.head
    below = dice.between(0.01, 0.05) if style == "bob" else dice.between(0.08, 0.34)  # below the chin
    wide = 0.082 * size * dice.between(0.95, 1.2)
    frame = body.head if style == "bob" else Frame(body.head.origin, halfway(body.head.axes, body.chest.axes))
    top, bottom = 0.03, -0.115 - below
    edge = rough_edge(0.006, False)
    surfaces: list[Surface] = [
        Ellipsoid(
            frame,
            (0, (top + bottom) / 2 * k, -0.05 * k),
            (wide * 1.08 * k, (top - bottom) / 2 * 1.15 * k, 0.055 * k),
            streaks,
            edge,
            0.006,
            0.006,
        )
    ]
    strands = []
    sway = _sway(dice, seconds, 0.012)
    front = style == "bob" or dice.happens(0.65)
    for side in (1, -1):
        if not front:
            break
        for _ in range(dice.whole(2, 4)):
            temple = frame.at(
                side * dice.between(0.058, 0.076) * k, dice.between(0.02, 0.06) * k, dice.between(-0.02, 0.035) * k
            )
            cheek = frame.at(side * dice.between(0.072, 0.092) * size * k, -0.06 * k, dice.between(-0.01, 0.035) * k)
            tip = (
                frame.at(
                    side * dice.between(0.06, 0.11) * k,
                    bottom * dice.between(0.85, 1.05) * k,
                    (0.02 if style == "bob" else dice.between(0.03, 0.11)) * k,
                )
                + sway
            )
            thick = dice.between(0.014, 0.024) * k
            surfaces.append(Cone(temple, cheek, (thick * 0.8, thick), streaks, edge, 0.8, 0.006, 0.004))
            surfaces.append(Cone(cheek, tip, (thick, thick * 0.45), streaks, edge, 0.8, 0.006, 0.004))
    rng = dice.rng
    number = int(dice.ratio(300, 800))
    side = rng.choice((-1.0, 1.0), number)
    height = rng.uniform(bottom * 0.9, 0.0, number)
    root = np.stack((side * wide * rng.uniform(0.8, 1.1, number), height, rng.uniform(-0.06, 0.03, number)), 1) * k
    reach = dice.ratio(0.03, 0.08) * k * rng.exponential(1.0, number).clip(0.2, 3)
    out = np.stack((side * rng.normal(0.25, 0.3, number), -np.ones(number), rng.normal(0, 0.2, number)), 1)
    middle = (
        root
        + out * reach[:, None] * 0.5
        + np.stack((side * rng.uniform(0, 0.012, number), np.zeros(number), np.zeros(number)), 1)
    )
    end = root + out * reach[:, None]
    strands.append(Strands(frame, np.stack((root, middle, end), 1), rng.uniform(0.65, 1.45, number), sway, True))
    return surfaces, strands


def _tied(dice: Dice, body: Body, k: float, style: str, streaks: Material, seconds: np.ndarray) -> list[Surface]:
    edge = rough_edge(0.006, False)
    if style == "bun":
        high = dice.between(0.06, 0.15)
        r = dice.between(0.032, 0.05)
        return [
            Ellipsoid(body.head, (0, high * k, -0.07 * k), (r * k, r * k, r * k), streaks, edge, join=0.004, soft=0.004)
        ]
    sway = _sway(dice, seconds, 0.02)
    knot = body.head.at(dice.around(0, 0.02) * k, dice.between(0.0, 0.09) * k, -0.105 * k)
    side = dice.around(0, 0.05) * k
    middle = knot + np.array([side, -0.09 * k, -0.03 * k]) + sway * 0.5
    tip = middle + np.array([side, -dice.between(0.08, 0.22) * k, 0.0]) + sway
    r = dice.between(0.02, 0.034) * k
    return [
        Cone(knot, middle, (r * 0.7, r), streaks, edge, join=0.004, soft=0.004),
        Cone(middle, tip, (r, r * 0.3), streaks, edge, join=0.004, soft=0.004),
    ]


class Splat(NamedTuple):
    window: Window  # the part of the picture that strands reach
    mass: Tensor  # [n, 1, h, w] share of each pixel that the strands cover
    bright: Tensor  # [n, 1, h, w] brightness of the strands there


def splat(
    strands: Strands, view: View, moments: np.ndarray, size: tuple[int, int], device: torch.device
) -> Splat | None:
    """The strands in a picture of (H, W) = size, or None if they are outside it.

    Each point along a curve adds its length times its thickness, in pixels, to the four pixels around it.
    """
    n, (H, W) = len(moments), size  # noqa: N806
    part = View(view.centre[moments], view.scale[moments], view.roll[moments], view.distance)
    axes = strands.frame.axes[moments]
    world = strands.frame.origin[moments][:, None, None] + np.einsum("nij,kpj->nkpi", axes, strands.points)
    world[:, :, 2] += strands.sway[moments][:, None]
    world[:, :, 1] += 0.4 * strands.sway[moments][:, None]
    flat, near = part.project(world)
    scale = part.scale[:, None, None]
    left, top = W / 2 - 0.5 + flat[..., 0] * scale, H / 2 - 0.5 - flat[..., 1] * scale
    window = Window(
        max(0, math.floor(top.min())),
        min(H, math.floor(top.max()) + 2),
        max(0, math.floor(left.min())),
        min(W, math.floor(left.max()) + 2),
    )
    height, width = window.bottom - window.top, window.right - window.left
    if min(height, width) < 2:
        return None
    x, y = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (left - window.left, top - window.top))
    length = (x.diff(dim=2).square() + y.diff(dim=2).square()).sqrt().sum(2)  # [n, K]
    count = int(np.clip(np.ceil(float(length.quantile(0.9)) / 0.7), 2, 160))
    t = (torch.arange(count, device=device) + 0.5) / count
    weights = torch.stack(((1 - t) ** 2, 2 * t * (1 - t), t**2))  # of a quadratic curve's points
    px, py = (x @ weights).flatten(), (y @ weights).flatten()
    thick = torch.as_tensor(_THICKNESS * (scale * near)[:, :, 0], dtype=torch.float32, device=device)
    mass = ((thick * length / count)[:, :, None] * (1.15 - 0.6 * t)).flatten()  # ends are thinner
    shade = torch.as_tensor(strands.shade, dtype=torch.float32, device=device)
    shade = shade[None, :, None].expand(n, -1, count).flatten()
    frame = torch.arange(n, device=device)[:, None, None].expand(n, len(strands.points), count).flatten()
    inside = (px >= 0) & (px < width - 1) & (py >= 0) & (py < height - 1)
    px, py, mass, shade, frame = (v[inside] for v in (px, py, mass, shade, frame))
    ix, iy = px.floor(), py.floor()
    fx, fy = px - ix, py - iy
    base = (frame * height + iy.long()) * width + ix.long()
    places = torch.cat((base, base + 1, base + width, base + width + 1))
    shares = torch.cat(((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)) * mass.repeat(4)
    covered = torch.zeros(n * height * width, device=device).index_add_(0, places, shares)
    bright = torch.zeros_like(covered).index_add_(0, places, shares * shade.repeat(4))
    bright.div_(covered.clamp(min=1e-9))
    return Splat(window, *(v.view(n, 1, height, width) for v in (covered.neg().expm1().neg(), bright)))
