"""Frames of a video file: upright full-range RGB with the clip's times."""

# H, W height and width of the upright frame

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np

from ..errors import StudioError
from . import hardware_decoding
from .clip_scan import scan_clip
from .color import UNSPECIFIED, ColorTags, resolve_tags
from .constant_rate import ConstantRate
from .container import known, open_to_read, texts
from .deinterlacing import Deinterlacer, field_order_of
from .frame_reader import NO_IMAGE, ClipInfo, FrameReader, SourceFrame, Span, bit_depth_of
from .hardware_decoding import DeviceTrouble
from .lost_features import what_is_lost
from .orientation import display_orientation, upright
from .reduced_size import reduced_size
from .timecode import timecode_of
from .timeline import Timeline
from .video_track import DEFAULT_FRAME_RATE, VideoTrack

_SIZES_TOLD = 3  # in the note about changes of the size

log = logging.getLogger(__name__)


class TimedFrame(NamedTuple):
    """A decoded frame. tick: when it is shown, in units of the clock. file_tick: the same as rounded in the file."""

    tick: int
    file_tick: int
    frame: av.VideoFrame


class VideoReader(FrameReader):
    """Reads a video; see `open_reader`, which makes it."""

    def __init__(
        self,
        path: Path,
        span: Span,
        hwaccel: str = "none",
        max_size: int | None = None,
        cfr: Fraction | None = None,
        deinterlace: str = "no",
    ) -> None:
        super().__init__()
        self._max_size = max_size
        self._path = path
        self._span = span
        self._cfr, self._deinterlace = cfr, deinterlace
        self._track = VideoTrack(path, self.damage)
        try:
            track = self._track
            scan = scan_clip(track.container, track.stream, path, DEFAULT_FRAME_RATE)
            self._clock, self._sizes = scan.clock, scan.sizes
            per_frame = 2 if deinterlace == "field" else 1
            self._rate, self._unit = scan.clock.rate * per_frame, scan.clock.time_base / per_frame
            self._first_tick, self._end_tick = span.ticks(self._unit)
            self._go_to_start()
            kept = self._timed_frames(self._decode())
            first = next(kept, None)
            if first is None:
                where = "" if span.is_whole else f" {span}"
                found = f" ({self.damage[0]})" if self.damage else ""
                raise StudioError(
                    f"{path} has no frame that can be decoded{where}{found}. Expected a video that contains frames."
                )
            self._prepare(first, scan.frames)
            if hwaccel != "none":
                first, kept = self._on_device(hwaccel, first, kept)
        except BaseException:
            self._track.close()
            raise
        self._frames = self._convert(first, kept)

    def close(self) -> None:
        super().close()
        self._track.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        yield from self._track.decode()

    def _go_to_start(self) -> None:
        """Seeks to the start of the span, or of the file."""
        if self._first_tick and not self._seek_before(self._first_tick):
            self._track.restart()

    def _seek_before(self, tick: int) -> bool:
        """tick: in `_unit`."""
        early = 2 * self._track.step if self._deinterlace != "no" else 1  # neighbours; a rounding
        return self._track.seek_before(max(0, int(tick * self._unit / self._track.time_base) - early))

    # ---- what the clip is

    def _prepare(self, first: TimedFrame, frames: int | None) -> None:
        frame, stream = first.frame, self._track.stream
        self._orientation = display_orientation(frame, stream.codec_context.name)
        self._first_size = frame.height, frame.width
        self._largest_size = max([self._first_size, *sorted(self._sizes)], key=lambda size: size[0] * size[1])
        self._stored_size = reduced_size(*self._largest_size, self._max_size)
        seconds, self._declared_by_all = self._declared()
        self._declared_seconds = seconds
        estimate = math.ceil(seconds * self._clock.rate) if seconds else 0
        # an edit list may show fewer frames than there are
        count = frames or (min(stream.frames, estimate) if stream.frames and estimate else stream.frames or estimate)
        count = round(count * self._rate / self._clock.rate)
        self._zero, ends = 0, None  # zero: subtracted from every tick
        if not self._span.is_whole:
            self._zero, ends = first.tick, self._span.end
            left = seconds and seconds - (first.tick * self._unit - self._begin_of_stream())
            whole = (left, ends and ends - first.tick * self._unit)
            lengths = [length for length in whole if length is not None]
            part = max(1, round(min(lengths) * self._rate)) if lengths else 0
            count = min(part, count or part)
        height, width, aspect = upright(frame, self._orientation, known(stream.sample_aspect_ratio))
        if self._stored_size != self._first_size:
            height, width = self._stored_size
            if self._orientation.rotation in (90, 270):
                height, width = width, height
        rate = self._cfr or self._rate
        begins = self._zero * self._unit
        self.info = ClipInfo(
            path=self._path,
            kind="video",
            height=height,
            width=width,
            frame_rate=rate,
            time_base=1 / rate if self._cfr else self._unit,
            frame_count=round(count * rate / self._rate) or None,
            bit_depth=bit_depth_of(frame, self._path),
            tags=self._tags(frame),
            sample_aspect_ratio=aspect,
            field_order=self._field_order(),
            timecode=self._timecode(begins, rate),
            begins=begins,
            ends=None if ends is None else Fraction(ends),
        )
        self.notes += what_is_lost(frame, stream)

    def _field_order(self) -> str:
        """The order of fields in the frames that come out; notes what happens to interlaced ones."""
        order, turned = self._stored_order, self._orientation.rotation in (90, 270)
        if self._deinterlace != "no":
            if order == "progressive":
                self.notes.append("the frames are not marked as interlaced; they are deinterlaced as requested")
            return "progressive"
        if order != "progressive":
            self.notes.append(
                f"the frames are interlaced ({order} field first) and stay so; deinterlace them for a cleaner matte"
            )
        is_scaled = self._stored_size != self._first_size
        return "progressive" if turned or is_scaled or self._cfr else order

    def _timecode(self, begins: Fraction, rate: Fraction) -> str | None:
        """That of the first frame that is read."""
        source_rate = self._clock.rate
        begin, text = timecode_of(self._track.container, self._track.stream, source_rate)
        if begin is None:
            if text:
                self.notes.append(f"the timecode {text!r} fits no rate of {float(source_rate):.6g} and is left out")
            return None
        if not self._span.is_whole:
            begin = begin.shifted(round((begins - self._begin_of_stream()) * source_rate))
        return str(begin.at_rate(rate))

    def _begin_of_stream(self) -> Fraction:
        """The clip's time at which the picture begins, in seconds."""
        track = self._track
        return (track.stream.start_time or 0) * track.time_base - track.timeline.zero

    def _declared(self) -> tuple[Fraction | None, bool]:
        """(the picture's length in seconds as the file says, whether that is the length of all tracks together)."""
        stream, container = self._track.stream, self._track.container
        if stream.duration:
            return stream.duration * self._track.time_base, False
        if found := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", texts(stream.metadata).get("DURATION", "")):
            # Matroska's statistics, from the file's time 0 on
            hours, minutes, seconds = map(Fraction, found.groups())
            return hours * 3600 + minutes * 60 + seconds - (stream.start_time or 0) * self._track.time_base, False
        if container.duration:
            return Fraction(container.duration, av.time_base), True
        return None, False

    def _tags(self, frame: av.VideoFrame) -> ColorTags:
        tags = resolve_tags(frame, frame.height)
        if hasattr(frame, "color_primaries"):
            return tags
        context = self._track.stream.codec_context  # PyAV below 17 has these two only here
        primaries, transfer = int(context.color_primaries), int(context.color_trc)
        return replace(
            tags,
            primaries=tags.primaries if primaries in (0, UNSPECIFIED) else primaries,
            transfer=tags.transfer if transfer in (0, UNSPECIFIED) else transfer,
        )

    # ---- a device

    def _on_device(
        self, hwaccel: str, first: TimedFrame, kept: Iterator[TimedFrame]
    ) -> tuple[TimedFrame, Iterator[TimedFrame]]:
        """The same frames from a device, or those given if no device decodes them to the same first frame."""
        software, clock = self._track, self._clock
        try:
            if self.damage:
                raise DeviceTrouble("the file is damaged")
            device = self._open_device(software, hwaccel)
            self._clock = replace(clock)
            if self._first_tick and not self._seek_before(self._first_tick):
                self._track.close()
                device = self._open_device(software, hwaccel)
            frames = self._timed_frames(self._decode_on_device(device))
            found = next(frames, None)
            if (
                found is None
                or found.tick != first.tick
                or not np.array_equal(self._rgb(found.frame), self._rgb(first.frame))
            ):
                raise DeviceTrouble(f"{device} decodes a different first frame")
        except (DeviceTrouble, av.error.FFmpegError) as trouble:
            log.warning("%s is decoded in software: %s.", self._path.name, trouble)
            if self._track is not software:
                self._track.close()
            self._track, self._clock = software, clock
            return first, kept
        software.close()
        log.info("%s is decoded on %s.", self._path.name, device)
        return found, frames

    def _open_device(self, software: VideoTrack, hwaccel: str) -> str:
        container, device = hardware_decoding.open_on_device(self._path, software.stream, hwaccel)
        self._track = VideoTrack(self._path, self.damage, container, threads=1)
        return device

    def _decode_on_device(self, device: str) -> Iterator[av.VideoFrame]:
        """Like `_decode`, on the device until an error; then software decodes the rest."""
        given, last, rising = 0, None, True
        track = self._track
        try:
            for packet in track.device_packets():
                for frame in track.frames(packet):
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
        track.restart()
        if rising and last is not None and track.seek_before(last):
            yield from (frame for frame in self._decode() if frame.pts is None or frame.pts > last)
            return
        track.restart()
        self._go_to_start()
        yield from islice(self._decode(), given, None)

    # ---- from decoded frames to pictures

    def _timed_frames(self, decoded: Iterator[av.VideoFrame]) -> Iterator[TimedFrame]:
        """The frames of the span."""
        timed = self._timed(decoded)
        if self._deinterlace == "no":
            return self._within_span(timed)
        return self._within_span(self._deinterlaced(timed))

    def _deinterlaced(self, timed: Iterator[TimedFrame]) -> Iterator[TimedFrame]:
        first = next(timed, None)
        if first is None:
            return
        marked_only = self._stored_order != "progressive"

        def with_ticks() -> Iterator[av.VideoFrame]:
            for item in chain([first], timed):
                item.frame.pts = item.tick
                yield item.frame

        for frame in Deinterlacer(self._deinterlace, marked_only).frames(with_ticks()):
            if frame.pts is not None:
                yield TimedFrame(frame.pts, frame.pts, frame)

    def _timed(self, decoded: Iterator[av.VideoFrame]) -> Iterator[TimedFrame]:
        """Each frame with its time in the file's unit and on the clock; both rise even where the file's do not."""
        track, clock = self._track, self._clock
        unit = track.time_base / clock.time_base  # whole
        last: int | None = None
        last_tick: int | None = None
        moved = 0
        for number, frame in enumerate(decoded):
            time = frame.pts
            expected = 0 if last is None else last + track.step
            if time is None:
                time = expected
            elif last is not None and time <= last:
                if last - time >= track.step:
                    moved += 1
                    if moved == 1:
                        self.damage.append(
                            f"frame {number} at {float(last * track.time_base):.2f} s is not later than the frame "
                            "before; it and others like it were moved to one frame after it"
                        )
                    time = expected
                else:  # shown for no time: half of the frame before is given to it
                    self._note_repeated(float(last * track.time_base))
                    time = last + max(1, track.step // 2)
            tick = clock.tick(time)
            if last_tick is not None and tick <= last_tick:
                tick = last_tick + 1
            if number == 0:
                self._stored_order = field_order_of(frame)
            yield TimedFrame(tick, int(time * unit), frame)
            last, last_tick = time, tick

    def _note_repeated(self, seconds: float) -> None:
        text = "some frames have the same time as the frame before; they are shown half a frame after it"
        if not any(note.startswith(text) for note in self.notes):
            self.notes.append(f"{text} (first at {seconds:.2f} s)")

    def _within_span(self, timed: Iterator[TimedFrame]) -> Iterator[TimedFrame]:
        for item in timed:
            place = max(item.tick, item.file_tick)  # the exact and the rounded time both count as within
            if self._end_tick is not None and place >= self._end_tick:
                return
            if self._first_tick is None or place >= self._first_tick:
                yield item

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Upright [H, W, 3] of the clip's size and depth; a frame of another shape is centred on black."""
        stored = frame.height, frame.width
        turn = self._orientation
        size = self._stored_size if stored == self._largest_size else _size_within(stored, self._stored_size)
        size = None if size == stored else size
        picture = self._to_rgb(frame, self._tags(frame), turn.rotation, self.info.bit_depth, turn.mirrored, size)
        if picture.shape[:2] == (self.info.height, self.info.width):
            return picture
        canvas = np.zeros((self.info.height, self.info.width, 3), picture.dtype)
        height, width = picture.shape[:2]
        top, left = (self.info.height - height) // 2, (self.info.width - width) // 2
        canvas[top : top + height, left : left + width] = picture
        return canvas

    def _convert(self, first: TimedFrame, kept: Iterator[TimedFrame]) -> Iterator[SourceFrame]:
        info = self.info
        size, changes = self._first_size, [(0.0, self._first_size)]
        begin = self._begin_of_stream() if self._first_tick else first.tick * self._unit
        items = ((item.tick - self._zero, item.frame) for item in chain([first], kept))
        constant = None
        if self._cfr is not None:
            constant = ConstantRate(self._cfr, self._unit, 1 / self._rate)
            items = constant.frames(items)
        before: av.VideoFrame | None = None
        image = NO_IMAGE
        for number, (tick, frame) in enumerate(items):
            if frame is not before:
                seconds = float(info.begins + tick * info.time_base)
                if frame.is_corrupt:
                    self.damage.append(f"frame {number} at {seconds:.2f} s is damaged")
                if (frame.height, frame.width) != size:
                    size = frame.height, frame.width
                    changes.append((seconds, size))
            if number < self.skip:
                image = NO_IMAGE
            elif frame is not before or image is NO_IMAGE:
                image = self._rgb(frame)
            yield SourceFrame(image, tick, number)
            before = frame if constant else None
        if constant is not None:
            self.notes.append(constant.note())
        self._note_the_end(changes, float(begin))

    def _note_the_end(self, changes: list[tuple[float, tuple[int, int]]], begin: float) -> None:
        if len(changes) > 1:
            told = ", ".join(f"{w}x{h} from {seconds:.2f} s on" for seconds, (h, w) in changes[:_SIZES_TOLD])
            more = f" and {len(changes) - _SIZES_TOLD} more" if len(changes) > _SIZES_TOLD else ""
            height, width = self._stored_size
            self.notes.append(f"the size of the frames changes ({told}{more}); all are fitted into {width}x{height}")
        if joins := self._track.timeline.joins:
            told = ", ".join(f"{float(join):.2f} s" for join in joins[:_SIZES_TOLD])
            self.notes.append(f"the file's clock jumps at {told}, as where recordings were joined; its parts follow on")
        length = self._track.read_until - begin
        declared = float(self._declared_seconds or 0)
        if self._end_tick is not None or joins or length >= 0.95 * declared - 0.25:
            return
        if self._declared_by_all and self._end_of_all_tracks() >= 0.95 * declared - 0.25:
            return  # the sound is longer than the picture
        self.damage.append(
            f"the video ends after {length:.2f} s, but its header says {declared:.2f} s; the file may be truncated"
        )

    def _end_of_all_tracks(self) -> float:
        """The end of the longest track, in seconds; reads the packets after the picture's end."""
        end = 0.0
        try:
            with open_to_read(self._path) as container:
                timeline = Timeline(container, None)
                container.seek(int((self._track.read_until + float(self._track.timeline.zero)) * av.time_base))
                for packet in container.demux():
                    time = packet.pts if packet.pts is not None else packet.dts
                    if time is not None and packet.size and not packet.is_corrupt:
                        end = max(end, float((time + (packet.duration or 0)) * packet.time_base - timeline.zero))
        except (av.error.FFmpegError, OSError):
            pass
        return end


def _size_within(size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """(height, width) scaled, with its aspect ratio kept, to the largest that fits into `limits`."""
    scale = min(Fraction(limits[0], size[0]), Fraction(limits[1], size[1]))
    height, width = (max(1, round(length * scale)) for length in size)
    return min(height, limits[0]), min(width, limits[1])
