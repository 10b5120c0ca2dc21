"""A clip: persons, light, camera and place, determined by an address and rendered at any size."""

# T frames, N moments: PARTS per frame, n of them at once, C channels, H, W

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....core import gaussian_blur
from .backdrop import draw_plate
from .figure import Figure, draw_figure
from .hair import splat
from .lighting import Light, draw_light, shade
from .randomness import Dice
from .surfaces import Canvas, Placed, Surface, View, Window, place
from .things import draw_thing

PARTS = 4  # moments while the shutter is open; their mean gives motion blur
FRAME_RATE = 25.0
_PLATE = 1.5  # size of the background relative to the picture
_PLATE_LIMIT = 1600  # maximum pixels of its longer side; for a larger picture it is scaled up, and slightly blurred
_PIXELS_AT_ONCE = {"cpu": 2**17, "cuda": 2**24}
_FRAMINGS = {"face": 0.8, "portrait": 4.5, "waist": 3.0, "knees": 1.2, "full": 1.4, "distant": 0.3}


class RenderedClip(NamedTuple):
    """Float 0..1."""

    fgr: Tensor  # [T, 3, H, W], straight; extends beyond the outline
    pha: Tensor  # [T, 1, H, W]
    bgr: Tensor  # [T, 3, H, W]


@dataclass(frozen=True)
class Scene:
    figures: tuple[Figure, ...]
    things: tuple[Surface, ...]  # objects that move behind the persons
    light: Light
    things_light: Light
    view: View  # its scale is for a picture of height 1
    backdrop: tuple[int, ...]  # address of the backdrop
    plate_maps: np.ndarray  # [T, 2, 3] from the picture's square -1..1 to the plate's square
    flicker: np.ndarray  # [T] of the background
    shutter: float  # seconds
    softness: float  # standard deviation of the lens blur, relative to the picture's height
    frames: int
    aspect: float


def draw_scene(
    address: tuple[int, ...], frames: int, aspect: float = 1.0, speed: float = 1.0, persons: int | None = None
) -> Scene:
    """A random scene of `frames` frames. aspect: width / height. speed: of time; negative is backwards."""
    dice = Dice(*address, 0)
    shutter = dice.ratio(0.05, 0.7) / FRAME_RATE
    starts = np.arange(frames) * (speed / FRAME_RATE) + dice.between(0, 10)
    seconds = (starts[:, None] + (np.arange(PARTS) + 0.5) / PARTS * shutter).ravel()
    framing = dice.one_of(tuple(_FRAMINGS), tuple(_FRAMINGS.values()))
    close = framing not in ("full", "distant")
    number = dice.one_of((1, 2, 3), (10, 2.2, 0.8)) if persons is None else persons
    figures = []
    for which in range(number):
        own = Dice(*address, 1, which)
        place = (0.0, 0.0, 0.0)
        if which:
            side = 1 if which == 1 else -1
            place = (side * own.between(0.35, 0.75), own.between(-0.12, 0.12), own.between(-0.7, 0.25))
        figures.append(draw_figure(own, seconds, close, place))
    view = _draw_view(dice, framing, figures, seconds, aspect)
    things: list[Surface] = []
    if dice.happens(0.3):
        for _ in range(dice.whole(1, 3)):
            things += _moving_thing(Dice(*address, 2, len(things)), view, seconds, aspect)
    light = draw_light(dice, seconds)
    flicker = light.flicker.reshape(frames, PARTS).mean(1) if dice.happens(0.7) else np.ones(frames)
    return Scene(
        tuple(figures),
        tuple(things),
        light,
        draw_light(dice, seconds),
        view,
        (*address, 3),
        _plate_maps(dice, view, starts, frames),
        flicker,
        shutter,
        dice.ratio(0.0005, 0.0022) if dice.happens(0.75) else 0.0,
        frames,
        aspect,
    )


def _draw_view(dice: Dice, framing: str, figures: list[Figure], seconds: np.ndarray, aspect: float) -> View:
    if figures:
        body, build = figures[0].body, figures[0].build
        head, pelvis, size = body.head.origin, body.pelvis.origin, build.height / 1.71
    else:
        head, pelvis, size = np.tile([0.0, 0.6, 0.0], (len(seconds), 1)), np.zeros((len(seconds), 3)), 1.0
    tall, focus = {
        "face": (dice.between(0.34, 0.5), head + np.array([0, dice.between(-0.06, 0.02), 0])),
        "portrait": (dice.ratio(0.5, 0.95), head + np.array([0, -dice.between(0.06, 0.24), 0])),
        "waist": (dice.between(0.85, 1.3), head * 0.65 + pelvis * 0.35),
        "knees": (dice.between(1.2, 1.7), head * 0.4 + pelvis * 0.6 + [0, -0.1, 0]),
        "full": (dice.between(1.9, 2.7), head * 0.1 + pelvis * 0.9 + [0, -0.06, 0]),
        "distant": (dice.between(2.6, 4.5), pelvis),
    }[framing]
    tall *= size / min(1.0, aspect**0.5)
    mean = focus.mean(0)
    follow = dice.one_of((0.0, 0.5, 0.95))
    centre = mean + follow * (focus - mean)
    centre = centre[:, :2] + tall * np.array([dice.around(0, 0.11) * aspect, dice.around(0, 0.04)])
    shaky = dice.one_of((0.0, 0.004, 0.012), (3, 3, 1)) * tall
    for axis in (0, 1):
        for _ in range(2):
            centre[:, axis] += shaky * np.sin(2 * np.pi * (dice.ratio(0.3, 3) * seconds + dice.between(0, 1)))
    zoom = np.ones_like(seconds)
    if dice.happens(0.2):
        zoom = np.exp(dice.between(-0.08, 0.08) * (seconds - seconds.mean()))
    roll = np.deg2rad(dice.around(0, 2.5)) + np.deg2rad(0.4 if shaky else 0) * np.sin(
        2 * np.pi * dice.ratio(0.3, 2) * seconds
    )
    return View(centre, zoom / tall, roll, dice.ratio(1.0, 4.0) * max(1.0, tall))


def _moving_thing(dice: Dice, view: View, seconds: np.ndarray, aspect: float) -> list[Surface]:
    tall = 1 / view.scale.mean()
    centre = view.centre.mean(0)
    since = seconds - seconds.mean()
    speed = dice.ratio(0.02, 0.8) * tall * dice.side()
    x = centre[0] + dice.between(-0.5, 0.5) * tall * aspect + speed * since
    y = (
        centre[1]
        + dice.between(-0.4, 0.3) * tall
        + 0.04 * tall * dice.between(-1, 1) * np.sin(2 * np.pi * dice.ratio(0.2, 2) * since)
    )
    return draw_thing(dice, np.stack((x, y, np.full_like(x, -1.0)), 1), dice.ratio(0.4, 1.2) * tall)


def _plate_maps(dice: Dice, view: View, starts: np.ndarray, frames: int) -> np.ndarray:
    """The background follows the camera, less so if it is far away, and may have its own motion."""
    moved = view.centre.reshape(frames, PARTS, 2).mean(1)
    scale = view.scale.reshape(frames, PARTS).mean(1)
    roll = view.roll.reshape(frames, PARTS).mean(1)
    far = dice.between(0.2, 0.8)
    shift = (moved - moved.mean(0)) * scale[:, None] * 2 * far
    since = starts - starts.mean()
    if dice.happens(0.25):
        shift[:, 0] += dice.between(-0.15, 0.15) * since
    limit = (_PLATE - 1) * 0.8
    shift = np.tanh(shift / limit) * limit
    zoom = (scale / scale.mean()) ** -far
    cos, sin = np.cos(roll - roll.mean()) * zoom, np.sin(roll - roll.mean()) * zoom
    rows = np.stack((np.stack((cos, sin, shift[:, 0]), -1), np.stack((-sin, cos, -shift[:, 1]), -1)), 1)
    return rows / _PLATE


def render(scene: Scene, height: int, width: int, device: torch.device | str = "cpu") -> RenderedClip:
    """Renders the scene at H x W. width / height should be the scene's aspect."""
    device = torch.device(device)
    view = View(scene.view.centre, scene.view.scale * height, scene.view.roll, scene.view.distance)
    figures = [_Placed(figure, [place(s, view, device) for s in figure.surfaces]) for figure in scene.figures]
    figures.sort(key=lambda placed: float(placed.figure.body.chest.origin[:, 2].mean()))
    things = [place(surface, view, device) for surface in scene.things]
    enlarged = min(_PLATE, _PLATE_LIMIT / max(height, width))
    plate = draw_plate(Dice(*scene.backdrop), round(height * enlarged), round(width * enlarged), device)
    fgr = torch.empty(scene.frames, 3, height, width, device=device)
    pha, bgr = torch.empty(scene.frames, 1, height, width, device=device), torch.empty_like(fgr)
    for frames, parts in _batches(scene, view, _PIXELS_AT_ONCE.get(device.type, 2**24) // (height * width)):
        moments = (frames[:, None] * PARTS + parts).ravel()
        colors, cover = _persons(scene, figures, view, moments, (height, width), device)
        if len(parts) > 1:
            colors, cover = (x.unflatten(0, (len(frames), -1)).mean(1) for x in (colors, cover))
        colors, cover = (gaussian_blur(x, scene.softness * height) for x in (colors, cover))
        now = slice(int(frames[0]), int(frames[-1]) + 1)
        fgr[now], pha[now] = _spread(colors, cover), cover
        bgr[now] = _place(scene, things, plate, frames, (height, width), device)
    return RenderedClip(fgr, pha, bgr)


class _Placed(NamedTuple):
    figure: Figure
    surfaces: list[Placed]


def _batches(scene: Scene, view: View, at_once: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(frames, parts of the shutter time) to be rendered together, at most about `at_once` moments.

    There are enough parts that nothing moves by more than about two pixels between them."""
    fastest = np.zeros(scene.frames)
    for figure in scene.figures:
        for point in (figure.body.head.origin, *(limb.end for limb in (*figure.body.arms, *figure.body.legs))):
            flat = view.project(point)[0][:, :2] * view.scale[:, None]
            step = np.linalg.norm(np.diff(flat.reshape(-1, PARTS, 2), axis=1), axis=2).sum(1)
            fastest = np.maximum(fastest, step)
    needs = np.where(fastest < 2.0, 1, np.where(fastest < 4.5, 2, PARTS))
    start = 0
    while start < scene.frames:
        need = needs[start]
        stop = start + 1
        while stop < scene.frames and needs[stop] == need and (stop - start + 1) * need <= at_once:
            stop += 1
        yield np.arange(start, stop), {1: np.array([1]), 2: np.array([0, 2])}.get(int(need), np.arange(PARTS))
        start = stop


def _persons(
    scene: Scene, figures: list[_Placed], view: View, moments: np.ndarray, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(colours times coverage [n, 3, H, W], coverage [n, 1, H, W]) of all persons, drawn from the farthest on."""
    n = len(moments)
    colors, cover = torch.zeros(n, 3, *size, device=device), torch.zeros(n, 1, *size, device=device)
    scale = float(view.scale.mean())
    brightness = scene.light.sky * 0.75 + scene.light.key * 0.45 + scene.light.fill * 0.2
    for figure, surfaces in figures:
        hair = colors.new_tensor(figure.hair.color * brightness).view(3, 1, 1)
        strands = [(s.behind, splat(s, view, moments, size, device)) for s in figure.hair.strands]
        for layer in (layer for behind, layer in strands if behind and layer):
            _over(colors, cover, layer.window, (hair * layer.bright).clamp_(0, 1), layer.mass)
        window = functools.reduce(Window.around, (s.window(moments, size) for s in surfaces))
        if window.empty:
            continue
        canvas = Canvas(n, window, size, device)
        for surface in surfaces:
            canvas.draw(surface, moments)
        lit = shade(canvas, scene.light, moments, max(2.0, 0.035 * scale))
        _over(colors, cover, window, lit, canvas.cover)
        for layer in (layer for behind, layer in strands if not behind and layer):
            _over(colors, cover, layer.window, (hair * layer.bright).clamp_(0, 1), layer.mass)
    return colors, cover


def _over(colors: Tensor, cover: Tensor, window: Window, tint: Tensor, mass: Tensor) -> None:
    """Composites a layer of colours `tint` and coverage `mass` over a part of the picture, in place."""
    part = (..., slice(window.top, window.bottom), slice(window.left, window.right))
    colors[part].lerp_(tint, mass)
    cover[part].lerp_(torch.ones_like(mass), mass)


def _spread(colors: Tensor, cover: Tensor) -> Tensor:
    """Colours times coverage -> straight colours that extend beyond the outline, as far as needed."""
    levels = [(colors, cover)]
    while max(levels[-1][0].shape[-2:]) > 1:
        color, weight = (F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in levels[-1])
        levels.append((color, weight))
    filled = None
    for color, weight in reversed(levels):
        own = color / weight.clamp(min=1e-4)
        if filled is None:
            filled = own
            continue
        wide = F.interpolate(filled, color.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.lerp(wide, own, (weight * 20).clamp(0, 1))
    assert filled is not None
    return filled.clamp(0, 1)


def _place(
    scene: Scene, things: list[Placed], plate: Tensor, frames: np.ndarray, size: tuple[int, int], device: torch.device
) -> Tensor:
    """[n, 3, H, W]: the background of these frames, including moving objects."""
    n = len(frames)
    maps = torch.as_tensor(scene.plate_maps[frames], dtype=torch.float32, device=device)
    # -1..1 spans the longer side of a wide picture, too, which only affects the rotation
    grid = F.affine_grid(maps, [n, 3, *size], align_corners=False)
    bgr = F.grid_sample(plate.expand(n, -1, -1, -1), grid, "bilinear", "reflection", align_corners=False)
    if things:
        moments = frames * PARTS + 1
        window = functools.reduce(Window.around, (s.window(moments, size) for s in things))
        if not window.empty:
            canvas = Canvas(n, window, size, device)
            for surface in things:
                canvas.draw(surface, moments)
            lit = shade(canvas, scene.things_light, moments, 0.02 * size[0])
            bgr[:, :, window.top : window.bottom, window.left : window.right].lerp_(lit, canvas.cover)
    flicker = bgr.new_tensor(scene.flicker[frames]).view(-1, 1, 1, 1)
    return bgr.mul_(flicker).clamp_(0, 1)
