"""A clip whose every frame carries its number: as bits in a strip at the top, and as the place of a block below.

The matte of frame n is the strip and its block, sharp. A frame drawn with its own matte shows strip and block whole,
and nothing of the room (blue) around them; one drawn with another's shows room where its block was.
"""

import subprocess
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 320, 180
BITS = 10
CELL = 8  # pixels on a side
ROOM, BLOCK, ON, OFF = (0, 60, 255), (255, 255, 255), (255, 220, 0), (120, 0, 0)


def block_at(number: int) -> tuple[int, int]:
    """The left upper corner of the block, which jumps by more than its size with every frame."""
    columns, rows = WIDTH // (4 * CELL), (HEIGHT - CELL) // (4 * CELL)
    place = number * 7 % (columns * rows)
    return place % columns * 4 * CELL, CELL + place // columns * 4 * CELL


def picture(number: int) -> np.ndarray:
    """[H, W, 3] uint8"""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:] = ROOM
    pixels[:CELL] = OFF
    for bit in range(BITS):
        if number >> bit & 1:
            pixels[:CELL, bit * CELL : (bit + 1) * CELL] = ON
    x, y = block_at(number)
    pixels[y : y + 3 * CELL, x : x + 3 * CELL] = BLOCK
    return pixels


def matte(number: int) -> np.ndarray:
    """[H, W] uint8"""
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:CELL] = 255
    x, y = block_at(number)
    alpha[y : y + 3 * CELL, x : x + 3 * CELL] = 255
    return alpha


def number_of(pixels: np.ndarray) -> int:
    """The number in the strip of a picture [H, W, 3 or more], of which nothing else needs to be right."""
    cells = pixels[CELL // 2, CELL // 2 : BITS * CELL : CELL, 1]
    return sum(1 << bit for bit, green in enumerate(cells) if green > 110)


def write(path: Path, frames: int, rate: int = 30) -> Path:
    """Lossless (RGB in FFV1): the pictures come out of OBS as they went in."""
    command = ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
    command += ["-r", str(rate), "-i", "-", "-c:v", "ffv1", "-pix_fmt", "bgr0", str(path)]
    pictures = b"".join(picture(number).tobytes() for number in range(frames))
    subprocess.run(command, input=pictures, check=True)
    return path
