"""Frames of a video, a picture sequence or a still: upright full-range RGB with the file's own timestamps.

libav decodes everything; color.py converts the pixels. Interlaced frames and HDR signals (PQ, HLG) are passed through
unchanged, with their tags in `ClipInfo.tags`. Only the decoder's own few frames are held in memory.
"""

# H, W height and width of the upright frame

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np

from ..errors import StudioError
from ..machine.given_path import given_path
from ..machine.process_tuning import LARGE_PICTURE
from . import hardware_decoding
from .color import UNSPECIFIED, ColorTags, resolve_tags
from .container import is_indexed, known, open_container, video_stream
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span, bit_depth_of
from .hardware_decoding import HWACCELS, DeviceTrouble
from .orientation import display_orientation, upright
from .picture_reader import PictureReader
from .picture_sequence import Picture, find_pictures, is_picture

DEFAULT_FRAME_RATE = Fraction(25)
_MAX_DECODER_THREADS, _MAX_THREADS_OF_LARGE = 8, 4  # each frame thread holds a frame: at 4K some 20 MB
_MAX_READ_ERRORS = 20  # in a row; a demuxer that cannot resynchronise would never end

__all__ = ["ClipInfo", "FrameReader", "SourceFrame", "check_source", "given_rate", "open_reader"]

log = logging.getLogger(__name__)


def open_reader(
    path: str | os.PathLike[str],
    frame_rate: Fraction | float | None = None,
    *,
    start: Fraction | float = 0,
    duration: Fraction | float | None = None,
    hwaccel: str = "none",
) -> FrameReader:
    """Opens a video, a picture or an image sequence for reading. Decodes the first frame.

    The pts of a trimmed clip begin at 0. `start` and `start + duration` are rounded down to the clip's time base, as
    ComfyUI trims a video.

    Args:
        path: A video file, a still picture, a folder of pictures, a glob ("shots/*.png") or a pattern
            ("shot_%05d.png").
        frame_rate: Frames per second of a sequence or still (default 25). Ignored for videos, which have timestamps.
        start: File time of the first frame to read, in seconds; 0 is a sequence's first picture.
        duration: Length of the part to read, in seconds; None or 0: to the end.
        hwaccel: Decode on a device: "none", "auto", "cuda", "videotoolbox", "d3d11va" or "vaapi". Falls back to
            software.

    Returns:
        A reader, to be closed or used as a context manager.

    Raises:
        StudioError: The path cannot be read as any of these, or the requested part has no frames.

    Example:
        >>> import rvm_studio
        >>> with rvm_studio.open_reader("clip.mp4") as reader:
        ...     width, height = reader.info.width, reader.info.height
        ...     images = [frame.image for frame in reader]  # [H, W, 3] uint8, or uint16 above 8 bits
        >>> len(images), images[0].shape == (height, width, 3), images[0].dtype.name
        (12, True, 'uint8')
    """
    path = given_path(path)
    rate = DEFAULT_FRAME_RATE if frame_rate is None else given_rate(frame_rate)
    span = Span(start, duration or None)
    if hwaccel not in HWACCELS:
        raise StudioError(f"Unknown decoder {hwaccel!r}. Use {', '.join(HWACCELS)}.")
    pictures = find_pictures(path)
    if pictures is not None:
        return PictureReader(path, "sequence", pictures, rate, span)
    _refuse_missing(path)
    if is_picture(path):
        return PictureReader(path, "still", [Picture(path, 0)], rate, span)
    return _VideoReader(path, span, hwaccel)


def check_source(path: str | os.PathLike[str]) -> None:
    """Checks within milliseconds whether a path can be opened, so that callers need not load a network first.

    Args:
        path: As for `open_reader`. Nothing is decoded.

    Raises:
        StudioError: The path does not exist or is not a clip, as from `open_reader`.

    Example:
        >>> from rvm_studio import core
        >>> core.check_source("clip.mp4")
    """
    path = given_path(path)
    if find_pictures(path) is None:
        _refuse_missing(path)
        if not is_picture(path):
            with open_container(path) as container:
                video_stream(container, path)


def given_rate(frame_rate: Fraction | float) -> Fraction:
    """A frame rate as its exact decimal value: 29.97 is 2997/100. Raises StudioError unless it is above 0."""
    try:
        rate = Fraction(str(frame_rate))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise StudioError(f"The frame rate is {frame_rate}. Expected a number above 0, such as 25 or 30000/1001.")
    return rate


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise StudioError(
            f"{path} does not exist. Expected a video, a picture or a folder of pictures: check the path."
        )


class _VideoReader(FrameReader):
    def __init__(self, path: Path, span: Span, hwaccel: str) -> None:
        super().__init__()
        self._path = path
        self._read_until = 0.0  # seconds
        self._span = span
        self._container = open_container(path)
        try:
            self._begin_stream()
            self._first_tick, self._end_tick = span.ticks(self._time_base)
            self._go_to_start()
            kept = self._within_span(self._timed(self._decode()))
            first = next(kept, None)
            if first is None:
                where = "" if span.is_whole else f" {span}"
                found = f" ({self.damage[0]})" if self.damage else ""
                raise StudioError(
                    f"{path} has no frame that can be decoded{where}{found}. Expected a video that contains frames."
                )
            self._prepare(path, *first)
            if hwaccel != "none":
                first, kept = self._on_device(hwaccel, first, kept)
        except BaseException:
            self._container.close()
            raise
        self._frames = self._convert(first, kept)

    def close(self) -> None:
        super().close()
        self._container.close()

    def _begin_stream(self, threads: int | None = None) -> None:
        self._stream = stream = video_stream(self._container, self._path)
        context = stream.codec_context
        context.thread_type = "AUTO"
        is_large = context.width * context.height > LARGE_PICTURE
        most = _MAX_THREADS_OF_LARGE if is_large else _MAX_DECODER_THREADS
        context.thread_count = threads or min(os.cpu_count() or 1, most)
        time_base = known(stream.time_base)
        assert time_base is not None  # libav gives every stream one
        self._time_base = time_base
        self._rate = known(stream.average_rate) or known(stream.guessed_rate) or DEFAULT_FRAME_RATE
        self._step = max(1, round(1 / (self._rate * self._time_base)))  # frame spacing where pts are missing

    def _go_to_start(self) -> None:
        """Seeks to the start of the span, or of the file."""
        if self._first_tick and not self._seek_before(self._first_tick):
            self._restart_in_software()

    def _restart_in_software(self) -> None:
        """Reopens the file at its beginning, in software."""
        self._container.close()
        self._container = open_container(self._path)
        self._begin_stream()

    def _seek_before(self, tick: int) -> bool:
        """Seeks to a key frame at or before `tick`; decoding from there gives the same frames as from the beginning.
        Returns False if none is found; the position in the file is then undefined."""
        if not is_indexed(self._container):
            return False
        # an index is sorted by dts, slightly before pts: the key frame found may be too late
        for early in (0, self._step * 16, self._step * 256):
            try:
                self._container.seek(tick - early, stream=self._stream)
                packet = next(self._container.demux(self._stream), None)
                if packet and packet.is_keyframe and packet.pts is not None and packet.pts <= tick:
                    self._container.seek(tick - early, stream=self._stream)  # that packet again
                    return True
            except av.error.FFmpegError:
                return False
        return False

    def _prepare(self, path: Path, first_pts: int, first: av.VideoFrame) -> None:
        stream, rate = self._stream, self._rate
        self._orientation = display_orientation(first, stream.codec_context.name)
        self._stored_size = first.height, first.width
        seconds = None  # may be the audio's, where the container has no video duration
        if stream.duration:
            seconds = stream.duration * self._time_base
        elif self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
        self._declared_seconds = seconds
        count = stream.frames or (round(seconds * rate) if seconds else 0)
        self._zero, ends = 0, None  # zero: subtracted from every pts
        if not self._span.is_whole:
            self._zero, ends = first_pts, self._span.end
            left = seconds and seconds - (first_pts - (stream.start_time or 0)) * self._time_base
            lengths = [length for length in (left, ends and ends - first_pts * self._time_base) if length is not None]
            part = max(1, round(min(lengths) * rate)) if lengths else 0
            count = min(part, count or part)
        height, width, aspect = upright(first, self._orientation, known(stream.sample_aspect_ratio))
        self.info = ClipInfo(
            path=path,
            kind="video",
            height=height,
            width=width,
            frame_rate=rate,
            time_base=self._time_base,
            frame_count=count or None,
            bit_depth=bit_depth_of(first, path),
            tags=self._tags(first),
            sample_aspect_ratio=aspect,
            begins=self._zero * self._time_base,
            ends=None if ends is None else Fraction(ends),
        )

    def _tags(self, frame: av.VideoFrame) -> ColorTags:
        tags = resolve_tags(frame, frame.height)
        if hasattr(frame, "color_primaries"):
            return tags
        context = self._stream.codec_context  # PyAV below 17 has these two only here
        primaries, transfer = int(context.color_primaries), int(context.color_trc)
        return replace(
            tags,
            primaries=tags.primaries if primaries in (0, UNSPECIFIED) else primaries,
            transfer=tags.transfer if transfer in (0, UNSPECIFIED) else transfer,
        )

    def _packets(self) -> Iterator[tuple[av.Packet | None, float]]:
        """Packets with their time in seconds, and finally None, which flushes the decoder.

        A truncated last packet is skipped: its error would discard the frames of other decoder threads.
        """
        packets = self._container.demux(self._stream)
        held: tuple[av.Packet, float] | None = None
        seconds, errors = 0.0, 0
        while errors < _MAX_READ_ERRORS:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                errors += 1
                self.damage.append(f"the file could not be read near {seconds:.2f} s ({error.strerror})")
                packets = self._container.demux(self._stream)
                continue
            if packet is None or not packet.size:
                break
            errors = 0
            seconds = self._reach(packet, seconds)
            if packet.is_corrupt:
                self.damage.append(f"packet at {seconds:.2f} s is damaged")
            if held is not None:
                yield held
            held = packet, seconds
        if held is not None and not held[0].is_corrupt:
            yield held
        yield None, seconds

    def _reach(self, packet: av.Packet, seconds: float) -> float:
        """The packet's time in seconds; `seconds` where it has none."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or not packet.time_base:
            return seconds
        self._read_until = max(self._read_until, float((time + (packet.duration or 0)) * packet.time_base))
        return float(time * packet.time_base)

    def _decode(self) -> Iterator[av.VideoFrame]:
        """All frames that can be decoded; errors are reported in `damage`."""
        for packet, seconds in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.FFmpegError as error:  # frame threads report it some packets late
                self.damage.append(f"packet near {seconds:.2f} s could not be decoded ({error.strerror})")
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                yield frame

    def _on_device(
        self, hwaccel: str, first: tuple[int, av.VideoFrame], kept: Iterator[tuple[int, av.VideoFrame]]
    ) -> tuple[tuple[int, av.VideoFrame], Iterator[tuple[int, av.VideoFrame]]]:
        """The same frames from a device, or those given if no device decodes them to the same first frame."""
        software = self._container, self._stream
        try:
            if self.damage:
                raise DeviceTrouble("the file is damaged")
            self._container, device = hardware_decoding.open_on_device(self._path, self._stream, hwaccel)
            self._begin_stream(threads=1)
            if self._first_tick and not self._seek_before(self._first_tick):
                self._container.close()
                self._container, device = hardware_decoding.open_on_device(self._path, software[1], hwaccel)
                self._begin_stream(threads=1)
            frames = self._within_span(self._timed(self._decode_on_device(device)))
            found = next(frames, None)
            if found is None or found[0] != first[0] or not np.array_equal(self._rgb(found[1]), self._rgb(first[1])):
                raise DeviceTrouble(f"{device} decodes a different first frame")
        except (DeviceTrouble, av.error.FFmpegError) as trouble:
            log.warning("%s is decoded in software: %s.", self._path.name, trouble)
            if self._container is not software[0]:
                self._container.close()
            self._container, self._stream = software
            return first, kept
        software[0].close()
        log.info("%s is decoded on %s.", self._path.name, device)
        return found, frames

    def _decode_on_device(self, device: str) -> Iterator[av.VideoFrame]:
        """Like `_decode`, on the device until an error; then software decodes the rest."""
        given, last, rising = 0, None, True
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise DeviceTrouble("the file is damaged")
                self._reach(packet, 0)
                for frame in self._stream.codec_context.decode(packet if packet.size else None):
                    assert isinstance(frame, av.VideoFrame)
                    if frame.is_corrupt or frame.format.name not in hardware_decoding.FORMATS.values():
                        raise DeviceTrouble("a frame is damaged, or its format has changed")
                    rising = rising and frame.pts is not None and (last is None or frame.pts > last)
                    given, last = given + 1, frame.pts
                    yield frame
            return
        except (DeviceTrouble, av.error.FFmpegError) as trouble:
            log.warning(
                "%s: %s failed after frame %d, falling back to software: %s.", self._path.name, device, given, trouble
            )
        self._restart_in_software()
        if rising and last is not None and self._seek_before(last):
            yield from (frame for frame in self._decode() if frame.pts is None or frame.pts > last)
            return
        self._restart_in_software()
        self._go_to_start()
        yield from islice(self._decode(), given, None)

    def _timed(self, decoded: Iterator[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Each frame with a pts; the pts increase strictly even where the file's do not."""
        last: int | None = None
        for number, frame in enumerate(decoded):
            pts = frame.pts
            expected = 0 if last is None else last + self._step
            if pts is None:
                pts = expected
            elif last is not None and pts <= last:
                self.damage.append(
                    f"frame {number} at {float(last * self._time_base):.2f} s is not later than the frame before; it "
                    "was moved to one frame after it"
                )
                pts = expected
            yield pts, frame
            last = pts

    def _within_span(self, timed: Iterator[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        for pts, frame in timed:
            if self._end_tick is not None and pts >= self._end_tick:
                return
            if self._first_tick is None or pts >= self._first_tick:
                yield pts, frame

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Upright [H, W, 3] of the clip's size and depth."""
        size = self._stored_size if (frame.height, frame.width) != self._stored_size else None
        turn = self._orientation
        return self._to_rgb(frame, self._tags(frame), turn.rotation, self.info.bit_depth, turn.mirrored, size)

    def _convert(
        self, first: tuple[int, av.VideoFrame], kept: Iterator[tuple[int, av.VideoFrame]]
    ) -> Iterator[SourceFrame]:
        info = self.info
        size = self._stored_size
        item: tuple[int, av.VideoFrame] | None = first
        begin = (self._stream.start_time or 0) if self._first_tick else first[0]
        number = 0
        while item is not None:
            pts, frame = item
            seconds = float(pts * info.time_base)
            if frame.is_corrupt:
                self.damage.append(f"frame {number} at {seconds:.2f} s is damaged")
            if (frame.height, frame.width) != size:
                size = frame.height, frame.width
                self.damage.append(
                    f"from {seconds:.2f} s on the frames are {size[1]}x{size[0]} instead of "
                    f"{self._stored_size[1]}x{self._stored_size[0]}; they are scaled to the first size"
                )
            image = NO_IMAGE
            if number >= self.skip:
                image = self._rgb(frame)
            yield SourceFrame(image, pts - self._zero, number)
            number += 1
            item = next(kept, None)
        length = self._read_until - float(begin * info.time_base)
        is_to_the_end = self._end_tick is None and self._declared_seconds is not None
        if is_to_the_end and length < 0.95 * float(self._declared_seconds or 0) - 0.25:
            self.damage.append(
                f"the video ends after {length:.2f} s, but its header says {float(self._declared_seconds or 0):.2f} s; "
                "the file may be truncated"
            )
