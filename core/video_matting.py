"""The main job: a clip in, its matte out. Reading, matting and writing overlap; memory does not grow with length."""

# T frames, C channels, H, W

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .alpha_ops import check_number, checkerboard, composite, hide_invisible, premultiply
from .background import Background
from .contact_sheet import ContactSheet
from .decontaminate import decontaminate
from .errors import StudioError
from .mask_ops import EdgeOptions, refine_edges
from .matting_session import MattingSession, Stopped
from .output_files import NotResumable, Written, partial_path
from .output_formats import Content
from .picture_sequence import find_pictures
from .pixel_format import frames_from_pictures, pictures_from_frames, quantise, rgba_pictures, to_float
from .resume import JobRecord, Stop, describe
from .video_color import ColorTags
from .video_reader import ClipInfo, FrameReader, SourceFrame, open_reader
from .video_writer import FrameWriter, WriterThread

Kind = Literal["matte", "composite", "alpha", "foreground", "preview"]
QUEUE_LENGTH = 4  # frames waiting on each side of the network
PREVIEW_SIDE = 512  # pixels, at most
_PREVIEW_QUALITY = 23  # crf
_HDR_TRANSFERS = (16, 18)  # PQ and HLG: they would be written as HEVC, which browsers do not show
_PREVIEW_TAGS_OF_HDR = ColorTags(1, 1, 1, 1)


@dataclass(frozen=True)
class Output:
    """One file to write: "matte" (RGBA), "composite" over the background (RGB), "alpha" (grey), "foreground" (RGB,
    black where nothing is visible), or "preview" (.mp4: small, without sound, the matte over a checkerboard; of a job
    that is gone on with it shows the frames from there on)."""

    path: Path
    kind: Kind


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is written. background: see core.background. premultiplied: of "matte" outputs. quality: see
    FrameWriter; of all but previews. preview: path of a contact sheet. frame_rate: of image sequences. start, duration:
    the part of the clip that is matted, see open_reader; outputs begin at time 0 then. keep_audio: copy the sound of a
    video. edges: what is done to the alpha, for all outputs. decontaminate: 1 takes the network's colours of the
    foreground, 0 the source's own, with what they have of the old background at soft edges; between them a mix.
    resume: go on with what a stopped run of the same job has left, see matte_clip."""

    background: str | Tensor = "#00b140"  # the green of green screens
    premultiplied: bool = False
    quality: float | None = None
    overwrite: bool = False
    preview: Path | None = None
    frame_rate: Fraction | None = None
    start: Fraction | float = 0
    duration: Fraction | float | None = None
    keep_audio: bool = True
    edges: EdgeOptions | None = None
    decontaminate: float = 1
    resume: bool = False

    def __post_init__(self) -> None:
        check_number("decontaminate", self.decontaminate, 0, 1)


@dataclass
class ClipReport:
    """What became of a clip. outputs: the files written (partial ones after a stop). frames: in them, of which an
    earlier run made the first `resumed`. notes: what a user should know; damage: places of the source that could not be
    read."""

    source: Path
    outputs: list[Path] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    stopped: bool = False
    resumed: int = 0

    @property
    def frames_per_second(self) -> float:
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0


def matte_clip(
    source: str | Path,
    outputs: Sequence[Output],
    session: MattingSession,
    options: ClipOptions | None = None,
    *,
    on_progress: Callable[[int, int | None], None] | None = None,
    on_result: Callable[[Tensor, Tensor], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> ClipReport:
    """Mattes `source` (see open_reader) into all `outputs` in one pass. A fresh session is warmed up on the clip's
    opening; one with a state goes on from it (frames of another size are an error before anything else happens).

    on_progress(frames done, frames in all or None) and on_result(fgr [1, 3, H, W], pha [1, 1, H, W] of its last frame,
    float 0..1 on the session's device; the source's colours as fgr where no output needs the foreground's) are called
    after every chunk. stopped: the session's `stopped` for this call; once it says so the work ends soon: what is done
    stays as playable files under `.partial` names, and the report says stopped.

    A stop, or an error, also leaves a record beside the first of them, unless their frames differ in number or depend
    on one another (APNG, WebP, MP4, VP9 with loss). With options.resume the same job, that is the same clip, settings
    and program, goes on from there: the result has the frames, times and sound of a run without a stop, bit for bit.
    Where it cannot, it begins anew and a note says why; a killed run leaves no record. A contact sheet shows frames of
    the last run.

    Raises StudioError for a source that cannot be read and outputs that cannot be written; what was finished by
    then is kept under `.partial` names, and the error says so.
    """
    options = options or ClipOptions()
    source = Path(source)
    report = ClipReport(source)
    started = time.perf_counter()
    _refuse_overlap(source, outputs, options)
    if options.preview and options.preview.exists() and not options.overwrite:
        raise StudioError(
            f"The contact sheet {options.preview} exists already: allow overwriting (--overwrite), or choose another "
            "name."
        )
    with ExitStack() as tidy:
        if stopped is not None:
            tidy.callback(setattr, session, "stopped", session.stopped)
            session.stopped = stopped
        reader = open_reader(source, options.frame_rate, start=options.start, duration=options.duration)
        tidy.enter_context(closing(reader))
        session.fitting_ratio(reader.info.height, reader.info.width)
        renderer = _Renderer(reader.info, session, outputs, options)
        tidy.callback(renderer.close)
        job = _Job(source, outputs, session, options, reader.info, report)
        try:
            try:
                job.begin()
                reader.skip = report.resumed
                with closing(_read_ahead(reader)) as frames:
                    renderer.pass_over(islice(frames, report.resumed))
                    chunks = _chunks(frames, session, reader.info, report.resumed)
                    _matte_chunks(chunks, renderer, job.lines, report, on_progress, on_result)
            except Stopped:
                report.stopped = True
            if report.frames == 0 and not report.stopped:
                raise StudioError(f"{source} holds no frame that can be read. Check that it plays elsewhere.")
            job.leave() if report.stopped else job.finish()
        except BaseException as error:
            job.leave()
            if report.outputs and isinstance(error, StudioError):
                names = ", ".join(map(str, report.outputs))
                onward = ", and resume (--resume) goes on from there" if job.can_go_on else ""
                raise StudioError(
                    f"{error} What was done ({report.frames} frames) is kept in {names}{onward}."
                ) from error
            raise
        if options.preview and renderer.index > report.resumed:
            try:
                report.outputs.append(renderer.sheet.save(options.preview))
            except StudioError as error:
                names = ", ".join(map(str, report.outputs))
                raise StudioError(f"{error} All else was written: {names}.") from error
        report.damage = list(reader.damage)
    report.notes += dict.fromkeys(note for line in job.lines for note in line.writer.notes)
    if cuts := job.cuts:
        report.notes.append(f"scene cuts at frames {', '.join(map(str, cuts))}")
    report.seconds = time.perf_counter() - started
    return report


def can_resume(
    source: str | Path, outputs: Sequence[Output], session: MattingSession, options: ClipOptions | None = None
) -> bool:
    """Whether `matte_clip` with options.resume would find what a stopped run of this job has left. Raises as it does
    for a source that cannot be read."""
    options = options or ClipOptions()
    with open_reader(source, options.frame_rate, start=options.start, duration=options.duration) as reader:
        record = _Job(Path(source), outputs, session, options, reader.info, ClipReport(Path(source))).record
        try:
            return record is not None and bool(record.load())
        except NotResumable:
            return False


class _Job:
    """The outputs of a clip from their beginning to their end, whichever end that is."""

    def __init__(
        self,
        source: Path,
        outputs: Sequence[Output],
        session: MattingSession,
        options: ClipOptions,
        info: ClipInfo,
        report: ClipReport,
    ):
        self.lines: list[WriterThread] = []
        self.record: JobRecord | None = None
        self._outputs, self._session, self._options = outputs, session, options
        self._info, self._report = info, report
        self._earlier: Stop | None = None
        self.can_go_on = False  # after `leave`
        self._left = False
        self._first_cut = len(session.cuts)
        self._frames_before = session.state.frame_count if session.state else 0  # of the session, before the clip's
        lasting = [output for output in outputs if output.kind != "preview"]
        if lasting and info.kind != "still":
            self.record = JobRecord(
                [output.path for output in lasting], lambda: describe(source, lasting, session, options, info)
            )

    def begin(self) -> None:
        """Opens all outputs, to go on with them if that is wished and can be. Raises Stopped."""
        reason = ""
        if self.record and self._options.resume:
            left = any(partial_path(path).exists() for path in self.record.outputs)
            try:
                self._earlier = self.record.load()
                self._open(self._earlier)
            except NotResumable as error:
                self._earlier = None
                reason = str(error) if left else ""
        if self._earlier:
            self._session.state = self._earlier.state
            self._frames_before = self._earlier.state.frame_count - self._earlier.frames
            self._report.frames = self._report.resumed = self._earlier.frames
            self._report.notes.append(f"gone on from frame {self._earlier.frames}")
            return
        self._open(None)
        if self.record:
            self.record.remove()
            dependent = [line.writer.path.name for line in self._lasting_lines() if not line.writer.can_go_on]
            if dependent:
                self.record = None
                reason = reason and f"of {', '.join(dependent)} each frame depends on those before it"
            else:
                self.record.prepare()
        if reason:
            self._report.notes.append(f"begun anew: {reason}")

    def _open(self, earlier: Stop | None) -> None:
        written = iter(earlier.written if earlier else [])
        try:
            for output in self._outputs:
                is_preview = output.kind == "preview"
                done = None if is_preview else next(written, None)
                writer = _open_writer(output, self._info, self._options, done)
                self.lines.append(WriterThread(writer, QUEUE_LENGTH, from_zero=is_preview and earlier is not None))
            for line in self._lasting_lines() if earlier else []:
                if not line.writer.take_earlier(self._session.stopped):
                    raise Stopped
        except BaseException:
            for line in self.lines:
                line.abandon(keep=False)
            self.lines = []
            raise

    def _lasting_lines(self) -> list[WriterThread]:
        """Those of all outputs but previews."""
        return [line for line, output in zip(self.lines, self._outputs, strict=False) if output.kind != "preview"]

    @property
    def cuts(self) -> list[int]:
        """The clip's frames that began a new scene."""
        before = self._earlier.cuts if self._earlier else []
        return before + [cut - self._frames_before for cut in self._session.cuts[self._first_cut :]]

    def finish(self) -> None:
        for line in self.lines:
            self._report.outputs.append(line.finish())
        if self.record:
            self.record.remove()

    def leave(self) -> None:
        """Ends the outputs early, and leaves a record where all hold the frames that the state has seen."""
        if self._left:
            return
        self._left = True
        report, state, lines = self._report, self._session.state, self._lasting_lines()
        for line in self.lines:
            line.end(keep=report.frames > 0)
        finished = any(line.finished for line in lines)
        in_step = state is not None and state.frame_count - self._frames_before == report.frames and not finished
        in_step = in_step and all(line.writer.frames == report.frames for line in lines)
        if self._earlier and not finished and not (in_step and report.frames > report.resumed):
            self._leave_as_it_was(self._earlier)
            return
        if self.record and self.lines:
            self.record.remove()
        report.outputs = [path for line in self.lines if (path := line.abandon(keep=report.frames > 0))]
        if self.record and report.outputs and in_step and all(line.writer.can_go_on for line in lines):
            assert state is not None
            try:
                self.record.save(Stop(state, self.cuts, [line.writer.written for line in lines]))
                self._can_go_on()
            except StudioError as error:
                report.notes.append(f"this job cannot be gone on with: {error}")

    def _leave_as_it_was(self, earlier: Stop) -> None:
        """The partial files of the earlier run are still there, and so is their record."""
        assert self.record is not None
        for line in self.lines:
            line.abandon(keep=False)
        self._report.frames = self._report.resumed = earlier.frames
        self._report.outputs = [partial_path(path) for path in self.record.outputs]
        self._can_go_on()

    def _can_go_on(self) -> None:
        self.can_go_on = True
        self._report.notes.append(f"resume (--resume) goes on from frame {self._report.frames}")


def _matte_chunks(
    chunks: Iterator[tuple[list[SourceFrame], list[SourceFrame]]],
    renderer: "_Renderer",
    lines: list[WriterThread],
    report: ClipReport,
    on_progress: Callable[[int, int | None], None] | None,
    on_result: Callable[[Tensor, Tensor], None] | None,
) -> None:
    """All chunks through the network to the writers. The report counts the frames. Raises Stopped."""
    bit_depths = [line.writer.bit_depth for line in lines]
    if on_progress and report.resumed:
        on_progress(report.frames, renderer.info.frame_count)
    for chunk, ahead in chunks:
        for pictures in renderer.render(chunk, ahead, bit_depths):
            for line, image in zip(lines, pictures.images, strict=True):
                line.put(image, pictures.pts, pictures.number)
            report.frames += 1
        if on_progress:
            on_progress(report.frames, renderer.info.frame_count)
        if on_result:
            on_result(*renderer.last_result())


def _refuse_overlap(source: Path, outputs: Sequence[Output], options: ClipOptions) -> None:
    """No output may be the source, a picture of it or among its pictures, the background, or another output."""
    pictures = [picture.path.resolve() for picture in find_pictures(source) or []]
    taken = dict.fromkeys(pictures, "a picture of the input")
    if isinstance(options.background, str):
        taken[Path(options.background).resolve()] = "the background"
    taken[source.resolve()] = "the input"
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


def _open_writer(output: Output, info: ClipInfo, options: ClipOptions, earlier: Written | None) -> FrameWriter:
    if output.kind == "preview":
        height, width = preview_size(info.height, info.width)
        return FrameWriter(
            output.path,
            content="rgb",
            width=width,
            height=height,
            frame_rate=info.frame_rate,
            time_base=info.time_base,
            tags=_PREVIEW_TAGS_OF_HDR if info.tags.transfer in _HDR_TRANSFERS else info.tags,
            sample_aspect_ratio=info.sample_aspect_ratio,
            quality=_PREVIEW_QUALITY,
            overwrite=options.overwrite,
            single=info.kind == "still",
        )
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
        copy_span=(info.begins, info.ends),
        copy_audio=options.keep_audio,
        quality=options.quality,
        overwrite=options.overwrite,
        single=info.kind == "still",
        earlier=earlier,
    )


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Even height and width of a preview, the longer one at most PREVIEW_SIDE."""
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    small_height, small_width = (max(2, 2 * int(side * scale / 2 + 1e-6)) for side in (height, width))
    return small_height, small_width


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
    frames: Iterator[SourceFrame], session: MattingSession, info: ClipInfo, done: int
) -> Iterator[tuple[list[SourceFrame], list[SourceFrame]]]:
    """Frames in the session's chunks, each with the frames after it that the warm-up of a new scene may look at;
    a fresh session is warmed up on the clip's opening before. After the first `done` frames, which an earlier run had,
    the chunks end where they would have ended."""
    size, ahead = session.chunk_for(info.height, info.width), session.look_ahead
    count = size - done % size
    waiting: deque[SourceFrame] = deque()
    if session.warm_up and session.state is None:
        waiting += islice(frames, session.warm_up + 1)
        if waiting:
            session.warm_up_on([frame.image for frame in waiting])
    while True:
        waiting += islice(frames, max(0, count + ahead - len(waiting)))
        if not waiting:
            return
        chunk = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        yield chunk, list(islice(waiting, ahead))
        count = size


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
        self.options = options
        self.kinds: list[Kind] = [output.kind for output in outputs]
        self.background = Background(options.background) if "composite" in self.kinds else None
        self.sheet = ContactSheet()
        self.index = 0
        self.first_pts: int | None = None
        self._needs_fgr = options.preview is not None or any(kind != "alpha" for kind in self.kinds)
        self._board = torch.empty(0)  # behind previews
        self._shown: tuple[SourceFrame, Tensor | None, Tensor] | None = None  # the last frame, its fgr and pha

    def close(self) -> None:
        if self.background:
            self.background.close()

    def render(self, chunk: list[SourceFrame], ahead: list[SourceFrame], bit_depths: list[int]) -> Iterator[_Pictures]:
        """The pictures of a chunk's frames, in order; `bit_depths` (8 or 16) are the outputs'.

        Frame by frame from the network on: a whole chunk's composites would take more of a card's memory than it.
        """
        foreground = self._needs_fgr and self.options.decontaminate > 0
        frames = frames_from_pictures([frame.image for frame in chunk])
        coming = iter(chunk)
        for result in self.session.stream(frames, foreground=foreground, ahead=[frame.image for frame in ahead]):
            for t, frame in zip(range(len(result.pha)), coming, strict=False):
                fgr = None if result.fgr is None else result.fgr[t : t + 1]
                yield self._render_frame(frame, fgr, result.pha[t : t + 1], bit_depths)

    def pass_over(self, frames: Iterator[SourceFrame]) -> None:
        """Counts frames that an earlier run has rendered. Raises Stopped."""
        for frame in frames:
            if self.session.stopped():
                raise Stopped
            self._seconds(frame)
            self.index += 1

    def last_result(self) -> tuple[Tensor, Tensor]:
        """fgr [1, 3, H, W] (src, where no output needed it) and pha [1, 1, H, W] of the last frame, float."""
        assert self._shown is not None
        frame, fgr, pha = self._shown
        return self._source(frame) if fgr is None else fgr, pha

    def _source(self, frame: SourceFrame) -> Tensor:
        """src [1, 3, H, W], float."""
        return to_float(frames_from_pictures([frame.image]), self.session.engine.device)

    def _render_frame(self, frame: SourceFrame, fgr: Tensor | None, pha: Tensor, bit_depths: list[int]) -> _Pictures:
        options, seconds = self.options, self._seconds(frame)
        if options.edges:
            pha = refine_edges(pha, options.edges)
        draws = options.preview is not None and self.sheet.wants(self.index)
        behind = self.background is not None and self.background.needs_source
        src = self._source(frame) if draws or behind or (self._needs_fgr and options.decontaminate < 1) else None
        if self._needs_fgr and options.decontaminate < 1:
            assert src is not None
            fgr = decontaminate(src, pha, options.decontaminate, fgr)
        self._shown = frame, fgr, pha
        if draws:
            assert src is not None
            assert fgr is not None
            self.sheet.add(self.index, seconds, src[0], fgr[0], pha[0])
        images = [
            self._picture(kind, src, fgr, pha, seconds, torch.uint16 if depth > 8 else torch.uint8)
            for kind, depth in zip(self.kinds, bit_depths, strict=True)
        ]
        self.index += 1
        return _Pictures(images, frame.pts, frame.number)

    def _picture(
        self, kind: Kind, src: Tensor | None, fgr: Tensor | None, pha: Tensor, seconds: float, dtype: torch.dtype
    ) -> np.ndarray:
        """One output's picture [H, W, C] from one frame's src, fgr [1, 3, H, W] and pha [1, 1, H, W]."""
        if kind == "alpha":
            return pictures_from_frames(quantise(pha, dtype))[0]
        assert fgr is not None
        if kind == "composite":
            assert self.background is not None
            bgr = self.background.frames(src, pha, [seconds], self.index)
            return pictures_from_frames(quantise(composite(fgr, pha, bgr), dtype))[0]
        if kind == "preview":
            return pictures_from_frames(quantise(self._over_board(fgr, pha), dtype))[0]
        alpha = quantise(pha, dtype)
        if kind == "matte" and self.options.premultiplied:
            color = quantise(premultiply(fgr, pha), dtype)
        else:
            color = hide_invisible(quantise(fgr, dtype), alpha)
        return (rgba_pictures(color, alpha) if kind == "matte" else pictures_from_frames(color))[0]

    def _over_board(self, fgr: Tensor, pha: Tensor) -> Tensor:
        """The small picture [1, 3, h, w] of a preview; scaled premultiplied, so that nothing hidden shows at edges."""
        size = preview_size(*pha.shape[-2:])
        small, alpha = (F.interpolate(x, size, mode="area") for x in (premultiply(fgr, pha), pha))
        if self._board.shape[-2:] != size:
            self._board = checkerboard(*size, device=pha.device)
        return small + (1 - alpha) * self._board

    def _seconds(self, frame: SourceFrame) -> float:
        """The frame's time from the clip's first frame on."""
        if self.first_pts is None:
            self.first_pts = frame.pts
        return float((frame.pts - self.first_pts) * self.info.time_base)
