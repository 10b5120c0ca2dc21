"""Light on a canvas: ambient light from above and below, two lamps, gloss, and darker hollows."""

# n, C channels, H, W

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .randomness import Dice
from .surfaces import Canvas, Window


@dataclass(frozen=True)
class Light:
    """Colours [3]: what a white surface reflects. Directions [3]: towards the lamp."""

    sky: np.ndarray
    ground: np.ndarray
    key: np.ndarray
    key_from: np.ndarray
    fill: np.ndarray
    fill_from: np.ndarray
    wrap: float  # 0 hard .. 1 soft
    flatness: float  # how far normals are turned towards the camera, so that outlines of round objects are not dark
    flicker: np.ndarray  # [N] brightness over time


def draw_light(dice: Dice, seconds: np.ndarray) -> Light:
    warmth = dice.around(0, 0.09)

    def tinted(level: float, extra: float = 0.0) -> np.ndarray:
        tint = warmth + extra
        return level * np.array([1 + tint, 1.0, 1 - tint])

    def direction(azimuth: float, elevation: float) -> np.ndarray:
        a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
        return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])

    hard = dice.between(0, 1)
    side = dice.side()
    exposure = dice.ratio(0.78, 1.22)
    changes = np.ones_like(seconds)
    if dice.happens(0.12):  # clouds, screens, coloured lamps
        changes = 1 + dice.between(0.03, 0.2) * np.sin(2 * np.pi * (dice.ratio(0.2, 3) * seconds + dice.between(0, 1)))
    fill = tinted(dice.between(0.0, 0.45), dice.around(0, 0.2))
    if dice.happens(0.08):
        fill = dice.rng.uniform(0, 1, 3) * 0.8
    return Light(
        sky=exposure * tinted(0.62 - 0.25 * hard),
        ground=exposure * tinted(0.40 - 0.22 * hard, 0.05),
        key=exposure * tinted(0.42 + 0.45 * hard, dice.around(0, 0.05)),
        key_from=direction(side * dice.between(5, 75), dice.between(5, 60)),
        fill=exposure * fill,
        fill_from=direction(-side * dice.between(40, 150), dice.between(-10, 40)),
        wrap=dice.between(0.1, 0.6),
        flatness=dice.between(0.0, 0.7),
        flicker=changes,
    )


def shade(canvas: Canvas, light: Light, moments: np.ndarray, reach: float) -> Tensor:
    """Lit colours [n, 3, H, W] of the canvas, 0..1. reach: pixels over which nearby surfaces block light."""
    hollow = _hollows(canvas.values[:, 7:], canvas.cover, reach)
    lit = torch.empty_like(canvas.values[:, :3])
    height, width = lit.shape[-2:]
    for part in Window(0, height, 0, width).bands(len(moments), canvas.device):
        rows = slice(part.top, part.bottom)
        lit[:, :, rows] = _lit(canvas.values[:, :, rows], hollow[:, :, rows], light, moments)
    return lit


def _lit(values: Tensor, hollow: Tensor, light: Light, moments: np.ndarray) -> Tensor:
    albedo, normal, gloss = values[:, :3], values[:, 3:6], values[:, 6:7]
    half = light.key_from + np.array([0, 0, 1.0])
    half = half / np.linalg.norm(half)
    directions = albedo.new_tensor(np.stack((light.key_from, light.fill_from, half, [0, 1, 0])))
    normal = normal + normal.new_tensor([0, 0, light.flatness]).view(3, 1, 1)
    toward = (directions @ normal.flatten(2)).unflatten(2, normal.shape[2:])
    toward *= torch.rsqrt(normal.square().sum(1, keepdim=True).add_(1e-6))

    def color(numbers: np.ndarray) -> Tensor:
        return albedo.new_tensor(numbers).view(3, 1, 1)

    key = (toward[:, 0:1] + light.wrap).div_(1 + light.wrap).clamp_(min=0)
    fill = (toward[:, 1:2] + 0.3).div_(1.3).clamp_(min=0)
    received = torch.lerp(color((light.ground + light.sky) / 2), color(light.sky), toward[:, 3:]).mul_(1 - hollow)
    received.addcmul_(color(light.key), key.mul_(1 - 0.7 * hollow)).addcmul_(color(light.fill), fill)
    lit = received.mul_(albedo)
    shine = toward[:, 2:3].clamp_(min=0).pow_(24).mul_(gloss)
    lit.addcmul_(color(light.key * 1.2), shine)
    # highlights are compressed smoothly, as in a camera
    excess = (lit - 0.8).clamp_(min=0)
    lit = lit.clamp_(max=0.8).add_(excess.mul_(5).tanh_().mul_(0.2))
    changes = albedo.new_tensor(light.flicker[moments]).view(-1, 1, 1, 1)
    return lit.mul_(changes).clamp_(0, 1)


def _hollows(depth: Tensor, cover: Tensor, reach: float) -> Tensor:
    """[n, 1, H, W] 0..0.6: how far a pixel is behind its surroundings."""
    H, W = depth.shape[-2:]  # noqa: N806
    block = max(1, round(reach / 3))
    weight = F.avg_pool2d(cover, block, ceil_mode=True)
    low = F.avg_pool2d(depth * cover, block, ceil_mode=True) / (weight + 1e-4)
    for _ in range(2):
        total = F.avg_pool2d(weight, 3, 1, 1)
        low = F.avg_pool2d(low * weight, 3, 1, 1) / (total + 1e-4)
        weight = total
    around = F.interpolate(low, (H, W), mode="bilinear", align_corners=False)
    return ((around - depth) * 7 - 0.05).clamp_(0, 0.6)
