"""Frames in, a finished file out: every format of output_formats, exact times, colour tags, audio of the source.

What is being written has a `.partial` name beside the target and gets its final name in the last step.

Times. `pts` values are kept exactly, in the source's own time base, by MOV and MP4 (also the offset between audio and
picture, through edit lists). Matroska and WebM round to their unit of 1 ms. APNG and WebP know delays only: they start
at zero, and the last delay is a guess; WebP rounds to 1 ms. Variable frame rates stay variable everywhere. Where the
picture begins before zero, which players would cut off, picture and audio move together so that it begins at zero.

Sizes. H.264 and HEVC need even sizes: an odd picture is padded by repeating its last column or row. All others keep odd
sizes.

What is lost. APNG, WebP and PNG hold no audio and no titles. WebP changes colours under alpha 0 and joins equal frames.
Pixels that are not square are told by MOV, MP4 and PNG only. HDR mastering data (brightness of the display and so on)
is not carried; transfer and primaries are.
"""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import contextlib
import errno
import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from .errors import StudioError
from .output_formats import Content, Encoding, OutputFormat, format_for
from .track_copy import TrackCopy
from .video_color import MATRIX_BT709, RANGE_LIMITED, ColorTags, FromRGB

_CHANNELS: dict[Content, int] = {"rgba": 4, "rgb": 3, "gray": 1}
_WRITABLE_MATRICES = (1, 5, 6, 9)  # others (0 RGB, 4, 7 ...) are rare in files: their YUV is written as BT.709
_ALPHA_REMARK = "alpha: "
_NUMBER = re.compile(r"%0?(\d*)d")
_MAX_PNG_THREADS = 4  # libav's PNG encoder holds one picture a thread
_FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class FrameWriter:
    """Writes one output. Use: construct, `write` every frame, then `finish`, or `abandon` after a fault or stop.

    path: the suffix chooses the format. For PNG, `folder/name_%05d.png` is a sequence; a plain `matte.png` stands for
        `matte/%05d.png`, or with `single` for that one file.
    content: "rgba", "rgb" or "gray".  width, height: of the images.  frame_rate: the nominal one.
    time_base: unit of `pts`, in seconds.
    tags: the source's colour. Limited-range YUV keeps its matrix (BT.601, 709, 2020), RGB formats have none;
        primaries and transfer are kept.
    bit_depth: what the caller has; the property `bit_depth` says what `write` takes.
    premultiplied: said in the metadata only (`comment`: "alpha: premultiplied"); pixels are written as they come.
    copy_from: file whose audio, chapters and tags go into the output.
    quality: None for the format's default; crf for H.264, HEVC and VP9 (0: lossless), the quantiser for ProRes;
        ignored by lossless formats.
    threads: of the encoder; None: as many as it likes.
    overwrite: replace an existing output; otherwise it is an error.

    Raises StudioError for anything that keeps the output from being written. `notes` holds a line for everything that
    is not in the output as it was in the source.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        content: Content,
        width: int,
        height: int,
        frame_rate: Fraction,
        time_base: Fraction,
        tags: ColorTags,
        bit_depth: int = 8,
        sample_aspect_ratio: Fraction = Fraction(1),
        premultiplied: bool = False,
        copy_from: Path | None = None,
        quality: float | None = None,
        threads: int | None = None,
        overwrite: bool = False,
        single: bool = False,
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self._shape = (height, width, _CHANNELS[content])
        self._frames = 0
        self._last_pts: int | None = None
        self._repeated_times = 0

        format = format_for(self.path)
        encoding = format.encoding_for(content, tags.transfer)
        bits, pixel_format = encoding.pixel_format_for(bit_depth)
        self._bit_depth = 16 if bit_depth > 8 and bits > 8 else 8
        matrix = tags.matrix if tags.matrix in _WRITABLE_MATRICES else MATRIX_BT709
        tags = ColorTags(matrix, RANGE_LIMITED, tags.primaries, tags.transfer)
        self._to_frame = FromRGB(pixel_format, tags, pad_to_even=encoding.even_size)

        if sample_aspect_ratio != 1 and not format.carries_pixel_shape:
            self.notes.append(f"{format.suffix} is written without the pixels' shape of {sample_aspect_ratio}")
        if encoding.even_size:
            width, height = width + width % 2, height + height % 2
        codec = _EncoderSetup(
            encoding, pixel_format, width, height, frame_rate, time_base, self._to_frame.tags, sample_aspect_ratio,
            encoding.options_for(quality), threads,
        )  # fmt: skip
        self._time_base = time_base
        tracks = None
        if copy_from is not None:
            if _same_file(self.path, copy_from):
                raise StudioError(f"The output {self.path} is the input itself: choose another name.")
            tracks = TrackCopy(copy_from, format, self.notes)
        try:
            if format.container:
                alpha = None
                if content == "rgba":
                    alpha = "premultiplied" if premultiplied else "straight"
                self._file = _ContainerFile(self.path, format, codec, tracks, alpha, overwrite)
            else:
                self._file = _PictureFiles(self.path, codec, overwrite, single)
        except (OSError, FFmpegError) as error:
            raise _unwritable(self.path, error) from error
        finally:
            if tracks is not None and not format.container:
                tracks.close()

    @property
    def bit_depth(self) -> int:
        """8: `write` takes uint8; 16: uint16 with white at 65535."""
        return self._bit_depth

    def write(self, image: np.ndarray, pts: int, number: int) -> None:
        """image [H, W, C], uint8 or uint16 as `bit_depth` says; pts in time_base, rising; number: of a picture file."""
        dtype = np.uint16 if self._bit_depth > 8 else np.uint8
        if image.shape != self._shape or image.dtype != dtype:
            raise StudioError(
                f"Frame {number} for {self.path} is {_describe(image.shape)}, {image.dtype}, but the output was begun "
                f"with {_describe(self._shape)}, {np.dtype(dtype)}: write frames of another size to another file."
            )
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # containers refuse times that stand still or run backwards
            self._repeated_times += 1
        self._last_pts = pts
        frame = self._to_frame(image)
        frame.pts, frame.time_base = pts, self._time_base
        try:
            self._file.write(frame, number)
        except (OSError, FFmpegError) as error:
            raise _unwritable(self.path, error) from error
        self._frames += 1

    def finish(self) -> Path:
        """Completes the output and gives it its final name: the file, or the folder of a sequence. Call `abandon` if
        this raises."""
        if not self._frames:
            raise StudioError(f"Nothing was written to {self.path}: the input has no frames.")
        if self._repeated_times:
            self.notes.append(f"{self._repeated_times} frames had the time of the frame before: moved by one tick")
        try:
            return self._file.finish()
        except (OSError, FFmpegError) as error:
            raise _unwritable(self.path, error) from error

    def abandon(self, keep: bool) -> Path | None:
        """Stops early. keep: completes what there is so that it plays, with the audio up to there, and returns its
        `.partial` name; None if nothing playable could be saved. Otherwise removes it. Never raises for a bad disk."""
        return self._file.abandon(keep and self._frames > 0)


class _EncoderSetup:
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


class _ContainerFile:
    """One video file, written beside its target as `name.partial.suffix`."""

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        setup: _EncoderSetup,
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


class _PictureFiles:
    """Numbered PNG files in a `.partial` folder, or one picture."""

    def __init__(self, path: Path, setup: _EncoderSetup, overwrite: bool, single: bool) -> None:
        self._single = single
        self._target = path
        if not single and not _NUMBER.search(path.name):
            self._target = path.with_suffix("") / f"%05d{path.suffix}"
        folder = self._target.parent
        old = [self._target] if single and path.exists() else [] if single else self._matches(folder)
        if old and not overwrite:
            raise _exists(old[0])
        if single:
            folder.mkdir(parents=True, exist_ok=True)
            self._partial = folder
        elif folder.exists():
            label = _NUMBER.sub("", self._target.stem).strip("_-. ") or "frames"
            self._partial = folder / f"{label}.partial"
        else:
            self._partial = folder.with_name(f"{folder.name}.partial")
        self._partial.mkdir(parents=True, exist_ok=True)
        if not single:
            for leftover in self._matches(self._partial):
                leftover.unlink()
        self._context = setup.context()
        self._numbers: list[int] = []  # of pictures inside the encoder
        self._written: list[Path] = []

    def _matches(self, folder: Path) -> list[Path]:
        """Files of `folder` that this sequence's pattern could name."""
        before, after = _NUMBER.split(self._target.name)[0], _NUMBER.split(self._target.name)[-1]
        name = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        return [file for file in sorted(folder.glob("*")) if name.fullmatch(file.name)]

    def _name(self, number: int) -> Path:
        if self._single:
            return self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        width = _NUMBER.search(self._target.name)
        assert width is not None
        return self._partial / _NUMBER.sub(f"{number:0{width[1] or 1}d}", self._target.name, count=1)

    def write(self, frame: av.VideoFrame, number: int) -> None:
        if self._single and (self._numbers or self._written):
            raise StudioError(f"A second frame for the single picture {self._target}: name a sequence (%05d) instead.")
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
        if not folder.exists():
            os.rename(self._partial, folder)
            return folder
        for old in self._matches(folder):  # overwritten: a longer old sequence must not show through
            old.unlink()
        for path in self._written:
            os.replace(path, folder / path.name)
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


def _describe(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return f"of shape {shape}"
    return f"{shape[1]}x{shape[0]} with {shape[2]} channels"


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False  # at most one of them exists


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _exists(path: Path) -> StudioError:
    return StudioError(f"The output {path} exists already: allow overwriting, or choose another name.")


def _unwritable(path: Path, error: OSError | FFmpegError) -> StudioError:
    reason = error.strerror or str(error)
    if error.errno in _FULL_DISK:
        return StudioError(f"{path} cannot be written, the disk is full ({reason}): make room and start again.")
    return StudioError(f"{path} cannot be written ({reason}): check its folder, or choose another one.")
