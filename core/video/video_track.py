"""The picture of an open video file: its packets and decoded frames, with the times of the clip."""

import heapq
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error

from ..machine.process_tuning import LARGE_PICTURE
from .container import is_indexed, known, open_container, video_stream
from .hardware_decoding import DeviceTrouble
from .timeline import Timeline

DEFAULT_FRAME_RATE = Fraction(25)
MAX_DECODER_THREADS, MAX_THREADS_OF_LARGE = 8, 4  # each frame thread holds a frame: at 4K some 20 MB
_MOST_GUESSED = 50  # frames in a row; after that, a frame is really missing
_MAX_READ_ERRORS = 20  # in a row; a demuxer that cannot resynchronise would never end


class GuessedTimes:
    """Times of frames of which libav has guessed most: it is one frame early or late for some, up to the next stored
    time, though the frames follow one another.

    step: the distance of two frames.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._last: int | None = None
        self._off = 0  # frames in a row whose time was not believed

    def mended(self, time: int | None) -> int | None:
        """The time of the next frame."""
        expected = None if self._last is None else self._last + self._step
        if expected is not None and time != expected and self._off < _MOST_GUESSED:
            one_off = time is None or abs(abs(time - expected) - self._step) <= self._step // 20
            self._off = self._off + 1 if one_off else 0
            time = expected if one_off else time
        else:
            self._off = 0
        self._last = time
        return time


class VideoTrack:
    """One handle on a file, in software or on a device.

    Args:
        path: The file.
        damage: Gets one line for every place that cannot be read or decoded.
        container: The file, opened for a device; None: opened here, for software.
        threads: Of the decoder; None: as many as are useful.

    Attributes:
        time_base: The unit of all times here, in seconds.
        rate: Frames per second, as the file's header says.
        step: The distance of frames whose time is missing, in `time_base`.
        read_until: The end of the packets so far, in seconds.

    Raises:
        StudioError: The file holds no video that can be decoded.
    """

    def __init__(
        self,
        path: Path,
        damage: list[str],
        container: av.container.InputContainer | None = None,
        threads: int | None = None,
    ) -> None:
        self._path, self._damage = path, damage
        self.read_until = 0.0
        self._begin(container or open_container(path), threads)

    def _begin(self, container: av.container.InputContainer, threads: int | None) -> None:
        self.container = container
        try:
            self.stream = stream = video_stream(container, self._path)
            context = stream.codec_context
            context.thread_type = "AUTO"
            is_large = context.width * context.height > LARGE_PICTURE
            most = MAX_THREADS_OF_LARGE if is_large else MAX_DECODER_THREADS
            context.thread_count = threads or min(os.cpu_count() or 1, most)
            time_base = known(stream.time_base)
            assert time_base is not None  # libav gives every stream one
            self.time_base = time_base
            self.rate = known(stream.average_rate) or known(stream.guessed_rate) or DEFAULT_FRAME_RATE
            self.step = max(1, round(1 / (self.rate * self.time_base)))
            self.timeline = Timeline(container, stream)
        except BaseException:
            container.close()
            raise
        # AVI stores when a frame is decoded, not when it is shown: frames are shown at those times, in their order
        self._decoding_times: list[int] | None = [] if container.format.name == "avi" else None
        # MPEG program streams (.mpg, .vob) store the time of some frames only
        self._guesses = GuessedTimes(self.step) if container.format.name == "mpeg" else None

    def restart(self) -> None:
        """Opens the file again at its beginning, in software."""
        self.close()
        self._begin(open_container(self._path), None)

    def close(self) -> None:
        """Closes the file."""
        self.container.close()

    def seek_before(self, tick: int) -> bool:
        """Seeks to a key frame at or before `tick`; decoding from there gives the same frames as from the beginning.
        Returns False if none is found; the position in the file is then undefined."""
        if not is_indexed(self.container) or self._decoding_times is not None:
            return False
        self.timeline.restart()
        tick += round(self.timeline.zero / self.time_base)  # on the file's clock
        # an index is sorted by dts, slightly before pts: the key frame found may be too late
        for early in (0, self.step * 16, self.step * 256):
            try:
                self.container.seek(tick - early, stream=self.stream)
                packet = next(self.container.demux(self.stream), None)
                if packet and packet.is_keyframe and packet.pts is not None and packet.pts <= tick:
                    self.container.seek(tick - early, stream=self.stream)  # that packet again
                    return True
            except av.error.FFmpegError:
                return False
        return False

    def packets(self) -> Iterator[tuple[av.Packet | None, float]]:
        """Packets with their time in seconds, and finally None, which flushes the decoder.

        A truncated last packet is skipped: its error would discard the frames of other decoder threads.
        """
        held: tuple[av.Packet, float] | None = None
        seconds = 0.0
        for packet in self._demux():
            seconds = self._reach(packet, seconds)
            if self.timeline.is_damaged(packet):
                self._damage.append(f"packet at {seconds:.2f} s is damaged")
            if held is not None:
                yield held
            held = packet, seconds
        if held is not None and not self.timeline.is_damaged(held[0]):
            yield held
        yield None, seconds

    def _demux(self) -> Iterator[av.Packet]:
        """The picture's packets; continues after places that cannot be read."""
        streams = self.timeline.streams
        given = self.container.demux(streams)
        errors, index = 0, self.stream.index
        while errors < _MAX_READ_ERRORS:
            try:
                packet = next(given, None)
            except av.error.FFmpegError as error:
                errors += 1
                self._damage.append(f"the file could not be read near {self.read_until:.2f} s ({error.strerror})")
                given = self.container.demux(streams)
                continue
            if packet is None:
                break
            errors = 0 if packet.size else errors
            for timed in self.timeline.packets(packet):
                if timed.stream.index == index and timed.size:
                    yield timed

    def device_packets(self) -> Iterator[av.Packet | None]:
        """Like `packets`, but for a device: raises DeviceTrouble or FFmpegError at the first damage."""
        index = self.stream.index
        for packet in self.container.demux(self.timeline.streams):
            for timed in self.timeline.packets(packet):
                if timed.stream.index == index and timed.size:
                    if self.timeline.is_damaged(timed):
                        raise DeviceTrouble("the file is damaged")
                    self._reach(timed, 0)
                    yield timed
        yield None

    def _reach(self, packet: av.Packet, seconds: float) -> float:
        """The packet's time in seconds; `seconds` where it has none."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or not packet.time_base:
            return seconds
        self.read_until = max(self.read_until, float((time + (packet.duration or 0)) * packet.time_base))
        return float(time * packet.time_base)

    def frames(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        """The frames that the decoder returns for a packet. Raises FFmpegError."""
        waiting = self._decoding_times
        if waiting is not None and packet is not None and packet.dts is not None:
            heapq.heappush(waiting, packet.dts)
        try:
            decoded = self.stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            if waiting:
                heapq.heappop(waiting)
            raise
        frames = []
        for frame in decoded:
            assert isinstance(frame, av.VideoFrame)
            if waiting is not None:
                frame.pts = heapq.heappop(waiting) if waiting else None
            elif self._guesses is not None:
                frame.pts = self._guesses.mended(frame.pts)
            frames.append(frame)
        return frames

    def decode(self) -> Iterator[av.VideoFrame]:
        """All frames that can be decoded, with the clip's time as their pts, if they have any."""
        for packet, seconds in self.packets():
            try:
                frames = self.frames(packet)
            except av.error.FFmpegError as error:  # frame threads report it some packets late
                self._damage.append(f"packet near {seconds:.2f} s could not be decoded ({error.strerror})")
                continue
            yield from frames
