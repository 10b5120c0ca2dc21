"""The outputs of one clip: opens or resumes them, finishes them, or leaves them so that a later run can resume."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import StudioError
from ..stream.session import MattingSession, Stopped
from ..video.color import ColorTags
from ..video.output_formats import Content, format_for
from ..video.partial_output import NotResumable, Written, partial_path
from ..video.picture_sequence import find_pictures
from ..video.reader import ClipInfo
from ..video.writer import FrameWriter, WriterThread
from .options import ClipOptions, ClipReport, Kind, Output
from .renderer import preview_size
from .resume import JobRecord, Stop, describe

QUEUE_LENGTH, QUEUE_BYTES = 4, 40_000_000  # pictures waiting before and after the network: one at 4K
_PREVIEW_QUALITY = 23  # crf
_HDR_TRANSFERS = (16, 18)  # PQ and HLG would be written as HEVC, which browsers do not play
_PREVIEW_TAGS_OF_HDR = ColorTags(1, 1, 1, 1)


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
        self._outputs, self._session, self._options = outputs, session, options
        self._info, self._report = info, report
        self._resumed: Stop | None = None
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
            left = any(partial_path(path).exists() for path in self.record.outputs)
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
            return
        self._open(None)
        if self.record:
            self.record.remove()
            dependent = [thread.writer.path.name for thread in self._lasting_writers() if not thread.writer.resumable]
            if dependent:
                self.record = None
                reason = reason and f"the frames of {', '.join(dependent)} depend on those before them"
            else:
                self.record.prepare()
        if reason:
            self._report.notes.append(f"started over: {reason}")

    def _open(self, resumed: Stop | None) -> None:
        written = iter(resumed.written if resumed else [])
        try:
            for index, output in enumerate(self._outputs):
                is_preview = output.kind == "preview"
                done = None if is_preview else next(written, None)
                first = not is_preview and not any(other.kind != "preview" for other in self._outputs[:index])
                writer = _open_writer(output, self._info, self._options, done, first)
                queue = queue_length(self._info)
                self.writers.append(WriterThread(writer, queue, from_zero=is_preview and resumed is not None))
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

    def finish(self) -> None:
        for thread in self.writers:
            self._report.outputs.append(thread.finish())
        if self.record:
            self.record.remove()

    def leave(self) -> None:
        """Ends the outputs early, and saves a record if all of them hold the frames that the state has seen."""
        if self._left:
            return
        self._left = True
        keeps = [self._keeps(output) for output in self._outputs]
        for thread, keep in zip(self.writers, keeps, strict=False):
            thread.end(keep)
        finished = any(thread.finished for thread in self._lasting_writers())
        in_step = not finished and self._in_step()
        has_more = in_step and self._report.frames > self._report.resumed
        if self._resumed and not finished and not has_more:
            self._leave_as_it_was(self._resumed)
            return
        if self.record and self.writers:
            self.record.remove()
        ended = [thread.abandon(keep) for thread, keep in zip(self.writers, keeps, strict=False)]
        self._report.outputs = [path for path in ended if path]
        if in_step and self._report.outputs:
            self._save_record()

    def _keeps(self, output: Output) -> bool:
        return self._report.frames > 0 and not (output.disposable or output.kind == "preview")

    def _in_step(self) -> bool:
        """Whether the state and all lasting outputs have seen the same frames."""
        state, frames = self._session.state, self._report.frames
        if state is None or state.frame_count - self._frames_before != frames:
            return False
        return all(thread.writer.frames == frames for thread in self._lasting_writers())

    def _save_record(self) -> None:
        state, threads = self._session.state, self._lasting_writers()
        if self.record is None or not all(thread.writer.resumable for thread in threads):
            return
        assert state is not None
        try:
            self.record.save(Stop(state, self.cuts, [thread.writer.written for thread in threads]))
            self._mark_resumable()
        except StudioError as error:
            self._report.notes.append(f"this job cannot be resumed: {error}")

    def _leave_as_it_was(self, resumed: Stop) -> None:
        """Keeps the partial files of the earlier run and their record, which still exist."""
        assert self.record is not None
        for thread in self.writers:
            thread.abandon(keep=False)
        self._report.frames = self._report.resumed = resumed.frames
        self._report.outputs = [partial_path(path) for path in self.record.outputs]
        self._mark_resumable()

    def _mark_resumable(self) -> None:
        self._report.resumable = True
        self._report.notes.append(f"a resumed run will continue at frame {self._report.frames}")


def queue_length(info: ClipInfo) -> int:
    """How many pictures may wait in one queue."""
    return max(1, min(QUEUE_LENGTH, QUEUE_BYTES // bytes_of(info, channels=4)))


def bytes_of(info: ClipInfo, channels: int = 3) -> int:
    """The memory that a picture of the clip takes."""
    return info.height * info.width * channels * (1 if info.bit_depth == 8 else 2)


def _open_writer(
    output: Output, info: ClipInfo, options: ClipOptions, resumed: Written | None, first: bool
) -> FrameWriter:
    """first: among the outputs that are no previews; the chosen codec is meant for it."""
    single = info.kind == "still"
    if output.kind == "preview":
        height, width = preview_size(info.height, info.width)
        tags = _PREVIEW_TAGS_OF_HDR if info.tags.transfer in _HDR_TRANSFERS else info.tags
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
    )
    if not takes_codec:
        writer.notes.append(f"{output.path.name} cannot hold the codec {codec}: it has its format's own")
    return writer


def refuse_overlap(source: Path, outputs: Sequence[Output], options: ClipOptions) -> None:
    """Raises StudioError if an output is the source, among its pictures, the background, or another output."""
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
        is_sequence = path != options.preview and not format_for(path).container
        if is_sequence and (place.parent if "%" in path.name else place.with_suffix("")) in folders:
            raise StudioError(f"The output {path} would lie among the pictures of the input. Choose another folder.")
        taken[place] = "already the name of another output"
