"""Scores as tables: aligned text, CSV and Markdown. Numbers, texts and None (a dash) in any cell."""

import csv
import io
from collections.abc import Sequence

MEANINGS = {
    "mad": "mean difference of the alpha, in thousandths (6 is 0.6 %)",
    "mse": "mean squared difference, in thousandths: large faults weigh more",
    "grad": "how much the edges differ; grows with the picture",
    "conn": "alpha that is cut off from the person; grows with the picture",
    "dtssd": "flicker: how much the changes from frame to frame differ, in hundredths",
    "fgr_mad": "mean difference of the foreground's colours where the person is, in thousandths",
    "fgr_mse": "the same squared",
}


def text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: the first on the left, the others on the right."""
    cells = [list(header), *([_shown(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        lines.append("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip())
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [[_shown(value).replace("|", "\\|") for value in row] for row in rows]
    numeric = [all(not isinstance(row[k], str) for row in rows) for k in range(len(header))]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *cells))


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """With every digit; a missing value is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return out.getvalue()


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
