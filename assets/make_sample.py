"""Makes sample.mp4, the clip of `rvm-studio demo`: a public-domain portrait set in motion before a moving background.

    python assets/make_sample.py PORTRAIT [--weights PATH] [--alpha FILE] [-o assets/sample.mp4]

PORTRAIT is NASA's photograph of Eileen Collins (public domain), 512x512. The network cuts her out of it; head and
shoulders then sway over lights that drift and change colour from dusk to night. --alpha also writes the true alpha.
"""

# C channels, H, W; premultiplied foreground throughout, so that warping leaves no fringe

import argparse
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rvm_studio.core import (
    ColorTags,
    FrameWriter,
    PictureSpec,
    Session,
    find_weights,
    load_network,
    pictures_from_frames,
    quantise,
)
from torch import Tensor

HEIGHT, WIDTH, FRAME_RATE, FRAMES = 360, 640, 24, 96
CHEST = 335 / 512  # below this part of the portrait she holds a helmet, which no matte is sure about
BT709 = ColorTags(matrix=1, range=1, primaries=1, transfer=1)


def cut_out(portrait: Path, weights: Path) -> tuple[Tensor, Tensor]:
    """Premultiplied foreground [1, 3, 512, 512] and alpha [1, 1, 512, 512] of the portrait."""
    picture = np.array(Image.open(portrait).convert("RGB"))
    session = Session(load_network(weights), device="cpu", warm_up=10, downsample_ratio=1.0)
    fgr, pha = session.matte([picture])
    pha = ((pha - 0.02) / 0.96).clamp(0, 1)
    return fgr * pha, pha


def background(t: float) -> Tensor:
    """[1, 3, H, W] at t in 0..1: a sky from dusk to night, two depths of drifting lights out of focus."""
    y, x = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, WIDTH / HEIGHT, WIDTH), indexing="ij")
    dusk = torch.tensor([[0.98, 0.62, 0.42], [0.36, 0.27, 0.52]])
    night = torch.tensor([[0.20, 0.42, 0.58], [0.04, 0.07, 0.20]])
    low, high = torch.lerp(dusk, night, t)
    sky = torch.lerp(high.view(3, 1, 1), low.view(3, 1, 1), y)
    rng = np.random.default_rng(7)
    for depth, count in ((1.0, 14), (2.2, 9)):
        for _ in range(count):
            color = torch.tensor(rng.uniform([0.7, 0.45, 0.2], [1.0, 0.85, 0.75]), dtype=torch.float32).view(3, 1, 1)
            center_x = (rng.uniform(0, 2.2) - 0.35 * depth * t) % 2.2 - 0.2
            center_y = rng.uniform(0.35, 1.0) + 0.02 * math.sin(6 * t + rng.uniform(0, 6))
            radius, brightness = rng.uniform(0.02, 0.035) * depth, rng.uniform(0.15, 0.4) * (0.5 + t)
            distance = ((x - center_x) ** 2 + (y - center_y) ** 2).sqrt()
            disc = torch.sigmoid((radius - distance) / 0.004)
            sky = torch.lerp(sky, color.expand_as(sky), disc * min(brightness, 0.8))
    return sky[None].clamp(0, 1)


def pose(t: float) -> tuple[float, float, float, float]:
    """(angle in radians, scale of the 512-pixel portrait, x and y of its head in pixels) at t in 0..1."""
    turn = 2 * math.pi * t
    angle = math.radians(3.0) * math.sin(turn)
    scale = 1.22 * (1 + 0.04 * math.sin(2 * turn))
    return angle, scale, WIDTH / 2 + 70 * math.sin(turn), 145 + 8 * math.sin(2 * turn + 1)


def warp(picture: Tensor, t: float) -> Tensor:
    """The portrait [1, C, 512, 512], chest and above, at its pose -> [1, C, H, W]."""
    angle, scale, head_x, head_y = pose(t)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5 - head_y, torch.arange(WIDTH) + 0.5 - head_x, indexing="ij")
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    source_x = (cos * x + sin * y + 228) / 256 - 1  # the head is at (228, 105) of 512
    source_y = (-sin * x + cos * y + 105) / 256 - 1
    grid = torch.stack([source_x, source_y], -1)[None]
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="zeros", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--alpha", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("sample.mp4"))
    arguments = parser.parse_args()
    fgr, pha = cut_out(arguments.portrait, find_weights(path=arguments.weights))
    rate = Fraction(FRAME_RATE)
    spec = PictureSpec(height=HEIGHT, width=WIDTH, frame_rate=rate, time_base=1 / rate, tags=BT709)
    writer = FrameWriter(arguments.output, spec, content="rgb", quality=22, overwrite=True)
    alpha = arguments.alpha and FrameWriter(arguments.alpha, spec, content="gray", overwrite=True)
    for index in range(FRAMES):
        t = index / FRAMES
        moved_pha = warp(pha, t).clamp(0, 1)
        frame = warp(fgr, t) + background(t) * (1 - moved_pha)
        writer.write(pictures_from_frames(quantise(frame, torch.uint8))[0], index, index)
        if alpha:
            alpha.write(pictures_from_frames(quantise(moved_pha, torch.uint8))[0], index, index)
    for finished in filter(None, (writer, alpha)):
        print(finished.finish())


if __name__ == "__main__":
    main()
