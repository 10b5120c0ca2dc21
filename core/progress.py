"""Progress of a clip: a bar with speed and time left, plain lines where there is no terminal, or JSON."""

import json
import sys
import time
from types import TracebackType
from typing import Literal

from tqdm import tqdm

Style = Literal["auto", "bar", "plain", "json", "none"]
SECONDS_BETWEEN_LINES = {"plain": 5.0, "json": 0.5}


class Progress:
    """Called with (frames done, frames in all or None) after every chunk; a context manager that ends the bar."""

    def __init__(self, style: Style, name: str):
        self.style = style
        self.name = name
        self._bar: tqdm | None = None
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
        if self.style == "bar":
            if self._bar is None:
                self._bar = tqdm(total=total, desc=self.name, unit="frame", dynamic_ncols=True, leave=False)
            self._bar.update(done - self._bar.n)
        elif self.style != "none":
            self._line(done, total)

    def _line(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES[self.style] and done != total:
            return
        self._last_line = now
        fps = done / max(now - self._started, 1e-9)
        left = (total - done) / fps if total and fps and total > done else 0.0
        if self.style == "json":
            event = {"event": "progress", "input": self.name, "frames": done, "total": total}
            print(json.dumps({**event, "fps": round(fps, 3), "seconds_left": round(left, 1)}), flush=True)
            return
        share = f"{done}/{total} frames ({100 * done / total:.0f} %)" if total else f"{done} frames"
        ending = f", {tqdm.format_interval(left)} left" if total else ""
        print(f"{self.name}: {share}, {fps:.1f} fps{ending}", file=sys.stderr, flush=True)


def make_progress(style: Style, name: str) -> Progress:
    """ "auto" is a bar on a terminal and plain lines elsewhere."""
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "plain"
    return Progress(style, name)
