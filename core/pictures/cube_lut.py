"""Look-up tables of the .cube format as views: what a log profile or a wide gamut looks like on an SDR display.

The format is Adobe's "Cube LUT Specification 1.0" with the additions of DaVinci Resolve: a 1D table in front of a 3D
one, and LUT_1D_INPUT_RANGE, LUT_3D_INPUT_RANGE. 3D tables are interpolated trilinearly.
"""

# S size of a table, N frames, h, w small size

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StudioError
from .view import View

_MOST = {"LUT_1D_SIZE": 65536, "LUT_3D_SIZE": 256}  # the specification's
_RANGES = {"LUT_1D_INPUT_RANGE": "LUT_1D_SIZE", "LUT_3D_INPUT_RANGE": "LUT_3D_SIZE"}
_DOMAIN = ("DOMAIN_MIN", "DOMAIN_MAX")


class _Table:
    """values: [S, 3], or [S, S, S, 3] indexed by blue, green, red. low, high: the inputs [3] of its first and last
    entry."""

    def __init__(self, values: Tensor, low: Tensor, high: Tensor):
        table = values if values.ndim == 2 else values.permute(3, 0, 1, 2)[None].contiguous()
        parts = table, low.view(3, 1, 1), (high - low).view(3, 1, 1)
        self._on = functools.cache(lambda device: [part.to(device) for part in parts])

    def __call__(self, x: Tensor) -> Tensor:
        values, low, width = self._on(x.device)
        place = ((x - low) / width).clamp(0, 1)
        if values.ndim == 5:
            # grid_sample reads the last dimension of the table by the first coordinate: red
            grid = (place * 2 - 1).permute(0, 2, 3, 1)[None]
            found = F.grid_sample(values, grid, align_corners=True, padding_mode="border")
            return found[0].transpose(0, 1)
        last = len(values) - 1
        place = place * last
        below = place.floor().clamp(max=last - 1).long()
        channels = [
            torch.lerp(values[first, index], values[first + 1, index], at - first)
            for index, (at, first) in enumerate(zip(place.unbind(1), below.unbind(1), strict=True))
        ]
        return torch.stack(channels, 1)


def cube_view(text: str, name: str) -> View:
    """The view that a .cube file describes.

    Args:
        text: The file's text.
        name: The file's name, for messages.

    Returns:
        The view.

    Raises:
        StudioError: The text is not a .cube file; the message names the line.

    Example:
        >>> from rvm_studio import core
        >>> identity = "LUT_3D_SIZE 2\\n" + "\\n".join(f"{i & 1} {i >> 1 & 1} {i >> 2}" for i in range(8))
        >>> core.cube_view(identity, "none.cube").name
        'none.cube'
    """
    sizes: dict[str, int] = {}
    ranges: dict[str, tuple[float, float]] = {}
    domain = {"DOMAIN_MIN": [0.0] * 3, "DOMAIN_MAX": [1.0] * 3}
    rows: list[list[float]] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words or words[0] == "TITLE":
            continue
        where = f"{name}, line {number}"
        if words[0] in _MOST:
            sizes[words[0]] = _size(words, where)
        elif words[0] in _RANGES:
            low, high = _numbers(words[1:], 2, where)
            ranges[_RANGES[words[0]]] = low, high
        elif words[0] in _DOMAIN:
            domain[words[0]] = _numbers(words[1:], 3, where)
        elif words[0][0].isalpha() and words[0].lower() not in ("nan", "inf"):
            raise StudioError(f"{where}: {words[0]!r} is not known in a .cube file. Give a LUT in the .cube format.")
        else:
            rows.append(_numbers(words, 3, where))
    if not sizes:
        raise StudioError(f"{name} is not a .cube LUT: it has no LUT_3D_SIZE or LUT_1D_SIZE.")
    counts = {kind: size if kind == "LUT_1D_SIZE" else size**3 for kind, size in sizes.items()}
    if sum(counts.values()) != len(rows):
        raise StudioError(
            f"{name} has {len(rows)} lines of values, but its size needs {sum(counts.values())}: the file is "
            "incomplete or damaged."
        )
    tables = []
    for kind in _MOST:  # the 1D table comes first
        if kind in sizes:
            values = torch.tensor(rows[: counts[kind]])
            del rows[: counts[kind]]
            shape = (sizes[kind], 3) if kind == "LUT_1D_SIZE" else (*[sizes[kind]] * 3, 3)
            low, high = domain["DOMAIN_MIN"], domain["DOMAIN_MAX"]
            if kind in ranges:
                low, high = [ranges[kind][0]] * 3, [ranges[kind][1]] * 3
            if not all(a < b for a, b in zip(low, high, strict=True)):
                raise StudioError(f"{name}: its input range from {low} to {high} is empty.")
            tables.append(_Table(values.view(shape), torch.tensor(low), torch.tensor(high)))

    def mapping(x: Tensor) -> Tensor:
        for table in tables:
            x = table(x)
        return x

    return View(mapping, name)


def _size(words: list[str], where: str) -> int:
    most = _MOST[words[0]]
    if len(words) != 2 or not words[1].isascii() or not words[1].isdigit() or not 2 <= int(words[1]) <= most:
        raise StudioError(f"{where}: {words[0]} must be a whole number from 2 to {most}, not {' '.join(words[1:])!r}.")
    return int(words[1])


def _numbers(words: list[str], count: int, where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(abs(number) < 1e6 for number in numbers):
        raise StudioError(f"{where}: {count} numbers were expected, not {' '.join(words)[:60]!r}.")
    return numbers
