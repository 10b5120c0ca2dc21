"""Writes frames to a file in any of the output formats, with exact times, colour tags and the source's audio.

An unfinished output has a `.partial` name beside the target and gets its final name in the last step.

Times. MOV and MP4 keep `pts` exactly, in the source's own time base (and the offset between audio and picture, through
edit lists). Matroska and WebM round to 1 ms. APNG and WebP store only delays: they start at zero, and the last delay is
estimated; WebP rounds to 1 ms. Variable frame rates are kept in all formats. Where the picture begins before zero,
which players would cut off, picture and audio are shifted together so that it begins at zero.

Sizes. H.264 and HEVC require even sizes: an odd picture is padded by repeating its last column or row. All other
formats keep odd sizes.

Memory. Frames are written to the disk one by one, except for WebP: libav's encoder keeps the whole animation until the
end, so its memory grows with the clip.

Limits. APNG, WebP and PNG hold no audio, no metadata and no mark for premultiplied colours. WebP changes the colours of
fully transparent pixels and merges equal frames. Animated WebP stores no pixel aspect ratio. HDR mastering
metadata (such as the display's brightness) is not written; transfer and primaries are.
"""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from ..errors import StudioError, boundary
from ..machine.output_claim import OutputClaim
from ..machine.whole_file import NO_SPACE
from .color import FromRGB
from .container_file import ContainerFile
from .deinterlacing import FieldMark
from .encoder_setup import EncoderSetup
from .encodings import Content, Encoding
from .exr_encoder import FIRST_NUMBER
from .exr_picture import EXR
from .output_formats import STANDARD_OUTPUT, OutputFormat, format_for
from .output_notes import output_notes
from .partial_output import NotResumable, OutputFile, Written
from .picture_files import PictureFiles
from .picture_spec import PictureSpec
from .sequence_times import times_for
from .stream_file import StreamFile
from .track_copy import TrackCopy

_MANY_IN_MEMORY = 300  # frames
_LOOK_EVERY = 1.0  # seconds
_CHANNELS: dict[Content, int] = {"rgba": 4, "rgb": 3, "gray": 1}
_FULL_DISK = {*NO_SPACE, errno.EFBIG}


class FrameWriter:
    """Writes one output: construct it, `write` every frame, then `finish`, or `abandon` after an error or stop.

    MOV, WebM and MKV state in their `comment` whether the alpha is straight or premultiplied.

    Args:
        path: The output; its suffix selects the format. For PNG, TIFF and EXR, `folder/name_%05d.png` is a sequence,
            and a plain `matte.png` stands for `matte/%05d.png` (see `single`). An animated `.webp` is held in memory
            until the end.
        spec: What the frames have in common, such as the ClipInfo of the source. Its time base is the unit of `pts`. Of
            its colour tags, limited-range YUV keeps the matrix (BT.601, 709, 2020), and all formats keep primaries and
            transfer. Its bit depth is the source's; the property `bit_depth` is the one that `write` expects.
        content: "rgba", "rgb" or "gray".
        premultiplied: Whether the colours are premultiplied. This only labels them; pixels are written unchanged. PNG,
            APNG and WebP are straight by definition and cannot be labelled.
        copy_from: File from which audio, chapters and metadata are copied.
        copy_span: The (start, end) of the part of `copy_from` to copy, in seconds of the clip; end None: all. The start
            becomes 0 in the output.
        copy_audio: Whether to copy the audio of `copy_from`.
        quality: crf for H.264, HEVC, AV1 and VP9 (0 is lossless in H.264 and VP9), quantiser for ProRes; None: the
            format's default. Not used by lossless formats and fixed rates, with a note.
        codec: One of the format's `codecs` instead of its own. A hardware encoder that does not open is replaced by
            software, with a note.
        bitrate: Bits per second instead of a quality, for codecs that take one; others leave it out with a note.
        threads: Threads of the encoder; None: its own choice.
        overwrite: Whether to replace an existing output instead of raising an error.
        single: Write one PNG instead of a sequence; a `%05d` in its name becomes the frame's number.
        resumed: What an earlier run left under the `.partial` name, to be resumed: call `copy_resumed` before the first
            `write`. All other arguments must be the same as in that run.
        inputs: Files that the program reads at the same time. They are never removed, although an earlier run may have
            left them as its unfinished output.

    Attributes:
        notes: One line for everything that differs between the source and the output.
        replaced: Why a software encoder replaces the chosen one; empty if none does.
        resumable: Whether a later run can resume a partial output, with the same result.
        kept, whole: After `abandon`: whether something was kept, and whether it has all frames.

    Raises:
        StudioError: The output cannot be written.

    Example:
        >>> import numpy as np
        >>> from fractions import Fraction
        >>> from rvm_studio import core
        >>> spec = core.PictureSpec(
        ...     height=48, width=64, frame_rate=Fraction(25), time_base=Fraction(1, 25), tags=core.ColorTags(1, 1, 1, 1)
        ... )
        >>> writer = core.FrameWriter("cut.mov", spec, content="rgba")
        >>> for number in range(3):
        ...     writer.write(np.zeros((48, 64, 4), np.uint8), pts=number, number=number)
        >>> writer.finish().name
        'cut.mov'
    """

    def __init__(
        self,
        path: str | Path,
        spec: PictureSpec,
        *,
        content: Content,
        premultiplied: bool = False,
        copy_from: Path | None = None,
        copy_span: tuple[Fraction, Fraction | None] = (Fraction(0), None),
        copy_audio: bool = True,
        quality: float | None = None,
        codec: str | None = None,
        bitrate: int | None = None,
        threads: int | None = None,
        overwrite: bool = False,
        single: bool = False,
        resumed: Written | None = None,
        inputs: Collection[Path] = (),
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self.replaced = ""
        self._shape = (spec.height, spec.width, _CHANNELS[content])
        self._frames = resumed.frames if resumed else 0
        self._first_pts = resumed.first_pts if resumed else 0
        self._last_pts = resumed.last_pts if resumed else None
        self._number = resumed.number if resumed else 0  # number of the last picture
        self._repeated_times = resumed.repeated_times if resumed else 0
        self._failure: StudioError | None = None  # of an earlier write
        self._look_at = time.monotonic() + _LOOK_EVERY
        self.kept, self.whole = False, True

        format = format_for(self.path)
        encoding = format.encoding_for(content, spec.tags.transfer, codec)
        if bitrate is not None:
            check_bitrate(bitrate, quality)

        def set_up(encoding: Encoding) -> EncoderSetup:
            return EncoderSetup.of(encoding, spec, quality, bitrate if encoding.takes_bitrate else None, threads)

        setup = set_up(encoding)
        if codec is not None:
            encoding, setup = self._that_opens(format, encoding, setup, set_up, codec)
        self._bit_depth = 16 if spec.bit_depth > 8 and setup.bits > 8 else 8
        self._to_frame = FromRGB(setup.pixel_format, setup.tags, pad_to_even=encoding.even_size)
        self._mark = FieldMark(setup.field_order) if setup.field_order != "progressive" else None
        self.notes += output_notes(format, encoding, content, spec, setup.bits, quality, bitrate, premultiplied)
        is_exr = format.suffix == EXR
        clip_kind = getattr(spec, "kind", "video")
        self._first_number = FIRST_NUMBER if is_exr and clip_kind not in ("sequence", "still") else 0
        self.resumable = setup.frames_stand_alone and not single and self.path != STANDARD_OUTPUT
        self._times = times_for(self.path, spec, is_sequence=not format.container and not single)
        self._overwrite = overwrite
        self._time_base = spec.time_base
        self._held_in_memory = format.held_in_memory
        tracks = None
        if copy_from is not None:
            if _same_file(self.path, copy_from):
                raise StudioError(f"The output {self.path} is the input itself: choose another name.")
            with boundary(f"The sound of {copy_from} cannot be copied", "try again without it"):
                tracks = TrackCopy(copy_from, format, self.notes, *copy_span, audio=copy_audio)
        try:
            with _writing(self.path):
                if format.container:
                    alpha = None
                    if content == "rgba":
                        alpha = "premultiplied" if premultiplied else "straight"
                    if self.path == STANDARD_OUTPUT:
                        self._file: OutputFile = StreamFile(format, setup, tracks, alpha)
                    else:
                        self._file = ContainerFile(self.path, format, setup, tracks, alpha, overwrite, resumed, inputs)
                else:
                    self._file = PictureFiles(self.path, setup, overwrite, single, resumed, premultiplied, inputs)
        finally:
            if tracks is not None and not format.container:
                tracks.close()

    def _that_opens(
        self,
        format: OutputFormat,
        encoding: Encoding,
        setup: EncoderSetup,
        set_up: Callable[[Encoding], EncoderSetup],
        codec: str,
    ) -> tuple[Encoding, EncoderSetup]:
        """The encoding, or its stand-in if the encoder does not open here."""
        problem = first = setup.problem()
        while problem is not None:
            if encoding.stand_in is None:
                others = ", ".join(name for name in format.codecs if name != codec)
                raise StudioError(
                    f"{self.path} cannot be written with the codec {codec}: {first}. Use another codec ({others}) or "
                    "size."
                )
            encoding = encoding.stand_in
            setup = set_up(encoding)
            problem = setup.problem()
        if first is not None:
            self.replaced = first
            self.notes.append(f"{codec} does not work here ({first}): encoded with {encoding.codec} instead")
        return encoding, setup

    @property
    def frames(self) -> int:
        """The number of frames written, including those of a resumed run."""
        return self._frames

    @property
    def bit_depth(self) -> int:
        """8: `write` takes uint8; 16: uint16 with white at 65535."""
        return self._bit_depth

    def copy_resumed(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Copies the frames of `resumed`. The old output stays until the new one is finished, or kept by `abandon`.

        Args:
            stopped: Called for every frame; True ends the copying.

        Returns:
            False if `stopped` ended it.

        Raises:
            NotResumable: The frames are not there.
            StudioError: The output cannot be written.
        """
        with _writing(self.path):
            return self._file.copy_resumed(stopped)

    def pass_over(self, pts: int, number: int) -> None:
        """Takes notice of a frame that a resumed run has written.

        Args:
            pts: Its time in units of `time_base`.
            number: The number of its file in a picture sequence.
        """
        if self._times is not None:
            self._times.add(number + self._first_number, pts)

    def write(self, image: np.ndarray, pts: int, number: int) -> None:
        """Writes one frame.

        After a failed write, all later ones and `finish` raise the same error, so that no output has a gap.

        Args:
            image: [H, W, C] uint8 or uint16, according to `bit_depth`. It must not change afterwards, because an
                encoder may still read it.
            pts: Its time in units of `time_base`, strictly increasing.
            number: The number of its file in a picture sequence. EXR pictures of a clip that is no sequence count from
                1001.

        Raises:
            StudioError: The image has another size or type, or cannot be written.
        """
        if self._failure is not None:
            raise self._failure
        number += self._first_number
        try:
            with _writing(self.path):
                self._look_for_folder()
                self._write(image, pts, number)
        except StudioError as error:
            self._failure = error
            raise
        self._first_pts = self._first_pts if self._frames else pts
        self._number = number
        self._frames += 1
        if self._held_in_memory and self._frames == _MANY_IN_MEMORY + 1:
            self.notes.append(
                f"animated WebP ({self.path.name}) is held in memory until the end: for long clips use .webm or .mov"
            )

    def _look_for_folder(self) -> None:
        """Notices within a second that the folder was renamed or removed, not hours later when the file is complete."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        if self.claim is not None and not self.claim.folder.is_dir():
            raise StudioError(
                f"The folder {self.claim.folder} was renamed or removed while {self.path.name} was written: give it "
                "its name back, or start again with another output."
            )

    def _write(self, image: np.ndarray, pts: int, number: int) -> None:
        dtype = np.uint16 if self._bit_depth > 8 else np.uint8
        if image.shape != self._shape or image.dtype != dtype:
            raise StudioError(
                f"Frame {number} for {self.path} is {_describe(image.shape)}, {image.dtype}, but this output has "
                f"frames of {_describe(self._shape)}, {np.dtype(dtype)}: write frames of another kind to another file."
            )
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # containers refuse times that do not increase
            self._repeated_times += 1
        self._last_pts = pts
        frame = self._to_frame(image)
        if self._mark is not None:
            frame = self._mark(frame)
        frame.pts, frame.time_base = pts, self._time_base
        self._file.write(frame, number)
        if self._times is not None:
            self._times.add(number, pts)

    def finish(self) -> Path:
        """Completes the output and gives it its final name. Call `abandon` if this raises.

        Returns:
            The path of the file, or of a sequence's folder.

        Raises:
            StudioError: No frame was written, or the output cannot be completed.
        """
        if self._failure is not None:
            raise self._failure
        if not self._frames:
            raise StudioError(f"Nothing was written to {self.path}: the input has no frames.")
        if self._repeated_times:
            self.notes.append(
                f"{self._repeated_times} frames were not later than the frame before: moved to one tick after it"
            )
        with _writing(self.path):
            path = self._file.finish()
            if self._times is not None and (note := self._times.save(self._overwrite)):
                self.notes.append(note)
            return path

    def abandon(self, keep: bool, *, settle: bool = True) -> Path | None:
        """Stops early. Does not raise if the disk fails.

        Args:
            keep: Complete the partial output so that it plays, with the audio up to that point; otherwise remove it.
            settle: Whether to call `settle`. Otherwise call it yourself, after a record of the output was saved.

        Returns:
            The `.partial` name of what was kept; None if nothing was kept, and without `settle`.
        """
        self.kept = self._file.abandon(keep and self._frames > 0)
        if not self._file.complete or self._failure is not None:
            self.whole = False
        return self.settle() if settle else None

    def settle(self) -> Path | None:
        """Gives what `abandon` has kept the name for that, and lets other runs write this output."""
        return self._file.settle()

    @property
    def readable_frames(self) -> int:
        """After an `abandon` that kept something: the number of frames that the partial output gives."""
        return self._frames if self.whole else min(self._frames, self._file.readable_frames())

    @property
    def claim(self) -> OutputClaim | None:
        """This run's claim on the output's name."""
        return self._file.claim

    @property
    def written(self) -> Written:
        """What the `.partial` file contains, after an `abandon` that kept it."""
        found = self._written(0, complete=True)
        path = found.find(self.claim.folder) if self.claim else None
        return replace(found, size=path.stat().st_size) if path and path.is_file() else found

    def mark(self) -> Written:
        """What the partial file contains once the frames written by now have left all buffers, see `holds`."""
        return self._written(0, complete=False)

    def _written(self, size: int, *, complete: bool) -> Written:
        assert self._last_pts is not None
        counts = (self._frames, self._first_pts, self._last_pts, self._number, self._repeated_times)
        return Written(*counts, size, self._file.names, complete)

    def holds(self, mark: Written) -> bool:
        """Whether the partial file contains what `mark` says, as other processes see it."""
        return self._file.holds(mark.frames, mark.last_pts)

    def sync(self) -> None:
        """Waits until the disk holds what the partial file contains. May be called from any thread.

        Raises:
            OSError: The disk fails.
        """
        self._file.sync()

    def forget_earlier(self) -> None:
        """Removes what this run resumes, once a record of its own output was saved."""
        self._file.forget_earlier()


def check_bitrate(bitrate: int, quality: float | None) -> None:
    """Raises StudioError for a bitrate that cannot be meant."""
    if quality is not None:
        raise StudioError("Both a quality and a bitrate were given: leave one out.")
    if not 10_000 <= bitrate <= 4_000_000_000:
        raise StudioError(f"The bitrate is {bitrate} bits per second; it must be from 10000 to 4000000000.")


def _describe(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return f"of shape {shape}"
    return f"{shape[1]}x{shape[0]} with {shape[2]} channels"


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False  # at most one of them exists


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """The boundary around writing."""
    with boundary(f"{path} cannot be written", "try another format, or report it", NotResumable):
        try:
            yield
        except (OSError, FFmpegError) as error:
            raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError | FFmpegError) -> StudioError:
    if path == STANDARD_OUTPUT:
        return StudioError(
            f"Standard output cannot be written ({error.strerror}): the program that reads it has ended."
        )
    reason = error.strerror or str(error)
    if error.errno in _FULL_DISK:
        return StudioError(
            f"{path} cannot be written because the disk is full ({reason}): free some space and start again."
        )
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = f"{path.parent} is not a folder"
    return StudioError(f"{path} cannot be written ({reason}): check its folder, or choose another one.")
