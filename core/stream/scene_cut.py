"""Detects scene cuts by comparing small thumbnails; ignores changes of brightness and camera movement."""

# C = 3 channels, H height, W width; a thumbnail is [3, 26, 26] whatever the frame's shape. Thumbnails are compared in
# numpy: for so little work, starting PyTorch's threads takes longer than the work, 100 times longer on a busy machine.

from collections.abc import Iterator

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.nn import functional as F

from ..errors import StudioError

SIDE = 26
# The thumbnails are compared at shifts of up to this many cells: an eighth of the picture per frame.
SHIFT = 3
# Blocks of 4 x 4 cells are averaged for the coarse comparison, which tolerates zooms and rotations.
COARSE = 4
# A thumbnail whose standard deviation is below this has nothing to compare: black, a white flash, fog.
FLAT = 0.02
# An overlap of two thumbnails is compared down to this, about one step of 8 bits.
FAINT = 0.005
# Rows and columns at the border that are below this in both pictures are letterbox bars.
BLACK = 0.03
# Pixels sampled along each side of a large frame: about ten per cell, so that noise of sigma 0.1 averages to 0.01.
SAMPLES = 240
GAINS = 2 ** np.linspace(0, 3, 13)  # 1 .. 8
# The neighbourhood, in cells, in which brightness and contrast are normalised against uneven light.
NEARBY = 5


class SceneCutDetector:
    """Receives every frame of a stream in order and tells which ones begin a new scene.

    A frame is compared with the last frame before it that was not flat. The score is 1 - correlation of the two
    thumbnails: 0 the same picture but for brightness, contrast and tint, 1 nothing in common, 2 a negative. Above
    `threshold` it is a cut. Scores on 18 photographs at 16:9, median and worst:

        hard cut to another photograph                      0.86, 1 % below 0.49, smallest 0.44
        the same under the bars of a letter box (2 x 1/8)   0.85, 1 % below the threshold
        cut to another part of the same photograph          0.84, 6 % below the threshold: sky to sky
        pan by 2, 5, 10 % of the width in one frame         0.02, 0.04, 0.07; largest 0.17, a brick wall 0.43
        pan by 25 %                                         0.50, largest 0.93
        zoom by 1.05, 1.10                                  0.01, 0.03; largest 0.14, a brick wall 0.34
        turn by 3, 6 degrees                                0.01, 0.05; largest 0.08, a brick wall 0.45
        person at a third of the width jumping by 1/12      0.13, largest 0.27
        exposure x 0.3, x 1.8, x 3, clipped at white        0.00, 0.00, 0.01; largest 0.27, white paper
        a lamp that doubles the middle; half in shadow      0.02, 0.03; largest 0.30
        gamma 2.2; noise of sigma 0.1; blocks of 16 pixels  0.01, 0.00, 0.00; largest 0.06
        dissolve over 2, 4, 6, 12 frames                    0.41, 0.11, 0.05, 0.01; largest 0.86, 0.59, 0.42, 0.12

    So 0.4 misses almost no cut and no ordinary movement exceeds it. A lower threshold finds cuts between similar
    shots; a higher one tolerates whip pans.

    Not cuts: the first frame; a nearly flat frame (the next one is not compared with it either, so a fade through
    black or white is one cut, when the new scene becomes visible, and a flash that whitens the picture is none); a
    dissolve over more than six frames, since every frame resembles the one before. False positives: a pan by more
    than an eighth of the picture within one frame, a flash that overexposes a part of the picture.

    Costs 1 to 2 ms a frame on one CPU core, 4K included.
    """

    def __init__(self, threshold: float = 0.4) -> None:
        if not 0 < threshold < 2:
            raise StudioError(
                f"The scene-cut threshold is {threshold}; expected a number between 0 and 2, usually 0.4."
            )
        self.threshold = threshold
        self._seen: Tensor | None = None

    @property
    def state(self) -> Tensor | None:
        """The last thumbnail [3, 26, 26] (float32, CPU), which nothing writes to, or None. Setting it continues from
        there."""
        return self._seen

    @state.setter
    def state(self, seen: Tensor | None) -> None:
        assert seen is None or seen.shape == (3, SIDE, SIDE), f"[3, {SIDE}, {SIDE}] expected, got {list(seen.shape)}"
        self._seen = None if seen is None else seen.to("cpu", torch.float32)

    def reset(self) -> None:
        """Forgets the last thumbnail: the next frame counts as the first."""
        self._seen = None

    def is_cut(self, frame: Tensor) -> bool:
        """Whether `frame` ([3, H, W], float 0..1 or uint8 / uint16, any size and device) begins a new scene."""
        now = thumbnail(frame)
        before, after = shown_parts(now if self._seen is None else self._seen, now)
        if (after - after.mean((1, 2), keepdims=True)).std() < FLAT:
            return False
        first, self._seen = self._seen is None, now
        return not first and all(score > self.threshold for score in scene_changes(before, after))


def thumbnail(frame: Tensor) -> Tensor:
    """[3, H, W] of any supported dtype -> [3, 26, 26] float32 0..1 on the CPU: averages of every few pixels."""
    assert frame.ndim == 3, f"[3, H, W] expected, got {list(frame.shape)}"
    assert frame.shape[0] == 3, f"[3, H, W] expected, got {list(frame.shape)}"
    assert frame.numel(), f"the frame is empty: {list(frame.shape)}"
    peak = {torch.uint8: 255, torch.uint16: 65535}.get(frame.dtype, 1)
    assert frame.is_floating_point() or peak > 1, f"float 0..1, uint8 or uint16 expected, got {frame.dtype}"
    step_y, step_x = (max(1, side // SAMPLES) for side in frame.shape[1:])
    # The samples are centred: the margins at both ends are equal.
    samples = frame[:, (frame.shape[1] - 1) % step_y // 2 :: step_y, (frame.shape[2] - 1) % step_x // 2 :: step_x]
    return F.adaptive_avg_pool2d(samples.detach().float() / peak, SIDE).cpu()


def shown_parts(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Crops the outer rows and columns that are black in both thumbnails -> [3, h, w] of each: letterbox bars would
    make any two pictures similar.

    One more row or column is cropped at every side, since a cell may be covered partly. Pictures that are black except
    for a strip too narrow to compare are not cropped.
    """
    lit = torch.maximum(a, b).amax(0).numpy() > BLACK
    crop = [slice(None)]
    for line in (lit.any(1), lit.any(0)):
        shown = np.flatnonzero(line)[[0, -1]] if line.any() else (0, 0)
        wide = shown[1] - shown[0] - 1 >= COARSE
        crop.append(slice(shown[0] + 1, shown[1]) if wide else slice(None))
    return a.double().numpy()[tuple(crop)], b.double().numpy()[tuple(crop)]


def scene_changes(before: np.ndarray, after: np.ndarray) -> Iterator[float]:
    """Scores 0..2 of two cropped thumbnails, one for each way in which they may show one scene; the lowest counts.

    The cheap comparison that settles most frames comes first: the caller stops as soon as one is low enough.
    """
    for a, b in ((before, after), _exposed_alike(before, after)):
        yield 1 - _correlation(_coarse(a), _coarse(b), 0)
        yield 1 - _correlation(a, b, SHIFT)
    yield 1 - _correlation(_evened(before), _evened(after), SHIFT)


def _coarse(x: np.ndarray) -> np.ndarray:
    rows, columns = (side // COARSE for side in x.shape[1:])
    cells = x[:, : rows * COARSE, : columns * COARSE].reshape(3, rows, COARSE, columns, COARSE)
    return cells.mean((2, 4))


def _exposed_alike(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightens the darker one, clipped at white, to the mean of the other: undoes an exposure jump with overexposed
    highlights, which correlation alone would score as another picture."""
    if a.mean() > b.mean():
        brighter, darker = _exposed_alike(b, a)
        return darker, brighter
    candidates = np.minimum(a * GAINS[:, None, None, None], 1)
    best = np.abs(candidates.mean((1, 2, 3)) - b.mean()).argmin()
    return candidates[best], b


def _evened(x: np.ndarray) -> np.ndarray:
    """Each cell's difference from the mean of its neighbourhood, in standard deviations of the neighbourhood: hardly
    changed by a lamp, a shadow or a flash that lights some parts more than others."""
    margin = NEARBY // 2

    def average(y: np.ndarray) -> np.ndarray:
        padded = np.pad(y, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
        return sliding_window_view(padded, (NEARBY, NEARBY), axis=(1, 2)).mean((3, 4))

    difference = x - average(x)
    return difference / np.sqrt(average(difference**2) + 0.01**2)


def _correlation(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """Largest zero-mean normalised correlation of the overlap of a and b, [3, H, W], over all shifts up to `shift`
    cells (a quarter of the side at most). The mean of each channel is subtracted; the three channels
    then form one vector.

    -1 if every overlap is flat.
    """
    border = [(0, 0), *((min(shift, side // 4),) * 2 for side in a.shape[1:])]

    def shifted(x: np.ndarray) -> np.ndarray:
        """[C, shifts in y, shifts in x, H, W], zero outside the picture."""
        return sliding_window_view(np.pad(x, border), x.shape[1:], axis=(1, 2))

    def sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.einsum("cijyx,cyx->cij", x, y)

    ones = np.ones_like(a)
    all_a, all_ones = shifted(a), shifted(ones)
    count, sum_a, sum_b = sums(all_ones, ones), sums(all_a, ones), sums(all_ones, b)
    covariance = (sums(all_a, b) - sum_a * sum_b / count).sum(0)
    variance_a = (sums(shifted(a * a), ones) - sum_a**2 / count).sum(0)
    variance_b = (sums(all_ones, b * b) - sum_b**2 / count).sum(0)
    shows = np.minimum(variance_a, variance_b) >= FAINT**2 * count.sum(0)
    if not shows.any():
        return -1.0
    return float((covariance[shows] / np.sqrt(variance_a[shows] * variance_b[shows])).max())
