"""The main job: a clip in, its matte out. Reading, matting and writing overlap; memory does not grow with length."""

# T frames, C channels, H, W

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .alpha_ops import composite, hide_invisible, premultiply
from .background import Background
from .contact_sheet import ContactSheet
from .errors import StudioError
from .matting_session import MattingSession
from .output_formats import Content
from .picture_sequence import find_pictures
from .pixel_format import frames_from_pictures, pictures_from_frames, quantise, rgba_pictures, to_float
from .video_reader import ClipInfo, FrameReader, SourceFrame, open_reader
from .video_writer import FrameWriter

Kind = Literal["matte", "composite", "alpha", "foreground"]
QUEUE_LENGTH = 4  # frames waiting on each side of the network


@dataclass(frozen=True)
class Output:
    """One file to write: "matte" (RGBA), "composite" over the background (RGB), "alpha" (grey), or "foreground"
    (RGB, black where nothing is visible)."""

    path: Path
    kind: Kind


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is written. background: see core.background. premultiplied: of "matte" outputs. quality: see
    FrameWriter. preview: path of a contact sheet. frame_rate: of image sequences."""

    background: str = "#00b140"  # the green of green screens
    premultiplied: bool = False
    quality: float | None = None
    overwrite: bool = False
    preview: Path | None = None
    frame_rate: Fraction | None = None


@dataclass
class ClipReport:
    """What became of a clip. outputs: the files written (partial ones after a stop). notes: what a user should know;
    damage: places of the source that could not be read."""

    source: Path
    outputs: list[Path] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


def matte_clip(
    source: str | Path,
    outputs: Sequence[Output],
    session: MattingSession,
    options: ClipOptions | None = None,
    *,
    on_progress: Callable[[int, int | None], None] | None = None,
    stop: threading.Event | None = None,
) -> ClipReport:
    """Mattes `source` (see open_reader) with a fresh session into all `outputs` in one pass.

    on_progress(frames done, frames in all or None) is called after every chunk. Setting `stop` ends the work soon:
    what is done stays as playable files under `.partial` names, and the report says stopped.

    Raises StudioError for a source that cannot be read and outputs that cannot be written; what was finished by
    then is kept under `.partial` names, and the error says so.
    """
    options = options or ClipOptions()
    stop = stop or threading.Event()
    report = ClipReport(Path(source))
    started = time.perf_counter()
    _refuse_overlap(Path(source), outputs, options)
    if options.preview and options.preview.exists() and not options.overwrite:
        raise StudioError(
            f"The contact sheet {options.preview} exists already: allow overwriting (--overwrite), or choose another "
            "name."
        )
    with ExitStack() as tidy:
        reader = tidy.enter_context(closing(open_reader(source, options.frame_rate)))
        renderer = _Renderer(reader.info, session, outputs, options)
        tidy.callback(renderer.close)
        lines: list[_WriterLine] = []
        try:
            for output in outputs:
                lines.append(_WriterLine(_open_writer(output, reader.info, options)))
            with closing(_read_ahead(reader)) as frames:
                for chunk, ahead in _chunks(frames, session, reader.info, stop):
                    if stop.is_set():
                        break
                    for pictures in renderer.render(chunk, ahead, [line.writer.bit_depth for line in lines]):
                        for line, picture in zip(lines, pictures.images, strict=True):
                            line.put(picture, pictures.pts, pictures.number)
                    report.frames += len(chunk)
                    if on_progress:
                        on_progress(report.frames, reader.info.frame_count)
            if report.frames == 0 and not stop.is_set():
                raise StudioError(f"{source} holds no frame that can be read. Check that it plays elsewhere.")
            _end(lines, report, stop.is_set())
        except BaseException as error:
            kept = [path for line in lines if (path := line.abandon(keep=report.frames > 0))]
            if kept and isinstance(error, StudioError):
                names = ", ".join(map(str, kept))
                raise StudioError(f"{error} What was done ({report.frames} frames) is kept in {names}.") from error
            raise
        if options.preview and report.frames:
            try:
                report.outputs.append(renderer.sheet.save(options.preview))
            except StudioError as error:
                names = ", ".join(map(str, report.outputs))
                raise StudioError(f"{error} All else was written: {names}.") from error
        report.damage = list(reader.damage)
    report.notes += dict.fromkeys(note for line in lines for note in line.writer.notes)
    if session.cuts:
        report.notes.append(f"scene cuts at frames {', '.join(map(str, session.cuts))}")
    report.seconds = time.perf_counter() - started
    return report


def _refuse_overlap(source: Path, outputs: Sequence[Output], options: ClipOptions) -> None:
    """No output may be the source, a picture of it or among its pictures, the background, or another output."""
    pictures = [picture.path.resolve() for picture in find_pictures(source) or []]
    taken = dict.fromkeys(pictures, "a picture of the input")
    taken |= {Path(options.background).resolve(): "the background", source.resolve(): "the input"}
    folders = {path.parent for path in pictures}
    for path in [*(output.path for output in outputs), *([options.preview] if options.preview else [])]:
        place = path.resolve()
        what = taken.get(place)
        if what is None and path.exists():  # names that differ in case only, links
            what = next((said for other, said in taken.items() if other.exists() and path.samefile(other)), None)
        if what is not None:
            raise StudioError(f"The output {path} is {what}. Choose another name; the input is never overwritten.")
        is_sequence = path.suffix.lower() == ".png" and path != options.preview
        if is_sequence and (place.parent if "%" in path.name else place.with_suffix("")) in folders:
            raise StudioError(f"The output {path} would lie among the pictures of the input. Choose another folder.")
        taken[place] = "already the name of another output"


def _open_writer(output: Output, info: ClipInfo, options: ClipOptions) -> FrameWriter:
    contents: dict[Kind, Content] = {"matte": "rgba", "composite": "rgb", "alpha": "gray", "foreground": "rgb"}
    return FrameWriter(
        output.path,
        content=contents[output.kind],
        width=info.width,
        height=info.height,
        frame_rate=info.frame_rate,
        time_base=info.time_base,
        tags=info.tags,
        bit_depth=info.bit_depth,
        sample_aspect_ratio=info.sample_aspect_ratio,
        premultiplied=options.premultiplied and output.kind == "matte",
        copy_from=info.path if info.kind == "video" and output.kind != "alpha" else None,
        quality=options.quality,
        overwrite=options.overwrite,
        single=info.kind == "still",
    )


def _read_ahead(reader: FrameReader) -> Generator[SourceFrame, None, None]:
    """The reader's frames, a few decoded ahead in a thread."""
    source = iter(reader)
    with ThreadPoolExecutor(1, "rvm-read") as thread:
        waiting = deque(thread.submit(next, source, None) for _ in range(QUEUE_LENGTH))
        try:
            while (frame := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, source, None))
                yield frame
        finally:
            for future in waiting:
                future.cancel()


def _chunks(
    frames: Iterator[SourceFrame], session: MattingSession, info: ClipInfo, stop: threading.Event
) -> Iterator[tuple[list[SourceFrame], list[SourceFrame]]]:
    """Frames in the session's chunks, each with the frames after it that the warm-up of a new scene may look at;
    the session is warmed up on the clip's opening before."""
    size, ahead = session.chunk_for(info.height, info.width), session.look_ahead
    waiting = deque(islice(frames, session.warm_up + 1))
    if session.warm_up and waiting:
        session.warm_up_on([frame.image for frame in waiting], stop.is_set)
    while True:
        waiting += islice(frames, max(0, size + ahead - len(waiting)))
        if not waiting:
            return
        chunk = [waiting.popleft() for _ in range(min(size, len(waiting)))]
        yield chunk, list(islice(waiting, ahead))


@dataclass
class _Pictures:
    """One frame's picture [H, W, C] for each output."""

    images: list[np.ndarray]
    pts: int
    number: int


class _Renderer:
    """Turns source frames into the pictures of each output, on the session's device."""

    def __init__(self, info: ClipInfo, session: MattingSession, outputs: Sequence[Output], options: ClipOptions):
        self.info = info
        self.session = session
        self.kinds: list[Kind] = [output.kind for output in outputs]
        self.premultiplied = options.premultiplied
        self.background = Background(options.background) if "composite" in self.kinds else None
        self.sheet = ContactSheet()
        self.draws_sheet = options.preview is not None
        self.index = 0
        self.first_pts: int | None = None

    def close(self) -> None:
        if self.background:
            self.background.close()

    def render(self, chunk: list[SourceFrame], ahead: list[SourceFrame], bit_depths: list[int]) -> Iterator[_Pictures]:
        """The pictures of a chunk's frames, in order; `bit_depths` (8 or 16) are the outputs'.

        Frame by frame from the network on: a whole chunk's composites would take more of a card's memory than it.
        """
        foreground = self.draws_sheet or any(kind != "alpha" for kind in self.kinds)
        frames = frames_from_pictures([frame.image for frame in chunk])
        coming = iter(chunk)
        for result in self.session.stream(frames, foreground=foreground, ahead=[frame.image for frame in ahead]):
            fgr = result.fgr if result.fgr is not None else result.pha
            for t, frame in zip(range(len(result.pha)), coming, strict=False):
                yield self._render_frame(frame, fgr[t : t + 1], result.pha[t : t + 1], bit_depths)

    def _render_frame(self, frame: SourceFrame, fgr: Tensor, pha: Tensor, bit_depths: list[int]) -> _Pictures:
        seconds = self._seconds(frame)
        source = frames_from_pictures([frame.image])
        if self.draws_sheet and self.sheet.wants(self.index):
            self.sheet.add(self.index, seconds, to_float(source)[0], fgr[0], pha[0])
        self.index += 1
        src = None
        if self.background and self.background.needs_source:
            src = to_float(source, fgr.device)
        images = [
            self._picture(kind, src, fgr, pha, seconds, torch.uint16 if depth > 8 else torch.uint8)
            for kind, depth in zip(self.kinds, bit_depths, strict=True)
        ]
        return _Pictures(images, frame.pts, frame.number)

    def _picture(
        self, kind: Kind, src: Tensor | None, fgr: Tensor, pha: Tensor, seconds: float, dtype: torch.dtype
    ) -> np.ndarray:
        """One output's picture [H, W, C] from one frame's src, fgr [1, 3, H, W] and pha [1, 1, H, W]."""
        if kind == "alpha":
            return pictures_from_frames(quantise(pha, dtype))[0]
        if kind == "composite":
            assert self.background is not None
            bgr = self.background.frames(src, pha, [seconds])
            return pictures_from_frames(quantise(composite(fgr, pha, bgr), dtype))[0]
        alpha = quantise(pha, dtype)
        if kind == "matte" and self.premultiplied:
            color = quantise(premultiply(fgr, pha), dtype)
        else:
            color = hide_invisible(quantise(fgr, dtype), alpha)
        return (rgba_pictures(color, alpha) if kind == "matte" else pictures_from_frames(color))[0]

    def _seconds(self, frame: SourceFrame) -> float:
        """The frame's time from the clip's first frame on."""
        if self.first_pts is None:
            self.first_pts = frame.pts
        return float((frame.pts - self.first_pts) * self.info.time_base)


class _WriterLine:
    """A writer in a thread of its own, a few frames behind."""

    def __init__(self, writer: FrameWriter):
        self.writer = writer
        self._finished: Path | None = None
        self._thread = ThreadPoolExecutor(1, "rvm-write")
        self._waiting: deque[Future[None]] = deque()

    def put(self, picture: np.ndarray, pts: int, number: int) -> None:
        """Queues a frame; waits while the queue is full. Raises what writing an earlier one raised."""
        while len(self._waiting) >= QUEUE_LENGTH:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self.writer.write, picture, pts, number))

    def finish(self) -> Path:
        while self._waiting:
            self._waiting.popleft().result()
        self._thread.shutdown()
        self._finished = self.writer.finish()
        return self._finished

    def abandon(self, keep: bool) -> Path | None:
        """Ends the writer after a fault or stop. A finished output stays, and is returned."""
        if self._finished:
            return self._finished
        self._thread.shutdown(cancel_futures=not keep)
        for future in self._waiting:
            if not future.cancelled() and (error := future.exception()):
                self.writer.notes.append(f"the last frames were not written: {error}")
                break
        return self.writer.abandon(keep)


def _end(lines: list[_WriterLine], report: ClipReport, stopped: bool) -> None:
    """Finishes all outputs, or leaves them as partial files after a stop."""
    report.stopped = stopped
    for line in lines:
        path = line.abandon(keep=report.frames > 0) if stopped else line.finish()
        if path:
            report.outputs.append(path)
