"""The outputs of one clip: opens or resumes them, finishes them, or leaves them so that a later run can resume."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import StudioError
from ..machine.output_claim import leftovers
from ..stream.session import MattingSession, Stopped
from ..video.color import ColorTags
from ..video.output_formats import HDR_TRANSFERS, Content, format_for
from ..video.partial_output import NotResumable, Written, partial_path
from ..video.picture_sequence import find_pictures
from ..video.reader import ClipInfo
from ..video.writer import FrameWriter
from ..video.writer_thread import WriterThread
from . import name_check
from .checkpoints import Checkpoints
from .options import ClipOptions, ClipReport, Kind, Output
from .renderer import preview_size
from .resume import JobRecord, Stop, describe

QUEUE_LENGTH, QUEUE_BYTES = 4, 40_000_000  # pictures waiting before and after the network: one at 4K
_PREVIEW_QUALITY = 23  # crf
_PREVIEW_TAGS_OF_HDR = ColorTags(1, 1, 1, 1)  # as HDR it would be written as HEVC, which browsers do not play


class ClipJob:
    """The outputs of a clip, from opening them to finishing or leaving them."""

    def __init__(
        self,
        source: Path,
        outputs: Sequence[Output],
        session: MattingSession,
        options: ClipOptions,
        info: ClipInfo,
        report: ClipReport,
    ):
        self.writers: list[WriterThread] = []
        self.record: JobRecord | None = None
        self._checkpoints: Checkpoints | None = None
        self._outputs, self._session, self._options = outputs, session, options
        self._info, self._report = info, report
        self._resumed: Stop | None = None
        pictures = {picture.path.parent for picture in find_pictures(source) or []}
        self._inputs = [source, *pictures]
        if isinstance(options.background, str):
            self._inputs.append(Path(options.background))
        self._left = False
        self._first_cut = len(session.cuts)
        self._frames_before = session.state.frame_count if session.state else 0  # of the session, before the clip's
        lasting = [output for output in outputs if output.kind != "preview"]
        shown = options.preview is not None or len(lasting) < len(outputs)
        if lasting and info.kind != "still":
            self.record = JobRecord(
                [output.path for output in lasting], lambda: describe(source, lasting, session, options, info, shown)
            )

    def begin(self) -> None:
        """Opens all outputs, resuming them if requested and possible. Raises Stopped."""
        reason = ""
        if self.record and self._options.resume:
            partials = [partial_path(path) for path in self.record.outputs]
            left = any(path.exists() or leftovers(path) for path in partials)
            try:
                self._resumed = self.record.load()
                self._open(self._resumed)
            except NotResumable as error:
                self._resumed = None
                reason = str(error) if left else ""
        if self._resumed:
            self._session.state = self._resumed.state
            self._frames_before = self._resumed.state.frame_count - self._resumed.frames
            self._report.frames = self._report.resumed = self._resumed.frames
            self._report.notes.append(f"resumed at frame {self._resumed.frames}")
            self._begin_checkpoints()
            return
        self._open(None)
        if self.record:
            dependent = [thread.writer.path.name for thread in self._lasting_writers() if not thread.writer.resumable]
            if dependent:
                self.record = None
                reason = reason and f"the frames of {', '.join(dependent)} depend on those before them"
            else:
                self.record.prepare()
                self._begin_checkpoints()
        if reason:
            self._report.notes.append(f"started over: {reason}")

    def _open(self, resumed: Stop | None) -> None:
        written = iter(resumed.written if resumed else [])
        try:
            for index, output in enumerate(self._outputs):
                is_preview = output.kind == "preview"
                done = None if is_preview else next(written, None)
                first = not is_preview and not any(other.kind != "preview" for other in self._outputs[:index])
                writer = _open_writer(output, self._info, self._options, done, self._inputs, first)
                queue = queue_length(self._info)
                self.writers.append(WriterThread(writer, queue, from_zero=is_preview and resumed is not None))
            if self.record:
                self.record.claim = self._lasting_writers()[0].writer.claim
            for thread in self._lasting_writers() if resumed else []:
                if not thread.writer.copy_resumed(self._session.stopped):
                    raise Stopped
        except BaseException:
            for thread in self.writers:
                thread.abandon(keep=False)
            self.writers = []
            raise

    def _lasting_writers(self) -> list[WriterThread]:
        """The writers of all outputs except previews."""
        return [thread for thread, output in zip(self.writers, self._outputs, strict=False) if output.kind != "preview"]

    @property
    def cuts(self) -> list[int]:
        """The frames of the clip that begin a new scene."""
        before = self._resumed.cuts if self._resumed else []
        return before + [cut - self._frames_before for cut in self._session.cuts[self._first_cut :]]

    def _begin_checkpoints(self) -> None:
        assert self.record is not None
        self._checkpoints = Checkpoints(self.record, self._lasting_writers())

    def after_chunk(self) -> None:
        """Remembers the state for a record, every now and then."""
        state = self._session.state
        if self._checkpoints and state and state.frame_count - self._frames_before == self._report.frames:
            self._checkpoints.after(state, self._report.frames, self.cuts)

    def finish(self) -> None:
        if self._checkpoints:
            self._checkpoints.end()
        for thread in self.writers:
            self._report.outputs.append(thread.finish())
        if self.record:
            self.record.remove()

    def leave(self) -> None:
        """Ends the outputs early, and saves a record of the last frame that all of them hold."""
        if self._left:
            return
        self._left = True
        keeps = [self._keeps(output) for output in self._outputs]
        for thread, keep in zip(self.writers, keeps, strict=False):
            thread.end(keep)
        if self._checkpoints:
            self._checkpoints.end()
        finished = any(thread.finished for thread in self._lasting_writers())
        if self._resumed and not finished and self._report.frames <= self._report.resumed:
            self._leave_as_it_was(self._resumed)
            return
        in_step = not finished and self._in_step()
        for thread, keep in zip(self.writers, keeps, strict=False):
            thread.abandon(keep, settle=False)
        frames = self._save_record(in_step) if not finished else 0
        if self._resumed and not finished and not frames:
            self._leave_as_it_was(self._resumed)
            return
        if self.record and not frames:
            self.record.remove()
        ended = [thread.settle() for thread in self.writers]
        self._report.outputs = [path for path in ended if path]
        if frames:
            self._mark_resumable(frames)

    def _keeps(self, output: Output) -> bool:
        return self._report.frames > 0 and not (output.disposable or output.kind == "preview")

    def _in_step(self) -> bool:
        """Whether the state and all lasting outputs have seen the same frames."""
        state, frames = self._session.state, self._report.frames
        if state is None or state.frame_count - self._frames_before != frames:
            return False
        return all(thread.writer.frames == frames for thread in self._lasting_writers())

    def _save_record(self, in_step: bool) -> int:
        """Saves a record if the outputs can be resumed; returns at which frame, else 0. Counts the frames that the
        outputs hold in the report."""
        writers = [thread.writer for thread in self._lasting_writers()]
        kept = [writer for writer in writers if writer.kept]
        if not kept:
            return 0
        if all(writer.whole for writer in kept) and in_step:
            state = self._session.state
            if self.record is None or len(kept) < len(writers):
                return 0
            assert state is not None
            try:
                self.record.save(Stop(state, self.cuts, [writer.written for writer in writers]))
            except StudioError as error:
                self._report.notes.append(f"this job cannot be resumed: {error}")
                return 0
            return self._report.frames
        self._report.frames = min(writer.readable_frames for writer in kept)
        if self._checkpoints is None or len(kept) < len(writers):
            return 0
        return self._checkpoints.rescue(self._report.frames)

    def _leave_as_it_was(self, resumed: Stop) -> None:
        """Keeps the partial files of the earlier run and their record, which still exist."""
        assert self.record is not None
        for thread in self.writers:
            thread.abandon(keep=False)
        self._report.frames = self._report.resumed = resumed.frames
        found = [
            written.find(partial_path(path).parent)
            for path, written in zip(self.record.outputs, resumed.written, strict=True)
        ]
        self._report.outputs = [path for path in found if path]
        self._mark_resumable(resumed.frames)

    def _mark_resumable(self, frames: int) -> None:
        self._report.resumable = True
        self._report.notes.append(f"a resumed run will continue at frame {frames}")


def queue_length(info: ClipInfo) -> int:
    """How many pictures may wait in one queue."""
    return max(1, min(QUEUE_LENGTH, QUEUE_BYTES // bytes_of(info, channels=4)))


def bytes_of(info: ClipInfo, channels: int = 3) -> int:
    """The memory that a picture of the clip takes."""
    return info.height * info.width * channels * (1 if info.bit_depth == 8 else 2)


def _open_writer(
    output: Output,
    info: ClipInfo,
    options: ClipOptions,
    resumed: Written | None,
    inputs: Sequence[Path],
    first: bool,
) -> FrameWriter:
    """first: among the outputs that are no previews; the chosen codec is meant for it."""
    single = info.kind == "still"
    if output.kind == "preview":
        height, width = preview_size(info.height, info.width)
        tags = _PREVIEW_TAGS_OF_HDR if info.tags.transfer in HDR_TRANSFERS else info.tags
        spec = replace(
            info, height=height, width=width, tags=tags, bit_depth=8, field_order="progressive", timecode=None
        )
        quality, overwrite = _PREVIEW_QUALITY, options.overwrite
        return FrameWriter(output.path, spec, content="rgb", quality=quality, overwrite=overwrite, single=single)
    contents: dict[Kind, Content] = {"matte": "rgba", "composite": "rgb", "alpha": "gray", "foreground": "rgb"}
    content = contents[output.kind]
    codec = options.codec
    takes_codec = codec is None or first or format_for(output.path).has(content, codec)
    writer = FrameWriter(
        output.path,
        info,
        content=content,
        premultiplied=options.premultiplied and output.kind == "matte",
        copy_from=info.path if info.kind == "video" and output.kind != "alpha" else None,
        copy_span=(info.begins, info.ends),
        copy_audio=options.keep_audio,
        quality=options.quality,
        codec=codec if takes_codec else None,
        bitrate=options.bitrate,
        overwrite=options.overwrite,
        single=single,
        resumed=resumed,
        inputs=inputs,
    )
    if not takes_codec:
        writer.notes.append(f"{output.path.name} cannot hold the codec {codec}: it has its format's own")
    return writer


def refuse_overlap(source: Path, outputs: Sequence[Output], options: ClipOptions) -> None:
    """See name_check; for one job."""
    background = Path(options.background) if isinstance(options.background, str) else None
    files = tuple(output.path for output in outputs)
    name_check.refuse_overlap([name_check.JobNames(source, files, options.preview, background)])
