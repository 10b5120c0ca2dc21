"""Ellipsoids and round cones, seen straight on: coverage, depth, normals and positions on the surface, per pixel.

World coordinates: metres, x right, y up, z towards the camera. Surfaces are combined in a depth buffer with subpixel
coverage at the edges. Where two depths are close, it blends them, so that limbs join without a seam.
"""

# N moments of a clip, n of them at once, C channels, H, W size of the canvas, h, w size of a part of it

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

JOIN = 0.012  # metres of depth over which two surfaces blend
CACHED_PIXELS = 2**16  # processed at once
EDGE_REACH = 0.025  # metres by which an uneven edge may be outside the smooth one


@dataclass(frozen=True)
class View:
    """What the camera shows at each moment: the world point in the centre, and the scale."""

    centre: np.ndarray  # [N, 2] metres
    scale: np.ndarray  # [N] pixels per metre at z = 0
    roll: np.ndarray  # [N] radians, clockwise
    distance: float  # metres from the camera to z = 0

    def nearness(self, z: np.ndarray) -> np.ndarray:
        """How much larger objects at depth z appear."""
        return self.distance / np.maximum(self.distance - z, 0.3 * self.distance)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, ..., 3] -> (points in the picture plane [N, ..., 3] in metres from the centre, nearness)."""
        extra = (1,) * (points.ndim - 2)
        near = self.nearness(points[..., 2])
        x = (points[..., 0] - self.centre[:, 0].reshape(-1, *extra)) * near
        y = (points[..., 1] - self.centre[:, 1].reshape(-1, *extra)) * near
        cos, sin = (f(self.roll).reshape(-1, *extra) for f in (np.cos, np.sin))
        return np.stack((cos * x + sin * y, cos * y - sin * x, points[..., 2]), -1), near

    def turn(self, axes: np.ndarray) -> np.ndarray:
        """Rotation matrices [N, 3, 3] in world coordinates -> in picture coordinates."""
        cos, sin, zero = np.cos(self.roll), np.sin(self.roll), np.zeros_like(self.roll)
        rows = ((cos, sin, zero), (-sin, cos, zero), (zero, zero, zero + 1))
        return np.stack([np.stack(row, -1) for row in rows], -2) @ axes


class Patch(NamedTuple):
    """The part of the canvas that a surface covers, as the input for a material."""

    place: Tensor  # [n, 3, h, w] metres: x, y, z in the frame of the body part; on a cone: across, down along it, 0
    normal: Tensor  # [n, 3, h, w] in picture coordinates, length about 1
    pixel: float  # metres per pixel
    moments: np.ndarray  # [n] numbers of the clip's moments


class Look(NamedTuple):
    """The appearance that a material gives a patch."""

    albedo: Tensor  # [n, 3, h, w] or [3, 1, 1], share of the light that is reflected
    bump: Tensor | None = None  # [n, 2, h, w] added to the normal's x and y
    gloss: Tensor | float = 0.0  # [n, 1, h, w]
    cover: Tensor | None = None  # [n, 1, h, w] share of each pixel in which the surface exists


Material = Callable[[Patch], Look]
Edge = Callable[[Patch], Tensor]


@dataclass(frozen=True)
class Frame:
    """The coordinate frame of a body part: its origin [N, 3] and its axes as columns [N, 3, 3]."""

    origin: np.ndarray
    axes: np.ndarray

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """[N, 3]: world position of a point of the part."""
        return self.origin + self.axes @ np.array([x, y, z])


@dataclass(frozen=True)
class Ellipsoid:
    frame: Frame
    centre: tuple[float, float, float]  # in the frame
    radii: tuple[float, float, float]
    material: Material
    edge: Edge | None = None  # [n, h, w] metres by which the outline is moved inwards
    join: float = JOIN
    soft: float = 0.0  # metres over which the outline fades


@dataclass(frozen=True)
class Cone:
    """A stick with round ends."""

    start: np.ndarray  # [N, 3]
    end: np.ndarray
    radii: tuple[float, float]  # at the start, at the end
    material: Material
    edge: Edge | None = None
    depth: float = 1.0  # thickness towards the camera, relative to that across
    join: float = JOIN
    soft: float = 0.0


Surface = Ellipsoid | Cone


class Canvas:
    """Collects surfaces on a part of the picture: for every pixel the coverage, and the colour, normal, gloss and depth
    of what is visible."""

    def __init__(self, n: int, window: "Window", size: tuple[int, int], device: torch.device) -> None:
        """window: the rows and columns of the picture of (H, W) = size that the canvas has."""
        self.window, self.size, self.device = window, size, device
        height, width = window.bottom - window.top, window.right - window.left
        self.values = torch.zeros(n, 8, height, width, device=device)  # albedo 3, normal 3, gloss, depth
        self.cover = torch.zeros(n, 1, height, width, device=device)

    def draw(self, placed: "Placed", moments: np.ndarray) -> None:
        """Adds a surface in its state at these n moments of the clip."""
        for part in placed.window(moments, self.size).within(self.window).bands(len(moments), self.device):
            self._draw_part(placed, moments, part)

    def _draw_part(self, placed: "Placed", moments: np.ndarray, window: "Window") -> None:
        surface = placed.surface
        numbers = placed.numbers[:, torch.as_tensor(moments, device=self.device)][..., None, None].unbind(0)
        x, y = _coordinates(window, self.size, numbers[0], self.device)
        if isinstance(surface, Ellipsoid):
            patch, depth, distance = _ellipsoid_patch(surface, numbers[1:], x, y, moments, placed.pixel)
        else:
            patch, depth, distance = _cone_patch(surface, numbers[1:], x, y, moments, placed.pixel)
        if surface.edge is not None:
            distance = distance + surface.edge(patch)
        cover = (0.5 - distance / numbers[0].clamp(min=surface.soft)).clamp_(0, 1)[:, None]
        look = surface.material(patch)
        if look.cover is not None:
            cover = cover * look.cover
        values = torch.empty(len(moments), 8, *cover.shape[2:], device=self.device)
        values[:, :3] = look.albedo
        values[:, 3:6] = patch.normal
        if look.bump is not None:
            values[:, 3:5] += look.bump
        values[:, 6:7] = look.gloss
        values[:, 7:] = depth[:, None]
        rows = slice(window.top - self.window.top, window.bottom - self.window.top)
        columns = slice(window.left - self.window.left, window.right - self.window.left)
        there, before = self.values[:, :, rows, columns], self.cover[:, :, rows, columns]
        seen = cover * torch.sigmoid((values[:, 7:] - there[:, 7:]) * (2 / surface.join))
        seen = torch.where(before > 0, seen, cover)
        share = seen / torch.lerp(before, torch.ones_like(seen), seen).add_(1e-6)
        there.lerp_(values, share)
        # A second surface in a pixel covers what the first leaves free, but not more than a joined outline would.
        torch.maximum(before, cover, out=before)


class Window(NamedTuple):
    """Rows top..bottom and columns left..right of a picture, without bottom and right."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def empty(self) -> bool:
        return self.top >= self.bottom or self.left >= self.right

    def bands(self, n: int, device: torch.device) -> Iterator["Window"]:
        """The window in strips, n pictures of which fit into a processor's cache; none if it is empty."""
        if self.empty:
            return
        rows = max(1, CACHED_PIXELS // (n * (self.right - self.left))) if device.type == "cpu" else self.bottom
        for top in range(self.top, self.bottom, rows):
            yield Window(top, min(top + rows, self.bottom), self.left, self.right)

    def within(self, other: "Window") -> "Window":
        return Window(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def around(self, other: "Window") -> "Window":
        """The smallest window that contains both; empty ones do not count."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Window(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Placed:
    """A surface, as seen by a view at all moments."""

    surface: Surface
    numbers: Tensor  # [K, N]: metres per pixel, then what the kind of surface needs
    boxes: np.ndarray  # [4, N] metres from the picture's centre: left, right, bottom, top
    pixels: np.ndarray  # [N] pixels per metre
    pixel: float

    def window(self, moments: np.ndarray, size: tuple[int, int]) -> Window:
        """The part of the picture (H, W) that contains the surface at these moments."""
        boxes, scale = self.boxes[:, moments], self.pixels[moments]
        height, width = size
        left = width / 2 + (boxes[0] * scale).min() - 1
        right = width / 2 + (boxes[1] * scale).max() + 1
        top = height / 2 - (boxes[3] * scale).max() - 1
        bottom = height / 2 - (boxes[2] * scale).min() + 1
        return Window(
            max(0, math.floor(top)),
            min(height, math.ceil(bottom)),
            max(0, math.floor(left)),
            min(width, math.ceil(right)),
        )


def place(surface: Surface, view: View, device: torch.device) -> Placed:
    """Prepares a surface for `Canvas.draw`."""
    ellipsoid = isinstance(surface, Ellipsoid)
    numbers, boxes = _place_ellipsoid(surface, view) if ellipsoid else _place_cone(surface, view)
    margin = surface.soft / 2 + (EDGE_REACH if surface.edge is not None else 0.0)
    boxes = boxes + margin * np.array([[-1], [1], [-1], [1]])
    rows = np.stack([1 / view.scale, *numbers]).astype(np.float32)
    return Placed(surface, torch.from_numpy(rows).to(device), boxes, view.scale, 1 / float(view.scale.mean()))


def _coordinates(
    window: Window, size: tuple[int, int], per_pixel: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """x [n, 1, w] and y [n, h, 1] of the pixel centres, in metres from the picture's centre."""
    height, width = size
    x = torch.arange(window.left, window.right, device=device) + (0.5 - width / 2)
    y = (height / 2 - 0.5) - torch.arange(window.top, window.bottom, device=device)
    return x * per_pixel, y[:, None] * per_pixel


def _place_ellipsoid(surface: Ellipsoid, view: View):
    radii = np.asarray(surface.radii)
    axes = view.turn(surface.frame.axes)
    centre, near = view.project(surface.frame.origin + surface.frame.axes @ np.asarray(surface.centre))
    # |m (place - centre)| = 1 on the surface
    m = np.swapaxes(axes, 1, 2) / (radii[:, None] * near[:, None, None])
    b = m[:, :, 2]
    square = (b * b).sum(1)
    slant = (m[:, :, :2] * b[:, :, None]).sum(1) / square[:, None]  # how depth changes with x and y
    flat = m[:, :, :2] - b[:, :, None] * slant[:, None]
    q = np.swapaxes(flat, 1, 2) @ flat  # the outline is d q d = 1
    determinant = q[:, 0, 0] * q[:, 1, 1] - q[:, 0, 1] ** 2
    reach_x, reach_y = np.sqrt(q[:, 1, 1] / determinant), np.sqrt(q[:, 0, 0] / determinant)
    boxes = np.stack((centre[:, 0] - reach_x, centre[:, 0] + reach_x, centre[:, 1] - reach_y, centre[:, 1] + reach_y))
    # positions on the unit sphere are linear in x, y and the height above the outline's plane; so are the normals m' u
    unit = np.concatenate((flat, (b / np.sqrt(square)[:, None])[:, :, None]), 2)
    normal = np.swapaxes(m, 1, 2) @ unit
    normal /= np.sqrt((normal**2).sum(axis=(1, 2), keepdims=True) / 3)
    spot = unit * radii[:, None]
    numbers = [centre[:, 0], centre[:, 1], centre[:, 2], q[:, 0, 0], q[:, 0, 1], q[:, 1, 1], -slant[:, 0], -slant[:, 1]]
    numbers += [1 / np.sqrt(square), *spot.reshape(-1, 9).T, *normal.reshape(-1, 9).T]
    return numbers, boxes


def _ellipsoid_patch(
    surface: Ellipsoid, numbers: tuple[Tensor, ...], x: Tensor, y: Tensor, moments: np.ndarray, pixel: float
):
    cx, cy, cz, qxx, qxy, qyy, tilt_x, tilt_y, thick, *rest = numbers
    x, y = x - cx, y - cy
    qx = qxx * x + qxy * y
    qy = qxy * x + qyy * y
    square = qx * x + qy * y
    # the distance from the outline, to first order, which suffices for half a pixel on either side
    distance = (square - square.sqrt()) * torch.rsqrt(qx.square_().add_(qy.square_()).add_(1e-9))
    height = (1 - square).clamp_(min=0).sqrt_()
    depth = torch.addcmul(tilt_x * x + (tilt_y * y + cz), height, thick)
    spot = torch.empty(len(moments), 3, *square.shape[1:], device=x.device)
    normal = torch.empty_like(spot)
    for channel in range(3):
        a, b, c, d, e, f = *rest[3 * channel : 3 * channel + 3], *rest[9 + 3 * channel : 12 + 3 * channel]
        torch.add(x * a + surface.centre[channel], y * b, out=spot[:, channel])
        spot[:, channel].addcmul_(height, c)
        torch.add(x * d, y * e, out=normal[:, channel])
        normal[:, channel].addcmul_(height, f)
    normal *= torch.rsqrt(normal.square().sum(1, keepdim=True).add_(1e-9))
    return Patch(spot, normal, pixel, moments), depth, distance


def _place_cone(surface: Cone, view: View):
    start, near0 = view.project(surface.start)
    end, near1 = view.project(surface.end)
    r0, r1 = surface.radii[0] * near0, surface.radii[1] * near1
    low, high = np.minimum(start - r0[:, None], end - r1[:, None]), np.maximum(start + r0[:, None], end + r1[:, None])
    axis = end - start
    square = (axis[:, :2] ** 2).sum(1) + 1e-8
    side = np.sqrt(square)
    numbers = [start[:, 0], start[:, 1], start[:, 2], axis[:, 0], axis[:, 1], axis[:, 2]]
    numbers += [axis[:, 0] / square, axis[:, 1] / square, r0, r1 - r0, axis[:, 1] / side, axis[:, 0] / side]
    numbers += [np.sqrt((axis**2).sum(1)) * -1]
    return numbers, np.stack((low[:, 0], high[:, 0], low[:, 1], high[:, 1]))


def _cone_patch(surface: Cone, numbers: tuple[Tensor, ...], x: Tensor, y: Tensor, moments: np.ndarray, pixel: float):
    sx, sy, sz, ax, ay, az, ux, uy, r0, dr, px, py, length = numbers
    x, y = x - sx, y - sy
    along = (x * ux + y * uy).clamp_(0, 1)
    ex, ey = torch.addcmul(x, along, ax, value=-1), torch.addcmul(y, along, ay, value=-1)
    radius = torch.addcmul(r0, along, dr)
    inverse = radius.reciprocal()
    away = (ex.square().add_(ey.square())).sqrt_()
    distance = away - radius
    height = away.mul_(inverse).square_().neg_().add_(1).clamp_(min=0).sqrt_()
    depth = torch.addcmul(torch.addcmul(sz, along, az), radius, height, value=surface.depth)
    normal = torch.stack((ex.mul_(inverse), ey.mul_(inverse), height), 1)
    across = normal[:, 0] * px - normal[:, 1] * py
    spot = torch.zeros_like(normal)
    # an arc is longer than its projection
    torch.mul(across, across.square().mul_(0.3).add_(1).mul_(surface.radii[0]), out=spot[:, 0])
    torch.mul(along, length, out=spot[:, 1])
    return Patch(spot, normal, pixel, moments), depth, distance
