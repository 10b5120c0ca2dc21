"""Shows the progress of a clip: a bar with speed and remaining time, plain lines without a terminal, or JSON."""

import json
import sys
import time
from types import TracebackType
from typing import Literal

from tqdm import tqdm

from .safe_text import safe_name

Style = Literal["auto", "bar", "plain", "json", "none"]
SECONDS_BETWEEN_LINES = {"plain": 5.0, "json": 0.5}


class _Bar(tqdm):
    monitor_interval = 0  # no monitor thread, which could interfere when Ctrl-C ends the process


class Progress:
    """Called with (finished frames, all frames or None) after every chunk; a context manager that closes the bar.

    The speed is measured from the first call on, because opening files and warming up would make the remaining time
    seem far too long.
    """

    def __init__(self, style: Style, name: str):
        self.style = style
        self.name = name
        self._bar: tqdm | None = None
        self._first: tuple[int, float] | None = None  # frames and time of the first call
        self._last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.style == "bar":  # shown at once, because the first frames may take a while
            self._bar = _Bar(desc=safe_name(self.name), unit=" frames", miniters=1, dynamic_ncols=True, leave=False)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is not None:
            if self._first is None:
                self._bar.reset(total)
                self._bar.initial = self._bar.n = self._bar.last_print_n = done
                self._bar.refresh()
            self._bar.update(done - self._bar.n)
        if self._first is None:
            self._first = done, time.monotonic()
        if self.style in SECONDS_BETWEEN_LINES:
            self._line(done, total)

    def _line(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES[self.style] and done != total:
            return
        self._last_line = now
        assert self._first is not None
        first, started = self._first
        fps = (done - first) / max(now - started, 1e-9) if done > first else None
        if total is not None and done > total:
            total = None  # the container's count was an estimate
        left = (total - done) / fps if total is not None and fps else None
        if self.style == "json":
            event = {"event": "progress", "input": self.name, "frames": done, "total": total}
            event |= {"fps": fps and round(fps, 3), "seconds_left": None if left is None else round(left, 1)}
            print(json.dumps(event), flush=True)
            return
        share = f"{done}/{total} frames ({100 * done / total:.0f} %)" if total else f"{done} frames"
        speed = f", {fps:.1f} fps" if fps else ""
        ending = f", {tqdm.format_interval(left)} left" if left else ""
        print(f"{safe_name(self.name)}: {share}{speed}{ending}", file=sys.stderr, flush=True)


def make_progress(style: Style, name: str) -> Progress:
    """A progress display, to be used as a context manager and called with (finished frames, all frames or None).

    Args:
        style: "bar", "plain" (lines), "json" (lines on standard output), "none", or "auto": a bar on a terminal and
            plain lines elsewhere.
        name: The clip's name in the display.

    Returns:
        The display.

    Example:
        >>> from rvm_studio import core
        >>> with core.make_progress("none", "clip.mp4") as progress:
        ...     progress(8, 100)
    """
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "plain"
    return Progress(style, name)
