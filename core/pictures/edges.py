"""Edges of mattes after the fact: grown or shrunk, feathered, made harder or softer, steadied over time."""

# T frames, H, W

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from .alpha_ops import at_least_float32, check_number, gaussian_blur

MOST_PIXELS = 256  # of growing and feathering
CLOSEST_POINTS = 0.001  # between black and white


@dataclass(frozen=True)
class EdgeOptions:
    """What `refine_edges` does to a matte; the defaults do nothing.

    grow: pixels by which the subject grows, negative: shrinks, -256..256, fractions too. feather: deviation of a
    Gaussian blur in pixels, 0..256. black_point, white_point: alpha that becomes 0 and 1, with everything beyond;
    0..1, the white one at least 0.001 above the black one. gamma: alpha becomes alpha ** (1 / gamma), so above 1
    soft edges turn more opaque, below 1 more transparent; 0.1..10.
    Raises StudioError for other values.
    """

    grow: float = 0.0
    feather: float = 0.0
    black_point: float = 0.0
    white_point: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_number("The edge option grow", self.grow, -MOST_PIXELS, MOST_PIXELS)
        check_number("The edge option feather", self.feather, 0, MOST_PIXELS)
        check_number("The edge option black_point", self.black_point, 0, 1)
        check_number("The edge option white_point", self.white_point, 0, 1)
        check_number("The edge option gamma", self.gamma, 0.1, 10)
        if self.white_point - self.black_point < CLOSEST_POINTS:
            raise StudioError(
                f"The black point is {self.black_point:g} and the white point {self.white_point:g}; the white point "
                f"must be at least {CLOSEST_POINTS:g} above the black point."
            )

    @property
    def is_identity(self) -> bool:
        """Whether a matte stays as it is."""
        return self == EdgeOptions()


def refine_edges(pha: Tensor, options: EdgeOptions) -> Tensor:
    """pha [T, 1, H, W] 0..1 with its edges changed: grown first, then feathered, then levels. [T, 1, H, W] 0..1 of
    the same dtype; pha itself where the options do nothing.

    Outside the frame the subject goes on as it is at the border: a person cut off by the frame keeps her full alpha
    there.
    """
    assert pha.shape[1] == 1, f"expected [T, 1, H, W], got {list(pha.shape)}"
    if options.is_identity:
        return pha
    refined = torch.empty_like(pha)
    # One frame at a time: memory does not depend on T, and a CPU keeps a frame in its cache.
    for t in range(len(pha)):
        frame = _grow(at_least_float32(pha[t : t + 1]), options.grow)
        refined[t : t + 1] = _levels(gaussian_blur(frame, options.feather), options)
    return refined


def _grow(pha: Tensor, pixels: float) -> Tensor:
    """Grey dilation (negative: erosion) by a disc; between two whole radii the two results are mixed."""
    radius = abs(pixels)
    whole = int(radius)
    grown = _extreme_within(pha, whole, grow=pixels > 0)
    if radius == whole:
        return grown
    return torch.lerp(grown, _extreme_within(pha, whole + 1, grow=pixels > 0), radius - whole)


def _extreme_within(pha: Tensor, radius: int, grow: bool) -> Tensor:
    """Largest (grow) or smallest value among the pixels at a distance of at most `radius`, exactly: no polygon
    stands in for the disc.

    The disc is a stack of rows that get longer towards its middle. The extremes over the longer row come from
    those over the shorter one, of which two copies overlap, mostly in one comparison; so a radius of r takes about 3r
    comparisons of whole pictures and not 3r^2.
    """
    if radius == 0:
        return pha
    H, W = pha.shape[-2:]  # noqa: N806
    extreme = torch.maximum if grow else torch.minimum
    # What lies outside never wins.
    rows = F.pad(pha, (radius,) * 4, value=-math.inf if grow else math.inf)
    found, width = pha.clone(), 1  # rows[..., x] covers x .. x + width - 1
    for distance in range(radius, -1, -1):
        half = math.isqrt(radius**2 - distance**2)
        while width < 2 * half + 1:
            step = min(width, 2 * half + 1 - width)
            rows = extreme(rows[..., :-step], rows[..., step:])
            width += step
        for top in {radius - distance, radius + distance}:
            extreme(found, rows[..., top : top + H, radius - half : radius - half + W], out=found)
    return found


def _levels(pha: Tensor, options: EdgeOptions) -> Tensor:
    black, white = options.black_point, options.white_point
    stretched = pha if (black, white) == (0, 1) else (pha - black) / (white - black)
    clamped = stretched.clamp(0, 1)
    return clamped if options.gamma == 1 else clamped.pow_(1 / options.gamma)


def smooth_over_time(pha: Tensor, strength: float, before: Tensor | None = None, after: Tensor | None = None) -> Tensor:
    """pha [T, 1, H, W] with less flicker: each frame becomes (1 - 2s/3) of itself and s/3 of both its neighbours,
    s = strength 0..1. Symmetric, so nothing lags; what moves fast gets a faint trace on both sides.

    before, after: the frames [1, 1, H, W] (not smoothed) next to pha where a clip is given in parts; the result is
    then that of the whole clip. Without one the first or last frame counts as its own neighbour. Returns
    [T, 1, H, W] of the same dtype; pha itself at strength 0. Raises StudioError for a strength outside 0..1.
    """
    check_number("The temporal smoothing", strength, 0, 1)
    assert pha.shape[1] == 1, f"expected [T, 1, H, W], got {list(pha.shape)}"
    if strength == 0 or not len(pha):
        return pha
    neighbours = {-1: pha[:1] if before is None else before, len(pha): pha[-1:] if after is None else after}
    smoothed = torch.empty_like(pha)
    for t in range(len(pha)):
        previous, frame, following = (
            at_least_float32(neighbours[i] if i in neighbours else pha[i : i + 1]) for i in (t - 1, t, t + 1)
        )
        smoothed[t : t + 1] = torch.lerp(frame, (previous + following) / 2, strength * 2 / 3)
    return smoothed
