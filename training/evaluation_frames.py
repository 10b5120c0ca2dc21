"""The frames of a test clip: a filmed person or a moved picture over a background, or a rendered scene."""

# T frames, H, W size of the clips, h, w size of what is read

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import (
    StudioError,
    cover,
    frames_from_pictures,
    is_picture,
    open_reader,
    quantise,
    refuse_cut_picture,
    to_float,
)
from .augmentation import draw_pose, ease, pose_matrix, sample
from .datasets.pictures import PICTURES, find
from .datasets.synthesis.backdrop import draw_plate
from .datasets.synthesis.randomness import Dice
from .datasets.synthesis.scene import draw_scene, render
from .recipe import IMAGE_AUGMENTATION
from .stage_data import mixed_seed

_ZOOM = 1.2  # of a moving background, so that less of the area beyond its edges is visible
_SCENE_BYTES = 40  # of memory per pixel and frame; a scene is rendered as a whole
_MOST_BYTES = 6 * 2**30


@dataclass(frozen=True)
class Person:
    """A clip or (still) a picture. fgr, pha: the pictures in order, or one video each."""

    dataset: str
    name: str
    fgr: tuple[Path, ...] | Path
    pha: tuple[Path, ...] | Path
    still: bool = False


class Behind(NamedTuple):
    """A background: a picture, a video (a file or a folder of frames) or, if path is None, a rendered place."""

    path: Path | None
    moves: bool


class Frame(NamedTuple):
    """fgr, bgr [1, 3, H, W] and pha [1, 1, H, W], float 0..1."""

    fgr: Tensor
    pha: Tensor
    bgr: Tensor


def over_background(
    person: Person, behind: Behind, address: tuple[int, ...], frames: int, size: tuple[int, int]
) -> Iterator[Frame]:
    """At most `frames` frames of size (W, H), fewer if the clip is shorter. A person in a picture moves, and so does a
    picture behind it; behind a filmed person, a background picture stands still. address: numbers that determine all
    random choices.

    Raises StudioError for files that are damaged or do not fit together.
    """
    persons = _moved_picture if person.still else _filmed
    backgrounds = _background(behind, address, frames, size, moving=person.still)
    for (fgr, pha), bgr in zip(persons(person, address, frames, size), backgrounds, strict=False):
        yield Frame(fgr, pha, bgr)


def scene(address: tuple[int, ...], frames: int, size: tuple[int, int]) -> Iterator[Frame]:
    """A synthetic scene, made without files. Raises StudioError if it would take too much memory."""
    W, H = size  # noqa: N806
    needs = frames * W * H * _SCENE_BYTES
    if needs > _MOST_BYTES:
        raise StudioError(
            f"{frames} synthetic frames of {W}x{H} would take {needs / 2**30:.0f} GB of memory. Use at most "
            f"{_MOST_BYTES // (W * H * _SCENE_BYTES)} frames (--frames) or a smaller --size."
        )
    clip = render(draw_scene(address, frames, aspect=W / H), H, W)
    for layers in zip(*(layer.split(1) for layer in clip), strict=True):
        yield Frame(*layers)


def _filmed(
    person: Person, _address: tuple[int, ...], frames: int, size: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The clip's first frames, at the speed at which they were filmed."""
    with closing(_read(person.fgr)) as fgrs, closing(_read(person.pha)) as phas:
        for fgr, pha in islice(zip(fgrs, phas, strict=False), frames):
            yield _placed(person, fgr, pha[:, :1], size)


def _moved_picture(
    person: Person, address: tuple[int, ...], frames: int, size: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The picture, moving from one random pose to another."""
    with closing(_read(person.fgr)) as fgrs, closing(_read(person.pha)) as phas:
        fgr, pha = _placed(person, next(fgrs), next(phas)[:, :1], size)
    both = torch.cat((fgr, pha), 1)
    for motion in _motion(address, 1, frames):
        moved = _seen(both, motion, "zeros").clamp_(0, 1)
        yield moved[:, :3], moved[:, 3:]


def _background(
    behind: Behind, address: tuple[int, ...], frames: int, size: tuple[int, int], moving: bool
) -> Iterator[Tensor]:
    """[1, 3, H, W] for every frame. A video that is too short plays forwards and backwards, which adds no cut. moving:
    whether a picture moves."""
    W, H = size  # noqa: N806
    if behind.moves:
        assert behind.path is not None
        yield from _to_and_fro(behind.path, frames, size)
        return
    if behind.path is None:
        bgr = draw_plate(Dice(*address, 2), H, W, torch.device("cpu"))[None]
    else:
        with closing(_read((behind.path,))) as pictures:
            bgr = cover(next(pictures), H, W)
    if not moving:
        yield from (bgr for _ in range(frames))
        return
    zoom = pose_matrix(torch.tensor([0.0, 0.0, 0.0, 0.0, math.log(_ZOOM), 0.0]))
    for motion in _motion(address, 3, frames):
        yield _seen(bgr, motion @ zoom, "reflection").clamp_(0, 1)


def _to_and_fro(path: Path, frames: int, size: tuple[int, int]) -> Iterator[Tensor]:
    W, H = size  # noqa: N806
    kept: list[Tensor] = []  # in 8 bits
    with closing(_read(tuple(find(path, PICTURES)) if path.is_dir() else path)) as pictures:
        for picture in islice(pictures, frames):
            kept.append(quantise(cover(picture, H, W), torch.uint8))
    period = max(1, 2 * (len(kept) - 1))
    for t in range(frames):
        yield to_float(kept[min(t % period, period - t % period)])


def _motion(address: tuple[int, ...], purpose: int, frames: int) -> Tensor:
    """[T, 3, 3]: a motion from one random pose to another, as in the augmentation for training."""
    generator = torch.Generator().manual_seed(mixed_seed(*address, purpose))
    start, end = (draw_pose(IMAGE_AUGMENTATION.motion, generator) for _ in range(2))
    return pose_matrix(torch.lerp(start, end, ease(frames, generator)[:, None]))


def _seen(picture: Tensor, motion: Tensor, padding: str) -> Tensor:
    """picture [1, C, H, W] moved by a matrix [3, 3] that applies to the square around it. Unlike in the augmentation,
    the picture is not stretched to that square."""
    H, W = picture.shape[-2:]  # noqa: N806
    stretch = torch.diag(torch.tensor([max(H, W) / W, max(H, W) / H, 1.0]))
    return sample(picture[None], (stretch @ torch.linalg.inv(motion))[None, None], (H, W), padding)[0]


def _placed(person: Person, fgr: Tensor, pha: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The whole person, as large as fits into the frame, centred at its bottom edge, where persons are cut off."""
    W, H = size  # noqa: N806
    h, w = pha.shape[-2:]
    if fgr.shape[-2:] != pha.shape[-2:]:
        raise StudioError(f"{person.name}: fgr is {fgr.shape[3]}x{fgr.shape[2]}, pha {w}x{h}. Expected one size.")
    scale = min(H / h, W / w)
    high, wide = max(1, min(H, round(h * scale))), max(1, min(W, round(w * scale)))
    both = torch.cat((fgr, pha), 1)
    if (high, wide) != (h, w):
        both = F.interpolate(both, (high, wide), mode="bilinear", antialias=True).clamp_(0, 1)
    left = (W - wide) // 2
    both = F.pad(both, (left, W - wide - left, H - high, 0))
    return both[:, :3], both[:, 3:]


def _read(source: tuple[Path, ...] | Path) -> Generator[Tensor, None, None]:
    """[1, 3, h, w] float for every frame. Raises StudioError if one is damaged."""
    for path in source if isinstance(source, tuple) else (source,):
        if is_picture(path):
            refuse_cut_picture(path)
        with open_reader(path) as reader:
            for frame in reader:
                if reader.damage:
                    break
                yield to_float(frames_from_pictures([frame.image]))
            if reader.damage:
                raise StudioError(f"{path} is damaged: {reader.damage[0]}.")
