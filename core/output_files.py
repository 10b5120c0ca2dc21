"""The files behind a FrameWriter: one video file with its copied tracks, or numbered pictures.

What is being written has a `.partial` name beside the target and gets its final name in the last step.
"""

import contextlib
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from .errors import StudioError
from .output_formats import Encoding, OutputFormat
from .track_copy import TrackCopy
from .video_color import ColorTags

_NUMBER = re.compile(r"%0?(\d*)d")
_MAX_PNG_THREADS = 4  # libav's PNG encoder holds one picture a thread
_ALPHA_REMARK = "alpha: "


class OutputFile(Protocol):
    """What a FrameWriter needs of its file; faults come as OSError or FFmpegError."""

    def write(self, frame: av.VideoFrame, number: int) -> None: ...

    def finish(self) -> Path: ...

    def abandon(self, keep: bool) -> Path | None: ...


class EncoderSetup:
    """Everything an encoder must be told, applied to the context of a stream or to a bare one."""

    def __init__(
        self,
        encoding: Encoding,
        pixel_format: str,
        width: int,
        height: int,
        frame_rate: Fraction,
        time_base: Fraction,
        tags: ColorTags,
        sample_aspect_ratio: Fraction,
        options: dict[str, str],
        threads: int | None,
    ) -> None:
        self.codec = encoding.codec
        self.frame_rate = frame_rate
        self.time_base = time_base
        self.nominal_duration = max(1, round(1 / (frame_rate * time_base)))
        self._encoding = encoding
        self._pixel_format = pixel_format
        self._size = (width, height)
        self._tags = tags
        self._sample_aspect_ratio = sample_aspect_ratio
        self._options = options
        self._threads = threads or 0
        if encoding.codec == "png":
            self._threads = min(threads or os.cpu_count() or 1, _MAX_PNG_THREADS)

    def apply(self, context: VideoCodecContext) -> None:
        context.width, context.height = self._size
        context.pix_fmt = self._pixel_format
        context.time_base = self.time_base
        context.framerate = self.frame_rate
        context.sample_aspect_ratio = self._sample_aspect_ratio
        context.colorspace, context.color_range = self._tags.matrix, self._tags.range
        context.color_primaries, context.color_trc = self._tags.primaries, self._tags.transfer
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


class ContainerFile:
    """One video file, written beside its target as `name.partial.suffix`."""

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        setup: EncoderSetup,
        tracks: TrackCopy | None,
        alpha: str | None,
        overwrite: bool,
    ) -> None:
        if path.is_dir():
            raise StudioError(f"The output {path} is a folder: give the name of a file.")
        if path.exists() and not overwrite:
            raise _exists(path)
        self._path = path
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._format = format
        self._setup = setup
        self._tracks = tracks
        self._moved: int | None = None  # added to every pts, known from the first frame on
        self._end = Fraction(0)  # of the picture, in seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial.open("wb").close()  # tells at once whether the folder can be written to
        self._container: OutputContainer | None = None
        try:
            self._container = self._open(alpha)
        except BaseException:
            self._close()
            self._partial.unlink()
            raise

    def _open(self, alpha: str | None) -> OutputContainer:
        setup, time_base = self._setup, self._setup.time_base
        options = dict(self._format.container_options)
        if self._tracks is not None:
            # libav holds packets back while a track has none: not 10 s of pictures, its default, once the audio is over
            options["max_interleave_delta"] = "200000"  # microseconds
        if self._format.container in ("mov", "mp4"):
            timescale = self._tracks.movie_timescale(time_base) if self._tracks else time_base.denominator
            options |= {"video_track_timescale": f"{time_base.denominator}", "movie_timescale": f"{timescale}"}
        # an absolute name: libav takes what stands before a colon for a protocol
        name = str(self._partial.absolute())
        container = self._container = av.open(name, "w", format=self._format.container, container_options=options)
        try:
            stream = container.add_stream(setup.codec, rate=setup.frame_rate)
        except ValueError as error:  # UnknownCodecError
            raise StudioError(
                f"This PyAV has no encoder {setup.codec}, which {self._format.name} needs: install the wheel from PyPI."
            ) from error
        assert isinstance(stream, VideoStream)
        self._stream = stream
        setup.apply(stream.codec_context)
        stream.time_base = time_base
        if self._tracks is not None:
            self._tracks.add_to(container)
        remarks = container.metadata.pop("comment", "").split("; ")
        remarks = [remark for remark in remarks if remark and not remark.startswith(_ALPHA_REMARK)]
        if alpha is not None:
            remarks.append(_ALPHA_REMARK + alpha)
            if setup.codec == "libvpx-vp9":
                stream.metadata["alpha_mode"] = "1"  # what browsers look for
        if remarks:
            container.metadata["comment"] = "; ".join(remarks)
        container.start_encoding()
        return container

    def write(self, frame: av.VideoFrame, number: int) -> None:
        assert frame.pts is not None
        if self._moved is None:
            starts_at_zero = frame.pts < 0 or not self._format.carries_audio  # the latter know delays only
            self._moved = -frame.pts if starts_at_zero else 0
            if self._tracks is not None:
                self._tracks.move(self._moved * self._setup.time_base)
        frame.pts += self._moved
        self._end = (frame.pts + self._setup.nominal_duration) * self._setup.time_base
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            if not packet.duration:
                packet.duration = self._setup.nominal_duration
            if self._tracks is not None and packet.dts is not None:
                # before the picture: libav holds packets back until every track has one
                self._tracks.copy_until(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _complete(self, audio_end: Fraction | None) -> None:
        assert self._container is not None
        self._mux(self._stream.encode(None))
        if self._tracks is not None:
            self._tracks.finish(audio_end)
        self._container.close()
        _sync(self._partial)

    def _close(self) -> None:
        """Lets go of both files, whatever state they are in."""
        if self._container is not None:
            with contextlib.suppress(OSError, FFmpegError):  # the fault was reported where it first showed
                self._container.close()
            self._container = None
        if self._tracks is not None:
            self._tracks.close()
            self._tracks = None

    def finish(self) -> Path:
        self._complete(None)
        self._close()
        os.replace(self._partial, self._path)
        return self._path

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            try:
                self._complete(self._end)
            except (OSError, FFmpegError):
                keep = self._format.container in ("matroska", "webm")  # play without an end; the others do not
        self._close()
        if keep:
            return self._partial
        self._partial.unlink(missing_ok=True)
        return None


class PictureFiles:
    """Numbered PNG files in a `.partial` folder, or one picture (a %05d in its name: the frame's number)."""

    def __init__(self, path: Path, setup: EncoderSetup, overwrite: bool, single: bool) -> None:
        self._single = single
        self._overwrite = overwrite
        self._target = path
        if not single and not _NUMBER.search(path.name):
            self._target = path.with_suffix("") / f"%05d{path.suffix}"
        folder = self._target.parent
        if single:
            self._old = [path] if path.exists() and not _NUMBER.search(path.name) else []
        else:
            self._old = self._matches(folder)
        if self._old and not overwrite:
            raise _exists(self._old[0])
        self._context = setup.context()
        if single:
            self._partial = folder
        elif folder.exists():
            self._partial = folder / f"{self._label()}.partial"
        else:
            self._partial = folder.with_name(f"{folder.name}.{self._label()}.partial")
        self._partial.mkdir(parents=True, exist_ok=True)
        if not single:
            for leftover in self._matches(self._partial):
                leftover.unlink()
        self._numbers: list[int] = []  # of pictures inside the encoder
        self._written: list[Path] = []

    def _matches(self, folder: Path) -> list[Path]:
        """Files of `folder` that this sequence's pattern could name."""
        before, after = _NUMBER.split(self._target.name)[0], _NUMBER.split(self._target.name)[-1]
        name = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        return [file for file in sorted(folder.glob("*")) if name.fullmatch(file.name)]

    def _label(self) -> str:
        """The pattern without its % (which programs would fill in), another one for every other pattern: two
        sequences into one folder must not share what is partial."""
        return _NUMBER.sub(lambda found: f"#{found[1] or 1}d", self._target.name.replace("#", "##"))

    def _name(self, number: int) -> Path:
        if self._single:
            return self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        return self._partial / _numbered(self._target.name, number)

    def write(self, frame: av.VideoFrame, number: int) -> None:
        if self._single and (self._numbers or self._written):
            raise StudioError(f"A second frame for the single picture {self._target}: name a sequence (%05d) instead.")
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
        for path in self._written:
            _sync(path)
        if self._single:
            os.replace(self._written[0], self._target)
            return self._target
        folder = self._target.parent
        folder.mkdir(parents=True, exist_ok=True)  # another sequence may have made it meanwhile
        for old in self._old:  # overwritten: a longer old sequence must not show through
            old.unlink(missing_ok=True)
        for path in self._written:
            os.replace(path, folder / path.name)
        with contextlib.suppress(OSError):  # a file browser may have left something there
            self._partial.rmdir()
        return folder

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            with contextlib.suppress(OSError, FFmpegError):  # what was saved before stays
                self._save(self._context.encode(None))
        if keep and self._written:
            return self._written[0] if self._single else self._partial
        for path in self._written:
            path.unlink(missing_ok=True)
        if not self._single and self._partial.is_dir() and not any(self._partial.iterdir()):
            self._partial.rmdir()
        return None


def _numbered(pattern: str, number: int) -> str:
    return _NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", pattern, count=1)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _exists(path: Path) -> StudioError:
    return StudioError(f"The output {path} exists already: allow overwriting (--overwrite), or choose another name.")
