"""Mattes a whole clip: reading, matting and writing overlap, and memory use does not grow with the clip's length."""

# T frames, C channels, H, W

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from os import PathLike
from pathlib import Path

from torch import Tensor

from ..errors import StudioError
from ..machine.given_path import given_path
from ..machine.process_tuning import LARGE_PICTURE, give_freed_memory_back
from ..stream.session import MattingSession, Stopped
from ..video.partial_output import NotResumable
from ..video.reader import ClipInfo, FrameReader, SourceFrame, open_reader
from .clip_view import view_of
from .job import ClipJob, bytes_of, queue_length, refuse_overlap
from .options import ClipOptions, ClipReport, Output
from .renderer import FrameRenderer

__all__ = ["ClipOptions", "ClipReport", "Output", "can_resume", "matte_clip"]

OPENING_BYTES = 200_000_000  # an opening larger than this is decoded twice instead of being kept
_GIVE_BACK_EVERY = 4  # large frames


def matte_clip(
    source: str | PathLike[str],
    outputs: Sequence[Output],
    session: MattingSession,
    options: ClipOptions | None = None,
    *,
    on_progress: Callable[[int, int | None], object] | None = None,
    on_result: Callable[[Tensor, Tensor], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> ClipReport:
    """Mattes `source` (see open_reader) into all `outputs` in one pass. A new session is warmed up on the
    clip's opening; one with a state continues from it (another frame size is reported before anything else happens).

    on_progress(frames done, frames in all or None) and on_result(fgr [1, 3, H, W], pha [1, 1, H, W] of its last frame,
    float 0..1 on the session's device; fgr is the source if no output needs the foreground) are called after every
    chunk. stopped: the session's `stopped` for this call. Once it returns True, the work ends soon: the finished part
    is kept in playable files under `.partial` names, and the report says stopped.

    While it runs, and at a stop or an error, a record lies beside the first of these files, unless their frames depend
    on one another (APNG, WebP, MP4, lossy VP9). With options.resume the same job (the same clip, settings and
    program) continues from there: the result has the frames, times and sound of an uninterrupted run, bit for bit.
    If it cannot resume, it starts over and a note says why; a killed run, or one on a full disk, is resumed a few
    seconds before its end. A contact sheet shows the frames of the last run only.

    Raises StudioError for a source that cannot be read and outputs that cannot be written; the part finished by then
    is kept under `.partial` names, and the error says so.
    """
    options = options or ClipOptions()
    source = given_path(source)
    report = ClipReport(source)
    started = time.perf_counter()
    refuse_overlap(source, outputs, options)
    if options.preview and options.preview.exists() and not options.overwrite:
        raise StudioError(
            f"The contact sheet {options.preview} exists already.", use=("overwrite",), or_else="choose another name"
        )
    with ExitStack() as tidy:
        if stopped is not None:
            tidy.callback(setattr, session, "stopped", session.stopped)
            session.stopped = stopped
        reader = _open(source, options, options.hwaccel)
        tidy.enter_context(closing(reader))
        report.kind = reader.info.kind
        session.fitting_ratio(reader.info.height, reader.info.width)
        tidy.callback(setattr, session, "view", session.view)
        session.view = view_of(reader.info.tags, options.view_lut) or session.view
        renderer = FrameRenderer(reader.info, session, outputs, options, keeps_results=on_result is not None)
        tidy.callback(renderer.close)
        job = ClipJob(source, outputs, session, options, reader.info, report)
        try:
            try:
                job.begin()
                reader.skip = report.resumed
                if session.warm_up and session.state is None and _opening_bytes(session, reader.info) > OPENING_BYTES:
                    _warm_up_apart(session, source, options)
                with closing(_read_ahead(reader)) as frames:
                    renderer.pass_over(_noticed(islice(frames, report.resumed), job))
                    chunks = _chunks(frames, session, reader.info, report.resumed)
                    _matte_chunks(chunks, renderer, job, report, on_progress, on_result)
            except Stopped:
                report.stopped = True
            if report.frames == 0 and not report.stopped:
                raise StudioError(f"{source} has no readable frame. Check that it plays in another program.")
            job.leave() if report.stopped else job.finish()
        except BaseException as error:
            job.leave()
            if report.outputs and isinstance(error, StudioError):
                names = ", ".join(map(str, report.outputs))
                onward = ", and can be resumed" if report.resumable else ""
                raise StudioError(
                    f"{error} The finished part ({report.frames} frames) is kept in {names}{onward}."
                ) from error
            raise
        if options.preview and renderer.index > report.resumed:
            try:
                report.outputs.append(renderer.sheet.save(options.preview, overwrite=options.overwrite))
            except StudioError as error:
                names = ", ".join(map(str, report.outputs))
                raise StudioError(f"{error} The other files were written: {names}.") from error
        report.damage = list(reader.damage)
        report.notes += dict.fromkeys(reader.notes)
    report.notes += dict.fromkeys(note for thread in job.writers for note in thread.writer.notes)
    if cuts := job.cuts:
        report.notes.append(f"scene cuts at frames {', '.join(map(str, cuts))}")
    report.seconds = time.perf_counter() - started
    return report


def can_resume(
    source: str | Path, outputs: Sequence[Output], session: MattingSession, options: ClipOptions | None = None
) -> bool:
    """Whether `matte_clip` with options.resume would resume a stopped run of this job. Raises StudioError for a source
    that cannot be read."""
    options = options or ClipOptions()
    with _open(source, options) as reader:
        record = ClipJob(Path(source), outputs, session, options, reader.info, ClipReport(Path(source))).record
        try:
            return record is not None and bool(record.load())
        except NotResumable:
            return False


def _open(source: str | Path, options: ClipOptions, hwaccel: str = "none") -> FrameReader:
    return open_reader(
        source,
        options.frame_rate,
        start=options.start,
        duration=options.duration,
        hwaccel=hwaccel,
        max_size=options.max_size,
        cfr=options.cfr,
        deinterlace=options.deinterlace,
    )


def _noticed(frames: Iterator[SourceFrame], job: ClipJob) -> Iterator[SourceFrame]:
    """Frames that an earlier run has written, of which the writers take notice."""
    for frame in frames:
        for thread in job.writers:
            thread.writer.pass_over(frame.pts, frame.number)
        yield frame


def _matte_chunks(
    chunks: Iterator[tuple[list[SourceFrame], list[SourceFrame]]],
    renderer: "FrameRenderer",
    job: ClipJob,
    report: ClipReport,
    on_progress: Callable[[int, int | None], object] | None,
    on_result: Callable[[Tensor, Tensor], None] | None,
) -> None:
    """Mattes all chunks and hands the pictures to the writers. Counts the frames in the report. Raises Stopped."""
    writers = job.writers
    bit_depths = [thread.writer.bit_depth for thread in writers]
    is_large = renderer.info.width * renderer.info.height > LARGE_PICTURE
    # without drawing, float pictures would allocate the same memory again, page by page
    gives_back = is_large and renderer.session.engine.draws
    if on_progress and report.resumed:
        on_progress(report.frames, renderer.info.frame_count)
    for chunk, ahead in chunks:
        for pictures in renderer.render(chunk, ahead, bit_depths):
            for thread, image in zip(writers, pictures.images, strict=True):
                thread.put(image, pictures.pts, pictures.number)
            report.frames += 1
            if gives_back and report.frames % _GIVE_BACK_EVERY == 0:
                give_freed_memory_back()
        job.after_chunk()
        if on_progress:
            on_progress(report.frames, renderer.info.frame_count)
        if on_result:
            on_result(*renderer.last_result())


def _read_ahead(reader: FrameReader) -> Generator[SourceFrame, None, None]:
    """The reader's frames; a thread decodes a few of them ahead."""
    source = iter(reader)
    with ThreadPoolExecutor(1, "rvm-read") as thread:
        waiting = deque(thread.submit(next, source, None) for _ in range(queue_length(reader.info)))
        try:
            while (frame := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, source, None))
                yield frame
        finally:
            for future in waiting:
                future.cancel()


def _opening_bytes(session: MattingSession, info: ClipInfo) -> int:
    return (session.warm_up + 1) * bytes_of(info)


def _warm_up(session: MattingSession, opening: Collection[SourceFrame]) -> None:
    if opening:
        session.warm_up_on([frame.image for frame in opening])


def _warm_up_apart(session: MattingSession, source: Path, options: ClipOptions) -> None:
    """Decodes the opening for the warm-up alone and frees its frames, and those of the decoder, afterwards. Decodes in
    software: a device would take longer to open."""
    with _open(source, options) as reader:
        _warm_up(session, list(islice(reader, session.warm_up + 1)))
    del reader
    give_freed_memory_back()


def _chunks(
    frames: Iterator[SourceFrame], session: MattingSession, info: ClipInfo, done: int
) -> Iterator[tuple[list[SourceFrame], list[SourceFrame]]]:
    """Frames in the session's chunks, each with the frames after it that the warm-up of a new scene may use; a new
    session is warmed up on the clip's opening first. After `done` resumed frames the chunks end at the same frames as
    in an uninterrupted run."""
    size, ahead = session.chunk_for(info.height, info.width), session.look_ahead
    count = size - done % size
    waiting: deque[SourceFrame] = deque()
    if session.warm_up and session.state is None:
        waiting += islice(frames, session.warm_up + 1)
        _warm_up(session, waiting)
    while True:
        waiting += islice(frames, max(0, count + ahead - len(waiting)))
        if not waiting:
            return
        chunk = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        yield chunk, list(islice(waiting, ahead))
        count = size
