"""The files that a FrameWriter writes: one video file with its copied tracks, or numbered pictures.

An unfinished output has a `.partial` name beside the target and gets its final name in the last step.

The partial output of a stopped run can be resumed: pictures stay where they are, and the packets of a file are copied
unchanged into a new file beside it, which replaces it when complete. This requires frames that decode independently of
what was encoded before them: those of ProRes, FFV1, PNG and lossless VP9.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import StudioError
from ..machine.libav_log import silence_libav
from .container import open_to_read
from .output_formats import Encoding, OutputFormat, format_for
from .picture_spec import PictureSpec
from .track_copy import TrackCopy

_NUMBER = re.compile(r"%0?(\d*)d")
_MAX_PNG_THREADS = 4  # libav's PNG encoder holds one picture per thread
_FRAME_THREADS = 1 << 12  # AV_CODEC_CAP_FRAME_THREADS
_ALPHA_REMARK = "alpha: "
_ALONE = {"prores_ks", "ffv1", "png"}  # codecs whose frames do not depend on earlier ones


class NotResumable(Exception):  # noqa: N818 - the work starts over, and a note says why
    """The earlier output cannot be resumed; the message says why."""


@dataclass(frozen=True)
class Written:
    """What an unfinished output contains.

    first_pts: as passed to the writer. last_pts: as written. number: that of the last picture. repeated_times: the
    count of frames whose pts was moved. size: of the file in bytes; 0 for pictures.
    """

    frames: int
    first_pts: int
    last_pts: int
    number: int
    repeated_times: int
    size: int


class OutputFile(Protocol):
    """The interface between a FrameWriter and its file. Errors are raised as OSError or FFmpegError.

    complete: False after an `abandon` that could not save every written frame.
    """

    complete: bool

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool: ...

    def write(self, frame: av.VideoFrame, number: int) -> None: ...

    def finish(self) -> Path: ...

    def abandon(self, keep: bool) -> Path | None: ...


class EncoderSetup:
    """All settings of an encoder, applied to the context of a stream or to a standalone one."""

    def __init__(
        self,
        encoding: Encoding,
        pixel_format: str,
        spec: PictureSpec,
        options: dict[str, str],
        threads: int | None,
    ) -> None:
        self.codec = encoding.codec
        self.frame_rate = spec.frame_rate
        self.time_base = spec.time_base
        self.nominal_duration = max(1, round(1 / (spec.frame_rate * spec.time_base)))
        self._encoding = encoding
        self._pixel_format = pixel_format
        self._spec = spec
        self._options = options
        lossless_vp9 = self.codec == "libvpx-vp9" and options.get("lossless") == "1"
        self.frames_stand_alone = self.codec in _ALONE or lossless_vp9
        self._threads = threads or 0
        if encoding.codec == "png":
            self._threads = min(threads or os.cpu_count() or 1, _MAX_PNG_THREADS)

    def apply(self, context: VideoCodecContext) -> None:
        silence_libav()  # encoders have threads too
        context.height, context.width = self._spec.height, self._spec.width
        context.pix_fmt = self._pixel_format
        context.time_base = self.time_base
        context.framerate = self.frame_rate
        context.sample_aspect_ratio = self._spec.sample_aspect_ratio
        context.colorspace, context.color_range = self._spec.tags.matrix, self._spec.tags.range
        context.color_primaries, context.color_trc = self._spec.tags.primaries, self._spec.tags.transfer
        context.thread_type = self._encoding.thread_type  # pyright: ignore[reportAttributeAccessIssue]
        context.thread_count = self._threads
        context.options = self._options
        if self._encoding.codec_tag:
            context.codec_tag = self._encoding.codec_tag

    def context(self) -> VideoCodecContext:
        """A context without a container, opened."""
        context = av.CodecContext.create(self.codec, "w")
        assert isinstance(context, VideoCodecContext)
        self.apply(context)
        context.open()
        return context


def drain(context: VideoCodecContext | None) -> None:
    """Takes the remaining packets out of an unfinished encoder before it is freed, to prevent a deadlock.

    PyAV holds Python's lock while it frees an encoder, which waits for the encoder's threads. A thread that works on a
    frame in numpy memory needs the lock to release it. A drained encoder holds no frames. Only libav's own frame
    threads hold frames; other encoders are not drained, as encoding their delayed frames would take long.
    """
    if context is not None and context.is_open and int(context.codec.capabilities) & _FRAME_THREADS:
        with contextlib.suppress(OSError, FFmpegError):  # drained already, or broken
            context.encode(None)


class ContainerFile:
    """Writes one video file, beside its target as `name.partial.suffix`."""

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        setup: EncoderSetup,
        tracks: TrackCopy | None,
        alpha: str | None,
        overwrite: bool,
        resumed: Written | None = None,
    ) -> None:
        if path.is_dir():
            raise StudioError(f"The output {path} is a folder: give the name of a file.")
        if path.exists() and not overwrite:
            raise _exists(path)
        self.complete = True
        self._path = path
        self._partial = partial_path(path)
        self._resumed = resumed
        self._working = self._partial  # when resuming, the old partial file stays until the new one replaces it
        if resumed is not None:
            self._working = path.with_name(f"{path.stem}.resumed.partial{path.suffix}")
        self._format = format
        self._setup = setup
        self._tracks = tracks
        self._moved: int | None = None  # added to every pts; known from the first frame on
        self._end = Fraction(0)  # of the picture, in seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        self._working.open("wb").close()  # fails at once if the folder is not writable
        self._container: OutputContainer | None = None
        self._context: VideoCodecContext | None = None
        try:
            self._container = self._open(alpha)
        except BaseException:
            self._close()
            self._working.unlink()
            raise

    def _open(self, alpha: str | None) -> OutputContainer:
        setup, time_base = self._setup, self._setup.time_base
        options = dict(self._format.container_options)
        if self._tracks is not None:
            # libav holds packets back while a track has none; by default, 10 s of pictures after the end of the audio
            options["max_interleave_delta"] = "200000"  # microseconds
        if self._format.container in ("mov", "mp4"):
            timescale = self._tracks.movie_timescale(time_base) if self._tracks else time_base.denominator
            options |= {"video_track_timescale": f"{time_base.denominator}", "movie_timescale": f"{timescale}"}
        # an absolute path: in a relative one libav would parse text before a colon as a protocol
        name = str(self._working.absolute())
        container = self._container = av.open(name, "w", format=self._format.container, container_options=options)
        try:
            stream = container.add_stream(setup.codec, rate=setup.frame_rate)
        except ValueError as error:  # UnknownCodecError
            raise StudioError(
                f"This PyAV has no encoder {setup.codec}, which {self._format.name} needs: install the wheel from PyPI."
            ) from error
        assert isinstance(stream, VideoStream)
        self._stream, self._context = stream, stream.codec_context
        setup.apply(stream.codec_context)
        stream.time_base = time_base
        if self._tracks is not None:
            self._tracks.add_to(container)
        remarks = container.metadata.pop("comment", "").split("; ")
        remarks = [remark for remark in remarks if remark and not remark.startswith(_ALPHA_REMARK)]
        if alpha is not None:
            remarks.append(_ALPHA_REMARK + alpha)
            if setup.codec == "libvpx-vp9":
                stream.metadata["alpha_mode"] = "1"  # read by browsers
        if remarks:
            container.metadata["comment"] = "; ".join(remarks)
        container.start_encoding()
        return container

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        """Copies the packets of the resumed file. Returns False if `stopped` ended it; raises NotResumable if the old
        file does not contain them."""
        resumed = self._resumed
        assert resumed is not None
        self._begin(resumed.first_pts)
        assert self._moved is not None
        count = 0
        for packet in self._resumed_packets(resumed):
            if stopped():
                return False
            self._mux([packet])
            count += 1
        if count != resumed.frames:
            raise NotResumable(f"{self._partial} contains {count} frames instead of {resumed.frames}")
        self._end = self._end_of(resumed.last_pts + self._moved)
        return True

    def _resumed_packets(self, resumed: Written) -> Iterator[av.Packet]:
        """The packets of the old file, readdressed to the new one."""
        try:
            if self._partial.stat().st_size != resumed.size:
                raise NotResumable(f"{self._partial} has changed")
            with open_to_read(self._partial) as container:
                source = container.streams.video[0]
                ours, theirs = self._stream.codec_context.extradata, source.codec_context.extradata
                # FFmpeg 7 appends a zero to Matroska's
                if ours and (theirs or b"").rstrip(b"\0") != ours.rstrip(b"\0"):
                    raise NotResumable(f"{self._partial} was encoded with other settings")
                packets = container.demux(source)
                while (packet := next(packets, None)) is not None and packet.size:
                    duration = self._setup.nominal_duration * self._setup.time_base / packet.time_base
                    packet.duration = int(duration + Fraction(1, 2))
                    packet.stream = self._stream
                    yield packet  # errors while writing it are raised there, not here
        except (OSError, FFmpegError, IndexError) as error:
            raise NotResumable(f"{self._partial} cannot be read ({error})") from error

    def _begin(self, first_pts: int) -> None:
        starts_at_zero = first_pts < 0 or not self._format.carries_audio  # such formats store only delays
        self._moved = -first_pts if starts_at_zero else 0
        if self._tracks is not None:
            self._tracks.move(self._moved * self._setup.time_base)

    def _end_of(self, pts: int) -> Fraction:
        return (pts + self._setup.nominal_duration) * self._setup.time_base

    def write(self, frame: av.VideoFrame, number: int) -> None:
        assert frame.pts is not None
        if self._moved is None:
            self._begin(frame.pts)
        assert self._moved is not None
        frame.pts += self._moved
        self._end = self._end_of(frame.pts)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            if not packet.duration:
                packet.duration = self._setup.nominal_duration
            if self._tracks is not None and packet.dts is not None:
                # audio first: libav holds packets back until every track has one
                self._tracks.copy_until(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _complete(self, audio_end: Fraction | None) -> None:
        assert self._container is not None
        self._mux(self._stream.encode(None))
        if self._tracks is not None:
            self._tracks.finish(audio_end)
        self._container.close()
        _sync(self._working)

    def _close(self) -> None:
        """Closes both files, whatever state they are in."""
        if self._container is not None:
            drain(self._context)
            with contextlib.suppress(OSError, FFmpegError):  # the error was already reported where it first occurred
                self._container.close()
            self._container = None
        if self._tracks is not None:
            self._tracks.close()
            self._tracks = None

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def finish(self) -> Path:
        self._complete(None)
        self._close()
        os.replace(self._working, self._path)
        if self._resumed is not None:
            self._partial.unlink(missing_ok=True)
        return self._path

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            try:
                self._complete(self._end)
            except (OSError, FFmpegError):
                self.complete = False
                keep = self._format.container in ("matroska", "webm")  # these play without a trailer; others do not
        self._close()
        if not keep:
            self._working.unlink(missing_ok=True)
            return None
        os.replace(self._working, self._partial)
        return self._partial


class PictureFiles:
    """Writes numbered PNG files in a `.partial` folder, or one picture (%05d in its name becomes the frame's
    number)."""

    def __init__(
        self, path: Path, setup: EncoderSetup, overwrite: bool, single: bool, resumed: Written | None = None
    ) -> None:
        self.complete = True
        self._single = single
        self._overwrite = overwrite
        self._target = path if single else _pattern(path)
        folder = self._target.parent
        if single:
            self._old = [path] if path.exists() and not _NUMBER.search(path.name) else []
        else:
            self._old = list(self._matches(folder).values())
        if self._old and not overwrite:
            raise _exists(self._old[0])
        self._context = setup.context()
        self._partial = folder if single else partial_path(path)
        self._partial.mkdir(parents=True, exist_ok=True)
        self._expected = resumed
        self._resumed: list[Path] = []
        if not single and resumed is None:
            for leftover in self._matches(self._partial).values():
                leftover.unlink()
        self._numbers: list[int] = []  # of pictures inside the encoder
        self._written: list[Path] = []

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        """Finds the pictures of the resumed run, and removes any later ones. Raises NotResumable if some are
        missing."""
        assert self._expected is not None
        last, found = self._expected.number, self._matches(self._partial)
        self._resumed = [path for number, path in found.items() if number <= last]
        if len(self._resumed) != self._expected.frames:
            raise NotResumable(f"{self._partial} contains {len(self._resumed)} of {self._expected.frames} pictures")
        for number, path in found.items():
            if number > last:
                path.unlink()
        return True

    def _matches(self, folder: Path) -> dict[int, Path]:
        """The files in `folder` that match this sequence's pattern, by number."""
        before, after = _NUMBER.split(self._target.name)[0], _NUMBER.split(self._target.name)[-1]
        name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        hits = [(name.fullmatch(file.name), file) for file in sorted(folder.glob("*"))]
        return {int(hit[1]): file for hit, file in hits if hit}

    def _name(self, number: int) -> Path:
        if self._single:
            return self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        return self._partial / _numbered(self._target.name, number)

    def write(self, frame: av.VideoFrame, number: int) -> None:
        if self._single and (self._numbers or self._written):
            raise StudioError(
                f"Cannot write a second frame to the single picture {self._target}: use a sequence (%05d)."
            )
        if self._single and _NUMBER.search(self._target.name):
            self._target = self._target.with_name(_numbered(self._target.name, number))
            if self._target.exists() and not self._overwrite:
                raise _exists(self._target)
        self._numbers.append(number)
        self._save(self._context.encode(frame))

    def _save(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            path = self._name(self._numbers.pop(0))
            temporary = path.with_name(path.name + ".tmp")
            try:
                temporary.write_bytes(bytes(packet))
                os.replace(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            self._written.append(path)

    def finish(self) -> Path:
        self._save(self._context.encode(None))
        written = [*self._resumed, *self._written]
        for path in written:
            _sync(path)
        if self._single:
            os.replace(written[0], self._target)
            return self._target
        folder = self._target.parent
        folder.mkdir(parents=True, exist_ok=True)  # another sequence may have created it meanwhile
        for old in self._old:  # the rest of a longer old sequence must not remain
            old.unlink(missing_ok=True)
        for path in written:
            os.replace(path, folder / path.name)
        with contextlib.suppress(OSError):  # a file manager may have left a file there
            self._partial.rmdir()
        return folder

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            try:
                self._save(self._context.encode(None))
            except (OSError, FFmpegError):
                self.complete = False  # pictures saved before are kept
        drain(self._context)
        if keep and (self._written or self._resumed):
            return self._written[0] if self._single else self._partial
        for path in self._written:
            path.unlink(missing_ok=True)
        if not self._single and self._partial.is_dir() and not any(self._partial.iterdir()):
            self._partial.rmdir()
        return None


def partial_path(path: Path) -> Path:
    """The temporary name of an unfinished output: a file, or the folder of an image sequence.

    A sequence's name includes its pattern, so that two sequences in one folder do not share partial files, but without
    the %, which other programs would expand.
    """
    if format_for(path).container:
        return path.with_name(f"{path.stem}.partial{path.suffix}")
    pattern = _pattern(path)
    label = _NUMBER.sub(lambda found: f"#{found[1] or 1}d", pattern.name.replace("#", "##"))
    folder = pattern.parent
    return folder / f"{label}.partial" if folder.exists() else folder.with_name(f"{folder.name}.{label}.partial")


def _pattern(path: Path) -> Path:
    """The pattern of a sequence: a plain matte.png stands for matte/%05d.png."""
    return path if _NUMBER.search(path.name) else path.with_suffix("") / f"%05d{path.suffix}"


def _numbered(pattern: str, number: int) -> str:
    return _NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", pattern, count=1)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _exists(path: Path) -> StudioError:
    return StudioError(f"The output {path} exists already.", use=("overwrite",), or_else="choose another name")
