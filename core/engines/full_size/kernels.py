"""The computations that PyTorch is slow at, compiled by numba: the full-size pass, which reads each frame once and
writes each result once, and the statistics of the guided filters.

Interpolating to the full size is done in two steps. Along the rows first, once for each *small* row (it serves all
the full rows until the next one); then between two such rows, which is plain arithmetic on neighbouring numbers that
the compiler turns into vector instructions. Gain, offset and rounding are folded into the first step.

The kernels work on a band of rows, release the interpreter's lock, and are compiled when first needed for a
combination of types; `kernel_runner.py` calls them. Indices are unsigned: signed ones would make numba
handle negative indexing, several times slower here. Fast-math is limited to the flags that preserve infinities and NaN.
"""

# C channels, H, W full size, h, w small size; pictures are [3, H, W] (planar) or [H, W * 3] (interleaved: R, G, B, ...)

import logging
from pathlib import Path

import numpy as np
from numba import njit

from ...machine.private_folder import is_private

log = logging.getLogger(__name__)

_OPTIONS = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}
_part = njit(**_OPTIONS)  # of a kernel: becomes part of its code


def _kernel(function):
    """Compiled at the first call with a combination of types, and cached on disk: beside this file, or in the user's
    cache folder if the former is read-only. numba's cache is a pickle, which can run any program: it is used only where
    nobody else can write."""
    try:
        kernel = njit(**_OPTIONS, cache=True)(function)
        folder = kernel.stats.cache_path
        if folder and is_private(Path(folder)):
            return kernel
        log.info("%s can be written by others: compiled code is not cached there", folder)
    except (RuntimeError, OSError):  # neither is writable
        pass
    return njit(**_OPTIONS)(function)


@_part
def _widen(row, low, high, part, gain, offset, out):
    """row [w] -> out [W], interpolated, times gain, plus offset."""
    for x in range(out.shape[0]):
        left, right = row[low[x]], row[high[x]]
        out[x] = (left + part[x] * (right - left)) * gain + offset


@_part
def _mix(x, A0, A1, b0, b1, part, most, out):  # noqa: N803 - the papers' name
    """out = A * x + b within 0..most, with A and b taken between two rows."""
    low = np.float32(0)
    for i in range(out.shape[0]):
        A = A0[i] + part * (A1[i] - A0[i])  # noqa: N806
        b = b0[i] + part * (b1[i] - b0[i])
        out[i] = min(max(A * np.float32(x[i]) + b, low), most)


@_part
def _sum_interleaved(row, out):
    for x in range(out.shape[0]):
        out[x] = np.float32(row[3 * x]) + np.float32(row[3 * x + 1]) + np.float32(row[3 * x + 2])


@_part
def _sum_planar(red, green, blue, out):
    for x in range(out.shape[0]):
        out[x] = np.float32(red[x]) + np.float32(green[x]) + np.float32(blue[x])


@_part
def _split(row, red, green, blue):
    for x in range(red.shape[0]):
        red[x], green[x], blue[x] = np.float32(row[3 * x]), np.float32(row[3 * x + 1]), np.float32(row[3 * x + 2])


@_part
def _join(red, green, blue, row):
    for x in range(red.shape[0]):
        row[3 * x] = red[x]
        row[3 * x + 1] = green[x]
        row[3 * x + 2] = blue[x]


@_part
def _widened(wide, held, coefficients, y, columns, gains, offsets):
    """Makes sure that the slot y % 2 of `wide` [2, 2C, W] holds the small row y of every coefficient; the slot."""
    slot = y & 1
    if held[slot] != y:
        for c in range(coefficients.shape[0]):
            _widen(coefficients[c, y], columns[0], columns[1], columns[2], gains[c], offsets[c], wide[slot, c])
        held[slot] = y
    return slot


@_kernel
def apply_interleaved(picture, coefficients, columns, rows, gains, offsets, most, pha, fgr, begin, end):
    """Rows begin..end of: picture [H, W * 3] and coefficients [2C, h, w] -> pha [H, W], fgr [H, W * 3].

    coefficients: A, then b, of C = 4 channels (R, G, B, alpha), or of alpha alone (C = 1; fgr is then [0, 0]).
    columns, rows: taps (see bilinear.py). gains, offsets [2C]: applied to the coefficients. most: the results' 1.
    """
    W = pha.shape[1]  # noqa: N806
    C = coefficients.shape[0] // 2  # noqa: N806
    wide, held = np.empty((2, 2 * C, W), np.float32), np.full(2, -1)
    total, colors, results = np.empty(W, np.float32), np.empty((3, W), np.float32), np.empty((3, W), fgr.dtype)
    for y in range(begin, end):
        low = wide[_widened(wide, held, coefficients, np.int64(rows[0][y]), columns, gains, offsets)]
        high = wide[_widened(wide, held, coefficients, np.int64(rows[1][y]), columns, gains, offsets)]
        part = rows[2][y]
        if C == 4:
            _split(picture[y], colors[0], colors[1], colors[2])
            _sum_planar(colors[0], colors[1], colors[2], total)
            for c in range(3):
                _mix(colors[c], low[c], high[c], low[C + c], high[C + c], part, most, results[c])
            _join(results[0], results[1], results[2], fgr[y])
        else:
            _sum_interleaved(picture[y], total)
        _mix(total, low[C - 1], high[C - 1], low[2 * C - 1], high[2 * C - 1], part, most, pha[y])


@_kernel
def apply_planar(picture, coefficients, columns, rows, gains, offsets, most, pha, fgr, begin, end):
    """As `apply_interleaved`, of picture [3, H, W] and to fgr [3, H, W] (or [0, 0, 0])."""
    W = pha.shape[1]  # noqa: N806
    C = coefficients.shape[0] // 2  # noqa: N806
    wide, held = np.empty((2, 2 * C, W), np.float32), np.full(2, -1)
    total = np.empty(W, np.float32)
    for y in range(begin, end):
        low = wide[_widened(wide, held, coefficients, np.int64(rows[0][y]), columns, gains, offsets)]
        high = wide[_widened(wide, held, coefficients, np.int64(rows[1][y]), columns, gains, offsets)]
        part = rows[2][y]
        if C == 4:
            for c in range(3):
                _mix(picture[c, y], low[c], high[c], low[C + c], high[C + c], part, most, fgr[c, y])
        _sum_planar(picture[0, y], picture[1, y], picture[2, y], total)
        _mix(total, low[C - 1], high[C - 1], low[2 * C - 1], high[2 * C - 1], part, most, pha[y])


@_part
def _composite(color, alpha, bgr, most, out):
    """out = bgr + alpha * (color - bgr), rounded; bgr 0..1, color 0..most."""
    half = np.float32(0.5)
    for i in range(out.shape[0]):
        behind = bgr[i] * most
        out[i] = behind + alpha[i] * (color[i] - behind) + half


@_part
def _hide(color, alpha, most, out):
    """out = color, rounded; 0 where alpha rounds to 0."""
    half, least = np.float32(0.5), np.float32(0.5) / most
    for i in range(out.shape[0]):
        out[i] = color[i] + half if alpha[i] >= least else np.float32(0)


@_part
def _join_four(red, green, blue, alpha, row):
    for x in range(red.shape[0]):
        row[4 * x] = red[x]
        row[4 * x + 1] = green[x]
        row[4 * x + 2] = blue[x]
        row[4 * x + 3] = alpha[x]


@_kernel
def draw(picture, coefficients, columns, rows, gains, offsets, most, bgr, over, pha, drawn, begin, end):
    """Rows begin..end of: picture [H, W * 3] and coefficients [8, h, w] -> pha [H, W] and the finished drawn
    [H, W * 3] or [H, W * 4]: over bgr [3, 1 or H, W] (0..1) where `over` is set, else black where alpha is 0.

    gains, offsets [8]: bring colours to 0..most, alpha to 0..1. The rest as `apply_interleaved`.
    """
    W = pha.shape[1]  # noqa: N806
    wide, held = np.empty((2, 8, W), np.float32), np.full(2, -1)
    total, colors, results = np.empty(W, np.float32), np.empty((3, W), np.float32), np.empty((3, W), drawn.dtype)
    alpha, color = np.empty(W, np.float32), np.empty(W, np.float32)
    half, one = np.float32(0.5), np.float32(1)
    for y in range(begin, end):
        low = wide[_widened(wide, held, coefficients, np.int64(rows[0][y]), columns, gains, offsets)]
        high = wide[_widened(wide, held, coefficients, np.int64(rows[1][y]), columns, gains, offsets)]
        part = rows[2][y]
        _split(picture[y], colors[0], colors[1], colors[2])
        _sum_planar(colors[0], colors[1], colors[2], total)
        _mix(total, low[3], high[3], low[7], high[7], part, one, alpha)
        for i in range(W):
            pha[y, i] = alpha[i] * most + half
        for c in range(3):
            _mix(colors[c], low[c], high[c], low[4 + c], high[4 + c], part, most, color)
            if over:
                _composite(color, alpha, bgr[c, y if bgr.shape[1] > 1 else 0], most, results[c])
            else:
                _hide(color, alpha, most, results[c])
        if drawn.shape[1] == 4 * W:
            _join_four(results[0], results[1], results[2], pha[y], drawn[y])
        else:
            _join(results[0], results[1], results[2], drawn[y])


@_kernel
def reduce_interleaved(picture, columns, rows, scale, small, begin, end):
    """Rows begin..end of small [h, w, 3] = picture [H, W * 3], interpolated at the taps and multiplied by scale."""
    for y in range(begin, end):
        above, below, down = picture[rows[0][y]], picture[rows[1][y]], rows[2][y]
        for x in range(small.shape[1]):
            left, right, part = 3 * columns[0][x], 3 * columns[1][x], columns[2][x]
            for c in range(3):
                a, b = np.float32(above[left + np.uint32(c)]), np.float32(above[right + np.uint32(c)])
                d, e = np.float32(below[left + np.uint32(c)]), np.float32(below[right + np.uint32(c)])
                upper, lower = a + part * (b - a), d + part * (e - d)
                small[y, x, c] = (upper + down * (lower - upper)) * scale


@_kernel
def reduce_planar(picture, columns, rows, scale, small, begin, end):
    """As `reduce_interleaved`, of picture [3, H, W]."""
    for y in range(begin, end):
        down = rows[2][y]
        for c in range(3):
            above, below = picture[c, rows[0][y]], picture[c, rows[1][y]]
            for x in range(small.shape[1]):
                left, right, part = columns[0][x], columns[1][x], columns[2][x]
                a, b = np.float32(above[left]), np.float32(above[right])
                d, e = np.float32(below[left]), np.float32(below[right])
                upper, lower = a + part * (b - a), d + part * (e - d)
                small[y, x, c] = (upper + down * (lower - upper)) * scale


@_kernel
def halve(picture, out, begin, end):
    """Rows begin..end of out [h, w, 3]: means of 2x2 pixels of picture [up to 2h, up to 2w, 3]; where a last odd row or
    column is alone, of those that are there."""
    rows, columns = picture.shape[0], picture.shape[1]
    whole = columns // 2
    for y in range(begin, end):
        top = picture[2 * y]
        bottom = picture[min(2 * y + 1, rows - 1)]
        for x in range(whole):
            for c in range(3):
                left, right = top[2 * x, c] + bottom[2 * x, c], top[2 * x + 1, c] + bottom[2 * x + 1, c]
                out[y, x, c] = (left + right) * np.float32(0.25)
        if whole < out.shape[1]:
            for c in range(3):
                out[y, whole, c] = (top[columns - 1, c] + bottom[columns - 1, c]) * np.float32(0.5)


@_part
def _guide_and_matte(small, matte, y, c, x, m):
    """Channel c of 0..3 of the guide and of the matte in row y -> x, m [w + 2], with the zeros beyond the border."""
    w, C = matte.shape[1], matte.shape[2]  # noqa: N806
    x[0] = m[0] = x[w + 1] = m[w + 1] = 0
    for i in range(w):
        if c < 3:
            x[i + 1] = small[y, i, c]
        else:
            x[i + 1] = (small[y, i, 0] + small[y, i, 1] + small[y, i, 2]) / np.float32(3)
        m[i + 1] = matte[y, i, C - 4 + c]  # alpha is the last channel, whether alone or not


@_part
def _add_moments(x, m, weights, sums):
    """Adds a row's part of the 3x3 weighted sums of x, m, x * m and x * x to `sums` [4, w]."""
    left, middle, right = weights[0], weights[1], weights[2]
    for i in range(sums.shape[1]):
        sums[0, i] += left * x[i] + middle * x[i + 1] + right * x[i + 2]
        sums[1, i] += left * m[i] + middle * m[i + 1] + right * m[i + 2]
        sums[2, i] += left * (x[i] * m[i]) + middle * (x[i + 1] * m[i + 1]) + right * (x[i + 2] * m[i + 2])
        sums[3, i] += left * (x[i] * x[i]) + middle * (x[i + 1] * x[i + 1]) + right * (x[i + 2] * x[i + 2])


@_kernel
def statistics(small, matte, weights, out, means, begin, end):
    """Rows begin..end of the guided filter's statistics.

    small [h, w, 3] and matte [h, w, C]; x is R, G, B and their mean, y the matte, both of its C channels (the last
    ones of four). weights [4, 3, 3]: the box filter's. out [h, w, 2C]: covariance of x and y, then the variance of x;
    means [2C, h, w]: of x, then of y.
    """
    h, w, C = matte.shape  # noqa: N806
    sums, x, m = np.empty((4, w), np.float32), np.empty(w + 2, np.float32), np.empty(w + 2, np.float32)
    for y in range(begin, end):
        for k in range(C):
            c = 4 - C + k
            sums[:] = 0
            for row in range(max(y - 1, 0), min(y + 2, h)):
                _guide_and_matte(small, matte, row, c, x, m)
                _add_moments(x, m, weights[c, row - y + 1], sums)
            for i in range(w):
                out[y, i, k] = sums[2, i] - sums[0, i] * sums[1, i]
                out[y, i, C + k] = sums[3, i] - sums[0, i] * sums[0, i]
                means[k, y, i] = sums[0, i]
                means[C + k, y, i] = sums[1, i]


@_kernel
def offsets(slope, means, out, begin, end):
    """Rows begin..end of out [2C, h, w]: A as in slope [h, w, C], then b = mean y - A * mean x, of the last C channels
    of means [2D, h, w]."""
    D, w, C = means.shape[0] // 2, slope.shape[1], slope.shape[2]  # noqa: N806
    for y in range(begin, end):
        for k in range(C):
            mean_x, mean_y = means[D - C + k, y], means[2 * D - C + k, y]
            for i in range(w):
                out[k, y, i] = slope[y, i, k]
                out[C + k, y, i] = mean_y[i] - slope[y, i, k] * mean_x[i]


@_kernel
def least_squares(small, matte, epsilon, out, begin, end):
    """Rows begin..end of out [2C, h, w], of small [h, w, 3] and matte [h, w, C]: A = covariance / (variance + epsilon)
    over 3x3 pixels (zeros beyond the border count), then b = mean y - A * mean x; x and y as in `statistics`."""
    h, w, C = matte.shape  # noqa: N806
    x, m, ninth = np.empty(w + 2, np.float32), np.empty(w + 2, np.float32), np.full(3, 1 / 9, np.float32)
    rows = np.zeros((3, C, 4, w), np.float32)  # a row's part of the sums, in slot row % 3
    for row in range(begin - 1, end + 1):
        for k in range(C):
            sums = rows[row % 3, k]
            sums[:] = 0
            if 0 <= row < h:
                _guide_and_matte(small, matte, row, 4 - C + k, x, m)
                _add_moments(x, m, ninth, sums)
        y = row - 1
        if y < begin:
            continue
        for k in range(C):
            p, q, r = rows[0, k], rows[1, k], rows[2, k]
            for i in range(w):
                mean_x, mean_y = p[0, i] + q[0, i] + r[0, i], p[1, i] + q[1, i] + r[1, i]
                covariance = p[2, i] + q[2, i] + r[2, i] - mean_x * mean_y
                variance = p[3, i] + q[3, i] + r[3, i] - mean_x * mean_x
                A = covariance / (variance + epsilon)  # noqa: N806
                out[k, y, i] = A
                out[C + k, y, i] = mean_y - A * mean_x
