"""Curves of a run's scalars, a PNG file per group of losses. matplotlib is optional and only imported here."""

import itertools
import math
from pathlib import Path
from typing import Any

from ..core import StudioError, atomic_file, command_for_extra, python_command

LACKS_MATPLOTLIB = (
    f"Curves were not drawn: matplotlib is not installed. Install it with `{command_for_extra('train')}`, then run "
    f"`{python_command('-m', 'rvm_studio.training.report', 'RUN_FOLDER')}`."
)
GROUPS = {
    "low": "low-resolution pass",
    "high": "high-resolution pass, through the refiner",
    "segmentation": "segmentation pass",
    "lr": "learning rates",
}
_SMOOTHING = 0.9  # of the running mean


def draw_curves(records: list[dict[str, Any]], folder: Path) -> dict[str, Path] | None:
    """Writes curves_GROUP.png for every group that has values. Returns title -> file, or None without matplotlib.

    records: in the order of global_step; a name "group/term" belongs to that group. Raises StudioError if a file cannot
    be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws in memory, without a screen
        from matplotlib.figure import Figure
    except ImportError:
        return None
    files = {}
    begins = [
        (after["global_step"], after.get("stage"))
        for before, after in itertools.pairwise([{}, *records])
        if before.get("stage") != after.get("stage")
    ]
    for group, title in GROUPS.items():
        names = dict.fromkeys(name for record in records for name in record if name.startswith(f"{group}/"))
        curves = {name: points for name in names if (points := _points(records, name))[0]}
        if not curves:
            continue
        figure = Figure(figsize=(9, 4.5), dpi=110, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for name, (steps, values) in curves.items():
            if group == "lr":
                axes.step(steps, values, where="post", label=name.split("/", 1)[1])
                continue
            (line,) = axes.plot(
                steps, _smoothed(values), linewidth=1.8, label=name.split("/", 1)[1], marker=_dot(steps)
            )
            axes.plot(steps, values, linewidth=0.6, alpha=0.35, color=line.get_color())
        if all(value > 0 for _, values in curves.values() for value in values):
            axes.set_yscale("log")
        for step, stage in begins:
            axes.axvline(step, color="0.6", linewidth=0.8, linestyle=":")
            axes.annotate(f" stage {stage}", (step, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=8)
        axes.set_xlabel("step")
        axes.set_title(title, pad=18)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        path = folder / f"curves_{group}.png"
        try:
            with atomic_file(path) as partial:
                canvas.print_png(partial)
        except OSError as error:
            raise StudioError(f"The curves cannot be written to {path} ({error}). Check the folder.") from error
        files[title] = path
    return files


def _points(records: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    pairs = [(record["global_step"], record.get(name)) for record in records]
    pairs = [(step, value) for step, value in pairs if isinstance(value, int | float) and math.isfinite(value)]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _smoothed(values: list[float]) -> list[float]:
    """An exponential running mean with the bias of its start corrected (as Adam corrects its moments)."""
    total, result = 0.0, []
    for count, value in enumerate(values, 1):
        total = _SMOOTHING * total + (1 - _SMOOTHING) * value
        result.append(total / (1 - _SMOOTHING**count))
    return result


def _dot(steps: list[int]) -> str | None:
    return "o" if len(steps) == 1 else None
