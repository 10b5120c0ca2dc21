"""Matting one clip for the command line: here, or in a process of its own (clip_process.py), by the same function."""

import argparse
import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import StudioError
from .option_parsing import Frames

if TYPE_CHECKING:
    from ..clips.options import ClipReport
    from ..engines import Engine

Progress = Callable[[int, int | None], object]


@dataclass(frozen=True)
class ClipRequest:
    """A clip to matte. settings: keywords of `rvm_studio.matte`. edges: those of EdgeOptions that are not the default.
    start, end: of the part to matte, seconds or frames."""

    source: str
    settings: dict[str, Any]
    edges: dict[str, float] = field(default_factory=dict)
    start: Fraction | Frames | None = None
    end: Fraction | Frames | None = None


class WorkHere:
    """Mattes clips in this process."""

    def __init__(self, engine: "Engine"):
        self._engine = engine

    def matte(self, request: ClipRequest, progress: Progress, stop: threading.Event) -> "ClipReport":
        """Mattes one clip. Raises StudioError."""
        return matte_request(request, self._engine, progress, stop.is_set)

    def close(self) -> None:
        """Nothing to end."""


def load_all(load_engine: Callable[[], "Engine"], background: str | None) -> "Engine":
    """The engine; raises StudioError for it and for a background that cannot be read, instead of at the first clip."""
    if background is not None:
        from ..clips.background import Background

        Background(background).close()
    return load_engine()


def matte_request(
    request: ClipRequest, engine: "Engine", progress: Progress, stopped: Callable[[], bool]
) -> "ClipReport":
    """Mattes the clip of a request."""
    from ..clips.matte_file import matte

    settings = dict(request.settings)
    if request.edges:
        from ..pictures.edges import EdgeOptions

        settings["edges"] = EdgeOptions(**request.edges)
    settings |= _span(request)
    return matte(request.source, **settings, engine=engine, progress=progress, stopped=stopped)


def _span(request: ClipRequest) -> dict[str, Fraction]:
    """The part of the clip as keywords of `matte`. Raises StudioError for an end that is not after the start."""
    if request.start is None and request.end is None:
        return {}
    seconds = functools.partial(_seconds, source=request.source, frame_rate=request.settings.get("frame_rate"))
    start = Fraction(0) if request.start is None else seconds(request.start)
    if request.end is None:
        return {"start": start}
    end = seconds(request.end)
    if end <= start:
        raise StudioError(f"The end {float(end):g} s is not after the start {float(start):g} s.")
    return {"start": start, "duration": end - start}


def _seconds(time: Fraction | Frames, source: str, frame_rate: Fraction | None) -> Fraction:
    if not isinstance(time, Frames):
        return time
    from ..video.reader import open_reader

    with contextlib.closing(open_reader(source, frame_rate)) as reader:
        return time.number / reader.info.frame_rate


def network_of(arguments: argparse.Namespace) -> argparse.Namespace:
    """The options that choose the network, which can be sent to another process."""
    from ..clips.option_table import options_of

    return argparse.Namespace(**{option.name: getattr(arguments, option.name) for option in options_of("network")})
