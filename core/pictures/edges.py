"""Post-processes the edges of mattes: grow or shrink, feather, harden or soften, smooth over time."""

# T frames, H, W

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from ..machine.device import at_least_float32
from .alpha_ops import check_number, gaussian_blur

MOST_PIXELS = 256  # limit of growing and feathering
CLOSEST_POINTS = 0.001  # least difference between black and white point


@dataclass(frozen=True)
class EdgeOptions:
    """How the edges of a matte are post-processed; the defaults change nothing.

    Args:
        grow: Pixels by which the subject grows or, if negative, shrinks; -256..256, may be fractional.
        feather: Standard deviation of a Gaussian blur in pixels, 0..256.
        black_point: Alpha values up to this one become 0; 0..1.
        white_point: Alpha values from this one on become 1; 0..1, at least 0.001 above black_point.
        gamma: Alpha becomes alpha ** (1 / gamma), so values above 1 make soft edges more opaque, values below 1 more
            transparent; 0.1..10.

    Raises:
        StudioError: A value is outside its range.

    Example:
        >>> import rvm_studio
        >>> edges = rvm_studio.EdgeOptions(grow=-1.5, feather=2)
        >>> edges.is_identity
        False
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
        """Whether the options change nothing."""
        return self == EdgeOptions()


def refine_edges(pha: Tensor, options: EdgeOptions) -> Tensor:
    """pha [T, 1, H, W] 0..1 with changed edges: grow, then feather, then levels. Returns [T, 1, H, W] 0..1 of the same
    dtype; pha itself if the options change nothing.

    The values at the border are assumed to continue outside the frame, so a person who is cut off by the frame keeps
    full alpha there.
    """
    assert pha.shape[1] == 1, f"expected [T, 1, H, W], got {list(pha.shape)}"
    if options.is_identity:
        return pha
    refined = torch.empty_like(pha)
    # One frame at a time: memory does not depend on T, and a frame fits a CPU's cache.
    for t in range(len(pha)):
        frame = _grow(at_least_float32(pha[t : t + 1]), options.grow)
        refined[t : t + 1] = _levels(gaussian_blur(frame, options.feather), options)
    return refined


def _grow(pha: Tensor, pixels: float) -> Tensor:
    """Greyscale dilation (negative: erosion) with a disc; for fractional radii the two nearest results are mixed."""
    radius = abs(pixels)
    whole = int(radius)
    grown = _extreme_within(pha, whole, grow=pixels > 0)
    if radius == whole:
        return grown
    return torch.lerp(grown, _extreme_within(pha, whole + 1, grow=pixels > 0), radius - whole)


def _extreme_within(pha: Tensor, radius: int, grow: bool) -> Tensor:
    """The largest (grow) or smallest value among the pixels at a distance of at most `radius`, with an exact disc
    instead of a polygon.

    The disc is a stack of rows that become longer towards its middle. The extremes over a longer row follow from two
    overlapping copies of those over the shorter one, mostly in one comparison. So a radius of r takes about 3r
    comparisons of whole pictures instead of 3r^2.
    """
    if radius == 0:
        return pha
    H, W = pha.shape[-2:]  # noqa: N806
    extreme = torch.maximum if grow else torch.minimum
    # Pixels outside never win.
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
    """pha [T, 1, H, W] with less flicker: each frame becomes (1 - 2s/3) of itself plus s/3 of each neighbour, s the
    strength 0..1. The filter is symmetric, so it causes no lag; fast motion leaves a faint trace on both sides.

    before, after: the adjacent frames [1, 1, H, W] (not smoothed) where a clip comes in parts; the result is then that
    of the whole clip. Without them the first or last frame is its own neighbour. Returns [T, 1, H, W] of the same
    dtype; pha itself at strength 0. Raises StudioError for a strength outside 0..1.
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
