"""Frames of a video, a picture sequence or a still: upright full-range RGB with the file's own timestamps.

Everything is decoded by libav; pixels are converted in video_color. Interlaced frames and HDR signals (PQ, HLG) pass as
they are, their tags are in `ClipInfo.tags`. Only the decoder's own few frames are held in memory.
"""

# H, W height and width of the upright frame

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
from av.stream import Disposition

from .errors import StudioError
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span, bit_depth_of
from .picture_orientation import display_orientation, upright
from .picture_reader import PictureReader
from .picture_sequence import Picture, find_pictures, is_picture
from .process_tuning import LARGE_PICTURE
from .video_color import UNSPECIFIED, ColorTags, resolve_tags

DEFAULT_FRAME_RATE = Fraction(25)
_MAX_DECODER_THREADS, _MAX_THREADS_OF_LARGE = 8, 4  # each frame thread holds a frame: at 4K some 20 MB
_MAX_READ_ERRORS = 20  # in a row; a demuxer that cannot find its way again would go on for ever
_INDEXED = {"mov", "mp4", "matroska", "webm"}  # containers that know where their key frames are

__all__ = ["ClipInfo", "FrameReader", "SourceFrame", "is_indexed", "open_reader"]


def open_reader(
    path: str | Path,
    frame_rate: Fraction | None = None,
    *,
    start: Fraction | float = 0,
    duration: Fraction | float | None = None,
) -> FrameReader:
    """Opens a video file, a still picture, a folder of pictures, a glob ("shots/*.png") or a pattern ("shot_%05d.png").

    The first frame is decoded here, so a file without any raises here. `frame_rate` is for sequences and stills
    (default 25); a video has its own timestamps and ignores it.
    start, duration: only the frames from `start` on, and before start + duration (None or 0: to the end), in seconds
    on the file's own clock (a video's timestamps; 0 is a sequence's first picture), both rounded down to its unit, as
    ComfyUI trims a video. The pts of a trimmed clip begin at 0.
    Raises StudioError for whatever cannot be read as one of these, and a span without frames.
    """
    path = Path(path)
    rate = DEFAULT_FRAME_RATE if frame_rate is None else Fraction(frame_rate)
    if rate <= 0:
        raise StudioError(f"The frame rate is {rate}. Expected a number above 0, such as 25 or 30000/1001.")
    span = Span(start, duration or None)
    pictures = find_pictures(path)
    if pictures is not None:
        return PictureReader(path, "sequence", pictures, rate, span)
    if not path.exists():
        raise StudioError(
            f"{path} does not exist. Expected a video, a picture or a folder of pictures: check the path."
        )
    if is_picture(path):
        return PictureReader(path, "still", [Picture(path, 0)], rate, span)
    return _VideoReader(path, span)


class _VideoReader(FrameReader):
    def __init__(self, path: Path, span: Span) -> None:
        super().__init__()
        self._read_until = 0.0  # seconds
        self._span = span
        self._container = _open_container(path)
        try:
            self._begin_stream(path)
            self._first_tick, self._end_tick = span.ticks(self._time_base)
            if self._first_tick and not self._seek_before(self._first_tick):
                self._container.close()
                self._container = _open_container(path)
                self._begin_stream(path)
            kept = self._within_span(self._timed(self._decode()))
            first = next(kept, None)
            if first is None:
                where = "" if span.is_whole else f" {span}"
                found = f" ({self.damage[0]})" if self.damage else ""
                raise StudioError(
                    f"{path} holds no frame that can be decoded{where}{found}. Expected a video with pictures in it."
                )
            self._prepare(path, *first)
        except BaseException:
            self._container.close()
            raise
        self._frames = self._convert(first, kept)

    def close(self) -> None:
        super().close()
        self._container.close()

    def _begin_stream(self, path: Path) -> None:
        self._stream = stream = _video_stream(self._container, path)
        context = stream.codec_context
        context.thread_type = "AUTO"
        is_large = context.width * context.height > LARGE_PICTURE
        context.thread_count = min(os.cpu_count() or 1, _MAX_THREADS_OF_LARGE if is_large else _MAX_DECODER_THREADS)
        assert stream.time_base is not None
        self._time_base = stream.time_base
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or DEFAULT_FRAME_RATE)
        self._step = max(1, round(1 / (self._rate * self._time_base)))  # from one frame to the next, where pts lack

    def _seek_before(self, tick: int) -> bool:
        """Goes to a key frame at or before `tick`, from which on decoding gives what it gives from the beginning.
        False where there is none to be found; the file is then somewhere else."""
        if not is_indexed(self._container):
            return False
        # an index is sorted by decoding times, a little before those of display: the frame found may be too late
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
        self._orientation = display_orientation(first)
        self._stored_size = first.width, first.height
        seconds = None  # may be the audio's, where the container does not tell the video's
        if stream.duration:
            seconds = stream.duration * self._time_base
        elif self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
        self._declared_seconds = seconds
        count = stream.frames or (round(seconds * rate) if seconds else 0)
        self._zero, ends = 0, None  # of the pts given out
        if not self._span.is_whole:
            self._zero, ends = first_pts, self._span.end
            left = seconds and seconds - (first_pts - (stream.start_time or 0)) * self._time_base
            lengths = [length for length in (left, ends and ends - first_pts * self._time_base) if length is not None]
            part = max(1, round(min(lengths) * rate)) if lengths else 0
            count = min(part, count or part)
        width, height, aspect = upright(first, self._orientation, stream.sample_aspect_ratio)
        self.info = ClipInfo(
            path=path,
            kind="video",
            width=width,
            height=height,
            frame_rate=rate,
            time_base=self._time_base,
            frame_count=count or None,
            bit_depth=bit_depth_of(first, path),
            tags=self._tags(first),
            sample_aspect_ratio=aspect,
            has_audio=bool(self._container.streams.audio),
            begins=self._zero * self._time_base,
            ends=None if ends is None else Fraction(ends),
        )

    def _tags(self, frame: av.VideoFrame) -> ColorTags:
        tags = resolve_tags(frame, frame.height)
        if hasattr(frame, "color_primaries"):
            return tags
        context = self._stream.codec_context  # PyAV 14 has these two here only
        primaries, transfer = int(context.color_primaries), int(context.color_trc)
        return replace(
            tags,
            primaries=tags.primaries if primaries in (0, UNSPECIFIED) else primaries,
            transfer=tags.transfer if transfer in (0, UNSPECIFIED) else transfer,
        )

    def _packets(self) -> Iterator[tuple[av.Packet | None, float]]:
        """Packets with their time in seconds, and a None at last, which makes the decoder give what it still holds.

        A cut-off last packet is left out: its error would cost the frames that other decoder threads are still at.
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
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None and packet.time_base is not None:
                seconds = float(time * packet.time_base)
                self._read_until = max(self._read_until, float((time + (packet.duration or 0)) * packet.time_base))
            if packet.is_corrupt:
                self.damage.append(f"packet at {seconds:.2f} s is damaged")
            if held is not None:
                yield held
            held = packet, seconds
        if held is not None and not held[0].is_corrupt:
            yield held
        yield None, seconds

    def _decode(self) -> Iterator[av.VideoFrame]:
        """All frames the decoder can make; what it cannot is noted in `damage`."""
        for packet, seconds in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.FFmpegError as error:  # frame threads tell it some packets late
                self.damage.append(f"packet near {seconds:.2f} s could not be decoded ({error.strerror})")
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                yield frame

    def _timed(self, decoded: Iterator[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Each frame with its pts, which rise even where the file's do not."""
        last: int | None = None
        for number, frame in enumerate(decoded):
            pts = frame.pts
            expected = 0 if last is None else last + self._step
            if pts is None:
                pts = expected
            elif last is not None and pts <= last:
                self.damage.append(
                    f"frame {number} at {float(last * self._time_base):.2f} s has a time before its predecessor's; "
                    "it follows it by one frame now"
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
            if (frame.width, frame.height) != size:
                size = frame.width, frame.height
                self.damage.append(
                    f"from {seconds:.2f} s the frames are {size[0]}x{size[1]} instead of "
                    f"{self._stored_size[0]}x{self._stored_size[1]}; they are scaled to the first size"
                )
            image = NO_IMAGE
            if number >= self.skip:
                image = self._to_rgb(
                    frame,
                    self._tags(frame),
                    self._orientation.rotation,
                    info.bit_depth,
                    self._orientation.mirrored,
                    None if size == self._stored_size else self._stored_size,
                )
            yield SourceFrame(image, pts - self._zero, number)
            number += 1
            item = next(kept, None)
        length = self._read_until - float(begin * info.time_base)
        is_to_the_end = self._end_tick is None and self._declared_seconds is not None
        if is_to_the_end and length < 0.95 * float(self._declared_seconds or 0) - 0.25:
            self.damage.append(
                f"the video ends after {length:.2f} s, but its header says {float(self._declared_seconds or 0):.2f} s; "
                "the file may be cut off"
            )


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        # an absolute name: libav takes what stands before a colon for a protocol; titles may be in any encoding
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except av.error.FFmpegError as error:
        size = path.stat().st_size
        raise StudioError(
            f"{path} cannot be opened as a video ({error.strerror}; {size} bytes). Expected a complete video file such "
            "as .mp4, .mov, .mkv or .webm: check whether it plays elsewhere."
        ) from error
    if container.format.name == "tty":  # libav's name for text, which it would draw as pictures
        container.close()
        raise StudioError(f"{path} is a text file. Expected a video, a picture or a folder of pictures.")
    return container


def is_indexed(container: av.container.InputContainer) -> bool:
    """Whether it can be searched without losing packets of the time that is asked for."""
    return not _INDEXED.isdisjoint(container.format.name.split(","))


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # cover art of music
            return stream
    kinds = {"a cover" if stream.type == "video" else stream.type for stream in container.streams} or {"nothing"}
    raise StudioError(
        f"{path} has no video in it, only {', '.join(sorted(kinds))}. Expected a file with a video track."
    )
