"""Colours of skin, hair and objects, and cloth: its weave, pattern and folds as a texture."""

# C channels; colours are reflectances 0..1 in display encoding

import colorsys
import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .noise import TILE, look_up, slope, tiles
from .randomness import Dice
from .surfaces import Look, Material, Patch

SKINS = np.array(
    [
        (0.96, 0.82, 0.74),
        (0.93, 0.76, 0.65),
        (0.88, 0.68, 0.55),
        (0.80, 0.60, 0.45),
        (0.70, 0.50, 0.36),
        (0.55, 0.37, 0.26),
        (0.42, 0.28, 0.20),
        (0.30, 0.20, 0.15),
    ]
)
HAIRS = np.array(
    [
        (0.05, 0.045, 0.045),
        (0.12, 0.08, 0.06),
        (0.22, 0.14, 0.09),
        (0.34, 0.22, 0.13),
        (0.48, 0.27, 0.13),
        (0.62, 0.46, 0.26),
        (0.80, 0.67, 0.44),
        (0.55, 0.55, 0.55),
        (0.85, 0.84, 0.82),
    ]
)
_HAIR_ODDS = (4, 4, 4, 3, 1.5, 2.5, 2, 1.2, 1)
_SOBER = (
    (0.09, 0.09, 0.10),
    (0.16, 0.18, 0.26),
    (0.36, 0.36, 0.38),
    (0.62, 0.62, 0.62),
    (0.93, 0.93, 0.92),
    (0.16, 0.22, 0.38),
)


def draw_skin(dice: Dice) -> np.ndarray:
    place = dice.between(0, len(SKINS) - 1)
    low = int(place)
    skin = SKINS[low] + (SKINS[min(low + 1, len(SKINS) - 1)] - SKINS[low]) * (place - low)
    return np.clip(skin * np.array([dice.around(1, 0.03), 1.0, dice.around(1, 0.04)]), 0, 1)


def draw_hair_color(dice: Dice) -> np.ndarray:
    if dice.happens(0.05):
        return np.array(colorsys.hsv_to_rgb(dice.between(0, 1), dice.between(0.4, 0.8), dice.between(0.3, 0.85)))
    return np.clip(HAIRS[dice.one_of(range(len(HAIRS)), _HAIR_ODDS)] * dice.ratio(0.75, 1.3), 0.02, 0.95)


def draw_color(dice: Dice, sober: float = 0.4) -> np.ndarray:
    """A colour for clothes and objects: with probability `sober` black, white, grey or navy, otherwise any hue."""
    if dice.happens(sober):
        return np.clip(np.array(dice.one_of(_SOBER)) * dice.ratio(0.85, 1.15), 0.03, 0.97)
    return np.array(colorsys.hsv_to_rgb(dice.between(0, 1), dice.between(0.15, 0.95) ** 0.8, dice.between(0.2, 0.98)))


class Cloth:
    """A texture of colour, bumps and gloss, applied to surfaces in metres."""

    def __init__(self, texture: np.ndarray, metres: float, shift: tuple[float, float]) -> None:
        """texture: [6, TILE, TILE]: red, green, blue, bump x, bump y, gloss. metres: the side of a tile."""
        self.texture, self.metres, self.shift = texture, metres, shift
        self._tensors: dict[torch.device, Tensor] = {}

    def __call__(self, patch: Patch) -> Look:
        device = patch.place.device
        if device not in self._tensors:
            self._tensors[device] = torch.from_numpy(self.texture).to(device)
        u = patch.place[:, 0] / self.metres + self.shift[0]
        v = patch.place[:, 1] / self.metres + self.shift[1]
        found = look_up(self._tensors[device], u, v)
        return Look(found[:, :3], found[:, 3:5], found[:, 5:])


def draw_cloth(
    dice: Dice, color: np.ndarray | None = None, pattern: str | None = None, folds: float | None = None
) -> Cloth:
    """A random cloth, or one with the given colour [3], pattern or depth of folds."""
    color = draw_color(dice) if color is None else color
    pattern = pattern or dice.one_of(tuple(_PATTERNS), tuple(weight for weight, _ in _PATTERNS.values()))
    metres = dice.ratio(0.5, 1.1)
    base = np.broadcast_to(color[:, None, None].astype(np.float32), (3, TILE, TILE)).copy()
    base = _PATTERNS[pattern][1](dice, base, metres)
    named = tiles()
    cloud = dice.one_of(named["cloud"])
    weave = named["grain"][-1]
    shade = 1 + np.float32(0.05 * dice.between(0.2, 1)) * cloud + np.float32(0.03 * dice.between(0, 1)) * weave
    depth = dice.ratio(0.07, 0.5) if folds is None else folds
    bumps, hollows = _folds()[dice.one_of(range(len(named["fold"])))][int(dice.happens(0.4))]
    rough = dice.one_of((0.0, 0.02, 0.08), (3, 3, 1))
    shade *= 1 - np.float32(0.10 * depth) * hollows  # hollows are darker
    texture = np.empty((6, TILE, TILE), np.float32)
    np.clip(base * shade, 0.01, 1, out=texture[:3])
    np.multiply(bumps, depth * 2.0, out=texture[3:5])
    if rough:
        texture[3:5] += _weave_bumps() * np.float32(rough)
    texture[5] = dice.one_of((0.0, 0.06, 0.35), (6, 3, 1))
    return Cloth(texture, metres, (dice.between(0, 1), dice.between(0, 1)))


@functools.cache
def _folds() -> list[tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """(bumps [2, TILE, TILE], depth) of each tile of folds, unrotated and rotated by a right angle."""
    return [tuple((_bumps(x), np.tanh(x - 0.5)) for x in (fold, fold.T)) for fold in tiles()["fold"]]


@functools.cache
def _weave_bumps() -> np.ndarray:
    return _bumps(tiles()["grain"][-1])


def _bumps(tile: np.ndarray) -> np.ndarray:
    along_x, along_y = slope(tile)
    return np.stack((along_x, -along_y))


def _tint(dice: Dice) -> np.ndarray:
    return draw_color(dice)[:, None, None].astype(np.float32)


def _plain(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    return base


def _stripes(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    count = max(2, round(metres / dice.ratio(0.012, 0.12)))
    wave = np.sin(2 * np.pi * count * np.arange(TILE) / TILE) - dice.between(-0.7, 0.7)
    band = np.clip(wave * 4 + 0.5, 0, 1).astype(np.float32)
    band = np.broadcast_to(band[:, None] if dice.happens(0.6) else band[None], (TILE, TILE))
    return base + band * (_tint(dice) - base)


def _plaid(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    for _ in range(dice.whole(2, 3)):
        count = max(2, round(metres / dice.ratio(0.03, 0.15)))
        wave = np.clip(
            (np.sin(2 * np.pi * (count * np.arange(TILE) / TILE + dice.between(0, 1))) - dice.between(0, 0.8)) * 4, 0, 1
        ).astype(np.float32)
        color = _tint(dice)
        for band in (wave[None, :, None], wave[None, None, :]):
            base = base + np.float32(0.45) * band * (color - base)
    return base


def _blotches(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    """Camouflage, batik, flowers."""
    cloud = tiles()["cloud"]
    for _ in range(dice.whole(1, 3)):
        mask = np.clip((dice.one_of(cloud[:2]) - dice.between(0.3, 1.2)) * dice.ratio(2, 12), 0, 1)
        mask = np.roll(mask, (dice.whole(0, TILE), dice.whole(0, TILE)), (0, 1))
        base = base + mask * (_tint(dice) - base)
    return base


def _dots(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    count = max(3, round(metres / dice.ratio(0.02, 0.08)))
    wave = np.cos(2 * np.pi * count * np.arange(TILE) / TILE)
    mask = np.clip((wave[:, None] + wave[None] - dice.between(0.6, 1.4)) * 6, 0, 1).astype(np.float32)
    return base + mask * (_tint(dice) - base)


def _mottled(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    """Heather, denim, tweed."""
    grain = dice.one_of(tiles()["grain"], (1, 2, 5))
    return base * (1 + dice.between(0.06, 0.2) * grain)


def _knit(dice: Dice, base: np.ndarray, metres: float) -> np.ndarray:
    count = max(8, round(metres / dice.between(0.008, 0.02)))
    rib = np.sin(2 * np.pi * count * np.arange(TILE) / TILE)
    rib = np.broadcast_to(rib[None] if dice.happens(0.7) else rib[:, None], (TILE, TILE))
    return base * (1 + 0.12 * rib).astype(np.float32)


_PATTERNS: dict[str, tuple[float, Callable]] = {
    "plain": (8, _plain),
    "stripes": (2, _stripes),
    "plaid": (1.3, _plaid),
    "blotches": (1.3, _blotches),
    "dots": (0.6, _dots),
    "mottled": (2, _mottled),
    "knit": (1.3, _knit),
}


def flat(color: np.ndarray, gloss: float = 0.0) -> Material:
    """A material of one colour [3]."""

    def look(patch: Patch) -> Look:
        return Look(patch.place.new_tensor(color).view(3, 1, 1), None, gloss)

    return look
