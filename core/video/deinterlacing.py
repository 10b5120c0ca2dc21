"""Interlaced frames: in which order their fields were taken, and whole frames made of them (with libav's bwdif)."""

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import av.filter

from ..errors import StudioError
from .container import known

_UNIT = Fraction(1, 90000)  # of the times in a graph; any would do
MODES = ("no", "frame", "field")
"""One frame from each interlaced frame, or from each of its fields, which doubles the frame rate."""


def check_mode(mode: str) -> str:
    """The mode. Raises StudioError if it is none."""
    if mode not in MODES:
        raise StudioError(f"Unknown way to deinterlace: {mode!r}. Use {', '.join(MODES)}.")
    return mode


def field_order_of(frame: av.VideoFrame) -> str:
    """How a decoded frame is marked: "progressive", or the field that was taken first, "top" or "bottom"."""
    if not frame.interlaced_frame:
        return "progressive"
    graph = _graph(frame, [("select", "eq(interlace_type\\,TOPFIRST)")])  # PyAV does not tell it
    graph.push(frame)
    graph.push(None)
    try:
        graph.pull()
    except (av.error.EOFError, av.error.BlockingIOError):
        return "bottom"
    return "top"


class Deinterlacer:
    """Makes whole frames, in the order and at the times of those given.

    Args:
        mode: "frame" or "field".
        marked_only: Whether frames that are not marked as interlaced are passed through.
    """

    def __init__(self, mode: str, marked_only: bool) -> None:
        self._per_frame = 2 if mode == "field" else 1
        which = "interlaced" if marked_only else "all"
        self._options = f"mode=send_{mode}:parity=auto:deint={which}"
        self._graph: av.filter.Graph | None = None
        self._key: tuple | None = None

    def frames(self, decoded: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Frames with a pts in any unit -> whole frames with a pts in the same unit ("frame") or half of it."""
        for frame in decoded:
            key = frame.width, frame.height, frame.format.name
            if key != self._key:
                yield from self._rest()
                self._graph, self._key = _graph(frame, [("bwdif", self._options)]), key
            assert self._graph is not None
            self._graph.push(frame)
            yield from self._ready()
        yield from self._rest()

    def _ready(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.EOFError, av.error.BlockingIOError):
                return
            assert isinstance(frame, av.VideoFrame)
            unit = known(frame.time_base)
            if frame.pts is not None and unit is not None:  # bwdif counts in half units
                frame.pts = round(frame.pts * unit / _UNIT * self._per_frame)
            yield frame

    def _rest(self) -> Iterator[av.VideoFrame]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
            self._graph = None


class FieldMark:
    """Marks frames for an encoder as interlaced, "top" or "bottom" field first."""

    def __init__(self, order: str) -> None:
        self._mode = {"top": "tff", "bottom": "bff"}[order]
        self._graph: av.filter.Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, without a copy of its pixels and without a time."""
        if self._graph is None:
            self._graph = _graph(frame, [("setfield", f"mode={self._mode}")])
        self._graph.push(frame)
        marked = self._graph.pull()
        assert isinstance(marked, av.VideoFrame)
        return marked


def _graph(frame: av.VideoFrame, filters: list[tuple[str, str]]) -> av.filter.Graph:
    graph = av.filter.Graph()
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
    source = f"{size}:time_base={_UNIT.numerator}/{_UNIT.denominator}:pixel_aspect=1/1"
    nodes = [graph.add("buffer", source), *(graph.add(name, options) for name, options in filters)]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes)
    graph.configure()
    return graph
