"""Frames in, a finished file out: every format of output_formats, exact times, colour tags, audio of the source.

What is being written has a `.partial` name beside the target and gets its final name in the last step.

Times. `pts` values are kept exactly, in the source's own time base, by MOV and MP4 (also the offset between audio and
picture, through edit lists). Matroska and WebM round to their unit of 1 ms. APNG and WebP know delays only: they start
at zero, and the last delay is a guess; WebP rounds to 1 ms. Variable frame rates stay variable everywhere. Where the
picture begins before zero, which players would cut off, picture and audio move together so that it begins at zero.

Sizes. H.264 and HEVC need even sizes: an odd picture is padded by repeating its last column or row. All others keep odd
sizes.

Memory. One frame after the other goes to the disk, except in WebP: libav's encoder keeps the whole animation until the
end, so its memory grows with the clip.

What is lost. APNG, WebP and PNG hold no audio, no titles and no word about premultiplied colours. WebP changes colours
under alpha 0 and joins equal frames. Pixels that are not square are told by MOV, MP4 and PNG only. HDR mastering data
(brightness of the display and so on) is not carried; transfer and primaries are.
"""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from av.error import FFmpegError

from ..errors import StudioError
from .color import MATRIX_BT709, RANGE_LIMITED, ColorTags, FromRGB
from .output_files import ContainerFile, EncoderSetup, OutputFile, PictureFiles, Written, partial_path
from .output_formats import Content, format_for
from .track_copy import TrackCopy

_MANY_IN_MEMORY = 300  # frames
_CHANNELS: dict[Content, int] = {"rgba": 4, "rgb": 3, "gray": 1}
_WRITABLE_MATRICES = (1, 5, 6, 9)  # others (0 RGB, 4, 7 ...) are rare in files: their YUV is written as BT.709
_FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class FrameWriter:
    """Writes one output. Use: construct, `write` every frame, then `finish`, or `abandon` after a fault or stop.

    path: the suffix chooses the format. For PNG, `folder/name_%05d.png` is a sequence; a plain `matte.png` stands for
        `matte/%05d.png`. With `single` it is one file, with the frame's number in place of a `%05d`. `.webp` is for
        short clips: the animation is held in memory until the end.
    content: "rgba", "rgb" or "gray".  width, height: of the images.  frame_rate: the nominal one.
    time_base: unit of `pts`, in seconds.
    tags: the source's colour. Limited-range YUV keeps its matrix (BT.601, 709, 2020), RGB formats have none;
        primaries and transfer are kept.
    bit_depth: what the caller has; the property `bit_depth` says what `write` takes.
    premultiplied: what the colours are; pixels are written as they come. MOV, WebM and MKV say it (`comment`:
        "alpha: premultiplied"); PNG, APNG and WebP cannot, they are straight by definition: a line in `notes` says so.
    copy_from: file whose audio (unless `copy_audio` is False), chapters and tags go into the output, from copy_span[0]
        to copy_span[1] (None: its end) in seconds on its clock; the former is 0 on the output's.
    quality: None for the format's default; crf for H.264, HEVC and VP9 (0: lossless), the quantiser for ProRes;
        ignored by lossless formats.
    threads: of the encoder; None: as many as it likes.
    overwrite: replace an existing output; otherwise it is an error.
    earlier: what an earlier run has left under the `.partial` name, to go on with it: call `take_earlier` before the
        first `write`. All other arguments must be as they were.

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
        copy_span: tuple[Fraction, Fraction | None] = (Fraction(0), None),
        copy_audio: bool = True,
        quality: float | None = None,
        threads: int | None = None,
        overwrite: bool = False,
        single: bool = False,
        earlier: Written | None = None,
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self._shape = (height, width, _CHANNELS[content])
        self._frames = earlier.frames if earlier else 0
        self._first_pts = earlier.first_pts if earlier else 0
        self._last_pts = earlier.last_pts if earlier else None
        self._number = earlier.number if earlier else 0  # of the last picture
        self._repeated_times = earlier.repeated_times if earlier else 0
        self._failure: StudioError | None = None  # of a write

        format = format_for(self.path)
        encoding = format.encoding_for(content, tags.transfer)
        bits, pixel_format = encoding.pixel_format_for(bit_depth)
        self._bit_depth = 16 if bit_depth > 8 and bits > 8 else 8
        matrix = tags.matrix if tags.matrix in _WRITABLE_MATRICES else MATRIX_BT709
        tags = ColorTags(matrix, RANGE_LIMITED, tags.primaries, tags.transfer)
        self._to_frame = FromRGB(pixel_format, tags, pad_to_even=encoding.even_size)

        if sample_aspect_ratio != 1 and not format.carries_pixel_shape:
            self.notes.append(f"{format.suffix} is written without the pixels' shape of {sample_aspect_ratio}")
        if premultiplied and content == "rgba" and not format.carries_comment:
            self.notes.append(
                f"{format.suffix} cannot say that its colours are premultiplied: most programs take them for straight"
            )
        if encoding.even_size:
            width, height = width + width % 2, height + height % 2
        codec = EncoderSetup(
            encoding, pixel_format, width, height, frame_rate, time_base, self._to_frame.tags, sample_aspect_ratio,
            encoding.options_for(quality, width, height), threads,
        )  # fmt: skip
        self.can_go_on = codec.frames_stand_alone and not single
        """Whether a later run can go on with what `abandon` leaves, to the same result."""
        self._time_base = time_base
        self._held_in_memory = format.held_in_memory
        tracks = None
        if copy_from is not None:
            if _same_file(self.path, copy_from):
                raise StudioError(f"The output {self.path} is the input itself: choose another name.")
            tracks = TrackCopy(copy_from, format, self.notes, *copy_span, audio=copy_audio)
        try:
            if format.container:
                alpha = None
                if content == "rgba":
                    alpha = "premultiplied" if premultiplied else "straight"
                self._file: OutputFile = ContainerFile(self.path, format, codec, tracks, alpha, overwrite, earlier)
            else:
                self._file = PictureFiles(self.path, codec, overwrite, single, earlier)
        except (OSError, FFmpegError) as error:
            raise _unwritable(self.path, error) from error
        finally:
            if tracks is not None and not format.container:
                tracks.close()

    @property
    def frames(self) -> int:
        """How many were written, those of an earlier run included."""
        return self._frames

    @property
    def bit_depth(self) -> int:
        """8: `write` takes uint8; 16: uint16 with white at 65535."""
        return self._bit_depth

    def take_earlier(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Takes over the frames of `earlier`; False where `stopped`, asked for every frame, ended it. Whatever becomes
        of the new output, the old one stays until the new is finished, or kept by `abandon`.

        Raises NotResumable where the frames are not there."""
        try:
            return self._file.take_earlier(stopped)
        except (OSError, FFmpegError) as error:
            raise _unwritable(self.path, error) from error

    def write(self, image: np.ndarray, pts: int, number: int) -> None:
        """image [H, W, C], uint8 or uint16 as `bit_depth` says; pts in time_base, rising; number: of a picture file.
        The image must stay as it is: an encoder may look at it later.

        After a failed write every other one, and `finish`, raises the same error: no output with a hole in it."""
        if self._failure is not None:
            raise self._failure
        try:
            self._write(image, pts, number)
        except StudioError as error:
            self._failure = error
            raise
        except (OSError, FFmpegError) as error:
            self._failure = _unwritable(self.path, error)
            raise self._failure from error
        self._first_pts = self._first_pts if self._frames else pts
        self._number = number
        self._frames += 1
        if self._held_in_memory and self._frames == _MANY_IN_MEMORY + 1:
            self.notes.append(
                f"animated WebP ({self.path.name}) is held in memory until the end: for long clips use .webm or .mov"
            )

    def _write(self, image: np.ndarray, pts: int, number: int) -> None:
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
        self._file.write(frame, number)

    def finish(self) -> Path:
        """Completes the output and gives it its final name: the file, or the folder of a sequence. Call `abandon` if
        this raises."""
        if self._failure is not None:
            raise self._failure
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
        path = self._file.abandon(keep and self._frames > 0)
        self.can_go_on = self.can_go_on and self._file.complete and self._failure is None
        return path

    @property
    def partial(self) -> Path:
        """The name of what `abandon` keeps, unless it is a single picture."""
        return partial_path(self.path)

    @property
    def written(self) -> Written:
        """What the `.partial` file holds; after an `abandon` that kept it."""
        assert self._last_pts is not None
        size = self.partial.stat().st_size if self.partial.is_file() else 0
        return Written(self._frames, self._first_pts, self._last_pts, self._number, self._repeated_times, size)


class ToCome(Protocol):
    """A picture that a graphics card is still computing."""

    def numpy(self) -> np.ndarray:
        """The picture, once it is there."""
        ...


class WriterThread:
    """A writer in a thread of its own, up to `queue` frames behind. Pictures that come from a graphics card are waited
    for in that thread.

    from_zero: the first frame that is put gets the pts 0, the others follow it."""

    def __init__(self, writer: FrameWriter, queue: int, from_zero: bool = False):
        self.writer = writer
        self.finished: Path | None = None
        self._queue = queue
        self._zero = None if from_zero else 0
        self._thread = ThreadPoolExecutor(1, "rvm-write")
        self._waiting: deque[Future[None]] = deque()

    def put(self, picture: np.ndarray | ToCome, pts: int, number: int) -> None:
        """Queues a frame; waits while the queue is full. Raises what writing an earlier one raised."""
        while len(self._waiting) >= self._queue:
            self._waiting.popleft().result()
        self._zero = pts if self._zero is None else self._zero
        self._waiting.append(self._thread.submit(self._write, picture, pts - self._zero, number))

    def _write(self, picture: np.ndarray | ToCome, pts: int, number: int) -> None:
        self.writer.write(picture if isinstance(picture, np.ndarray) else picture.numpy(), pts, number)

    def finish(self) -> Path:
        while self._waiting:
            self._waiting.popleft().result()
        self._thread.shutdown()
        self.finished = self.writer.finish()
        return self.finished

    def end(self, keep: bool) -> None:
        """Ends the thread after a fault or stop; with `keep` when all that was put is written, or failed."""
        self._thread.shutdown(cancel_futures=not keep)
        for future in self._waiting:
            if not future.cancelled() and (error := future.exception()):
                self.writer.notes.append(f"the last frames were not written: {error}")
                break
        self._waiting.clear()

    def abandon(self, keep: bool) -> Path | None:
        """Ends the writer after a fault or stop. A finished output stays, and is returned."""
        if self.finished:
            return self.finished
        self.end(keep)
        return self.writer.abandon(keep)


def _describe(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return f"of shape {shape}"
    return f"{shape[1]}x{shape[0]} with {shape[2]} channels"


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False  # at most one of them exists


def _unwritable(path: Path, error: OSError | FFmpegError) -> StudioError:
    reason = error.strerror or str(error)
    if error.errno in _FULL_DISK:
        return StudioError(f"{path} cannot be written, the disk is full ({reason}): make room and start again.")
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = f"{path.parent} is not a folder"
    return StudioError(f"{path} cannot be written ({reason}): check its folder, or choose another one.")
