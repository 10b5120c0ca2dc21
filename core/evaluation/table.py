"""Formats scores as tables: aligned text, CSV and Markdown. Cells are numbers, texts or None (a dash)."""

import csv
import io
from collections.abc import Sequence

MEANINGS = {
    "mad": "mean difference of the alpha, in thousandths (6 is 0.6 %)",
    "mse": "mean squared difference, in thousandths: large errors weigh more",
    "grad": "difference of the edges; grows with the size of the picture",
    "conn": "alpha that is not connected to the person; grows with the size of the picture",
    "dtssd": "flicker: difference of the changes between frames, in hundredths",
    "fgr_mad": "mean difference of the foreground's colours where the person is, in thousandths",
    "fgr_mse": "mean squared difference of the same, in thousandths",
}
"""What each metric means, by name."""


def text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    cells = [list(header), *([_shown(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        lines.append("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip())
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Formats a table in Markdown.

    Args:
        header: Titles of the columns.
        rows: Cells: numbers (floats with two decimals), texts, or None (a dash).

    Returns:
        The table; columns without texts are aligned to the right.

    Example:
        >>> from rvm_studio import core
        >>> print(core.markdown_table(["clip", "mad"], [["a", 6.125]]))
        | clip | mad |
        | --- | ---: |
        | a | 6.12 |
    """
    cells = [[_shown(value).replace("|", "\\|") for value in row] for row in rows]
    numeric = [all(not isinstance(row[k], str) for row in rows) for k in range(len(header))]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *cells))


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV with all digits; a missing value is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return out.getvalue()


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
