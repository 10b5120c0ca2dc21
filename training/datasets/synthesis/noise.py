"""Tiles of smooth random texture, made once per process, and looking them up."""

# K tiles, n pictures, C channels, h, w

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .randomness import generator

TILE = 256  # pixels
_SEED = 20210825  # the tiles are always the same


@functools.cache
def tiles() -> dict[str, np.ndarray]:
    """Name -> [K, TILE, TILE] float32 tiles that wrap around, with mean 0 and standard deviation 1.

    "cloud": large structures; "grain": fine structures; "streak": long along y; "fold": ridges, mostly along y.
    """
    rng = generator(_SEED)
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.fftfreq(TILE) * TILE, indexing="ij")

    def shaped(strength: np.ndarray) -> np.ndarray:
        strength[0, 0] = 0
        white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
        tile = np.fft.ifft2(white * strength).real
        return (tile - tile.mean()) / tile.std()

    round_ = np.hypot(fx, fy) + 1e-9
    cloud = [shaped(round_**-beta * (round_ < 90)) for beta in (1.3, 1.5, 1.7, 1.9)]
    grain = [shaped(np.exp(-((round_ - centre) ** 2) / (2 * (0.4 * centre) ** 2))) for centre in (30, 60, 100)]
    streak = [
        shaped(1 / (1 + (fx / 12) ** 2) ** 0.35 / (1 + (fy / width) ** 2) * (np.abs(fx) > 2)) for width in (2, 4, 8)
    ]
    fold = []
    for stretch in (1.6, 2.5, 4.0):
        soft = shaped(np.hypot(fx, fy * stretch + 1e-9) ** -1.9 * (round_ > 1.5) * (round_ < 24))
        ridge = 1 - np.abs(np.tanh(soft))
        fold.append((ridge - ridge.mean()) / ridge.std())
    named = {"cloud": cloud, "grain": grain, "streak": streak, "fold": fold}
    return {name: np.stack(group).astype(np.float32) for name, group in named.items()}


@functools.cache
def tile_tensors(device: torch.device) -> dict[str, Tensor]:
    """The tiles as [K, TILE, TILE] tensors on the device."""
    return {name: torch.from_numpy(group).to(device) for name, group in tiles().items()}


def look_up(texture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """texture [C, h', w'] sampled at u, v [n, h, w], in tiles, which repeat mirrored: [n, C, h, w]."""
    grid = torch.stack((u, v), -1) * 2
    n = grid.shape[0]
    # all n pictures use the same texture, so they are sampled as one tall picture
    found = F.grid_sample(texture[None], grid.flatten(0, 1)[None], "bilinear", "reflection", align_corners=False)
    return found[0].unflatten(1, (n, -1)).transpose(0, 1)


def slope(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gradient along x, gradient along y) of a tile that wraps around, per pixel."""
    return (np.roll(tile, -1, 1) - np.roll(tile, 1, 1)) / 2, (np.roll(tile, -1, 0) - np.roll(tile, 1, 0)) / 2
