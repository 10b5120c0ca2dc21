"""The one clock of a clip: it turns the times in a file into the times of the clip, for picture and sound alike.

A file's clock may begin anywhere (a transport stream at 1.4 s, a recording at 10 h), may wrap around (33 bits of
1/90000 s in transport and program streams: after 26.5 hours) and may jump where two recordings were joined. The clip
begins at 0, and its clock does not jump. Everything that reads a clip opens the file by itself; all of them get the
same times, because the times depend only on the file's packets in their order.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.container

from .container import known

_JUMPING = 0x0200  # AVFMT_TS_DISCONT: libav's mark of formats whose clock may jump
_WRAP = Fraction(2**33, 90000)  # seconds
_WRAPPING = {"mpegts", "mpeg"}
_LEAST_GAP, _LEAST_STEP_BACK = 10, Fraction(1, 10)  # seconds: what counts as a jump
_PATIENCE = 5  # seconds of sound that wait for the picture to jump too
_SPARE = Fraction(1, 4)  # seconds by which sound may outlast the picture at a join
_RECENT, _RECENT_PICTURES = Fraction(3, 10), 3  # seconds of sound and packets of the picture that are held back


@dataclass
class _Track:
    """Where one stream is on the clock."""

    is_video: bool
    step: Fraction  # seconds of a packet that does not say how long it is
    added: Fraction  # to the file's times, in seconds
    section: int = 0  # sections are separated by jumps
    file_end: Fraction | None = None  # of the packets so far, by the file's clock
    end: Fraction | None = None  # the same, by the clip's clock
    delay: int = 0  # from decoding to showing, in the stream's unit
    held: list[av.Packet] = field(default_factory=list)  # waiting for the picture to jump too
    recent: deque[av.Packet] = field(default_factory=deque)  # with the clip's times, held back: a jump may follow


class Timeline:
    """The clock of an open file.

    Args:
        container: The open file.
        picture: The stream that holds the picture; None for a file with sound only.

    Attributes:
        zero: The file's time that becomes 0, in seconds. In MOV and MP4 files that are not fragmented it is 0: their
            offsets are the author's. In other files it is the beginning of the earliest track, if above 0.
        streams: The streams whose packets must all be passed through `packets`, in the file's order.
        joins: The clip's time of each join found so far, in seconds.
    """

    def __init__(self, container: av.container.InputContainer, picture: av.VideoStream | None) -> None:
        sound = [s for s in container.streams.audio if s.codec_context is not None]
        self._names = set(container.format.name.split(","))
        self._jumps = bool(int(container.format.flags) & _JUMPING)
        tracks = [*([] if picture is None else [picture]), *sound]
        self.zero = self._zero_of(picture, tracks)
        self.joins: list[Fraction] = []
        self._picture = picture
        self._sound = sound
        self.restart()

    @property
    def streams(self) -> list[av.VideoStream | av.AudioStream]:
        pictures = [] if self._picture is None else [self._picture]
        return [*pictures, *self._sound] if self._jumps or not pictures else [*pictures]

    @property
    def sound_streams(self) -> list[av.VideoStream | av.AudioStream]:
        """What a reader of the sound alone must pass through `packets`."""
        return self.streams if self._jumps else [*self._sound]

    def _zero_of(self, picture: av.VideoStream | None, tracks: Iterable[av.VideoStream | av.AudioStream]) -> Fraction:
        if "mov" in self._names and picture is not None and picture.frames:
            return Fraction(0)
        starts = [
            s.start_time * base for s in tracks if s.start_time is not None and (base := known(s.time_base)) is not None
        ]
        return max(Fraction(0), min(starts, default=Fraction(0)))

    def restart(self) -> None:
        """Forgets the packets so far: call it after a seek, which is possible only in files without jumps."""
        self.joins = []
        self._excused: set[tuple[int, int | None]] = set()  # packets that are only marked as damaged: stream, time
        self._sections = [-self.zero]  # what each one adds to the file's times
        self._tracks: dict[int, _Track] = {}
        for stream in [*([] if self._picture is None else [self._picture]), *self._sound]:
            is_video = stream is self._picture
            rate = known(stream.average_rate) if isinstance(stream, av.VideoStream) else None
            step = 1 / rate if rate else Fraction(1, 50)
            self._tracks[stream.index] = _Track(is_video, step, -self.zero)

    def file_time(self, seconds: Fraction) -> Fraction:
        """The file's time at a time of the clip, in seconds; only for files without jumps."""
        return seconds + self.zero

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        """The packets whose times are known now, with the clip's times: as a rule the given one.

        Args:
            packet: The next packet of `streams` or `sound_streams`; an empty one at the end of a stream.
        """
        track = self._tracks.get(packet.stream.index)
        time = packet.dts if packet.dts is not None else packet.pts
        if track is None or not packet.size:
            return self._flush() if packet.size == 0 else [packet]
        if not self._jumps or time is None:
            return [self._moved(packet, track)]
        if (
            packet.pts is not None
            and packet.dts is not None
            and (packet.pts - packet.dts) * packet.time_base < -_WRAP / 2
        ):
            packet.pts += round(_WRAP / packet.time_base)  # shown after the clock has wrapped, decoded before
        self._mend_shown(packet, track)
        if track.held:
            track.held.append(packet)
            first = track.held[0]
            waited = (time - (first.dts if first.dts is not None else first.pts or 0)) * packet.time_base
            return self._release() if waited > _PATIENCE else []
        if track.file_end is None:
            track.section = len(self._sections) - 1
            track.added = self._sections[-1]
        elif _is_jump(gap := time * packet.time_base - track.file_end):
            if not self._cross(track, packet, gap):
                track.held.append(packet)
                return []
            return [*self._behind_jump(packet, track), *(self._release() if track.is_video else [])]
        return self._advance(packet, track)

    def _mend_shown(self, packet: av.Packet, track: _Track) -> None:
        """Before a jump, libav may take a picture's time of showing from the picture behind the jump."""
        if packet.pts is None or packet.dts is None:
            return
        if abs(packet.pts - packet.dts) * packet.time_base < _LEAST_GAP:
            track.delay = packet.pts - packet.dts
        else:
            packet.pts = packet.dts + track.delay

    def is_damaged(self, packet: av.Packet) -> bool:
        """Whether a packet is damaged. At a join libav marks one of the last before it, which are whole."""
        return packet.is_corrupt and (packet.stream.index, packet.dts) not in self._excused

    def _flush(self) -> list[av.Packet]:
        packets = self._release()
        for track in self._tracks.values():
            packets += track.recent
            track.recent.clear()
        return packets

    def _cross(self, track: _Track, packet: av.Packet, gap: Fraction) -> bool:
        """Puts the track behind the jump; False if it must wait for the picture."""
        assert track.file_end is not None
        assert track.end is not None
        for turn in (_WRAP, -_WRAP) if self._names & _WRAPPING else ():
            if not _is_jump(gap + turn):
                track.added += turn
                return True
        begin = _begin(packet)
        for section in range(track.section + 1, len(self._sections)):
            if -1 < begin + self._sections[section] - track.end < _LEAST_GAP:
                track.section, track.added = section, self._sections[section]
                return True
        if not track.is_video and self._picture is not None:
            return False
        self._join(track, begin)
        return True

    def _join(self, track: _Track, begin: Fraction) -> None:
        """A new section begins with the file's time `begin`, behind what the track had."""
        assert track.end is not None
        latest = max(other.end for other in self._tracks.values() if other.end is not None)
        end = track.end if latest - track.end <= _SPARE else latest
        self._sections.append(end - begin)
        self.joins.append(end)
        track.section, track.added = len(self._sections) - 1, end - begin

    def _release(self) -> list[av.Packet]:
        """The packets that waited for the picture to jump; a track whose picture does not jump begins a section."""
        released = []
        for track in self._tracks.values():
            held, track.held = track.held, []
            for packet in held:
                time = packet.dts if packet.dts is not None else packet.pts
                assert time is not None
                assert track.file_end is not None
                if not _is_jump(gap := time * packet.time_base - track.file_end):
                    released += self._advance(packet, track)
                    continue
                if not self._cross(track, packet, gap):
                    self._join(track, _begin(packet))
                released += self._behind_jump(packet, track)
        return released

    def _behind_jump(self, packet: av.Packet, track: _Track) -> list[av.Packet]:
        """The first packet after a jump. The sound before it ends where that after it begins."""
        begin = _begin(packet) + track.added
        while not track.is_video and track.recent:
            last = track.recent[-1]
            if _begin(last) + (last.duration or 0) * last.time_base / 2 < begin:
                break
            track.recent.pop()
        for before in track.recent:
            self._excuse(before)
        passed = self._advance(packet, track)
        self._excuse(packet)
        return passed

    def _excuse(self, packet: av.Packet) -> None:
        if packet.is_corrupt:
            self._excused.add((packet.stream.index, packet.dts))

    def _advance(self, packet: av.Packet, track: _Track) -> list[av.Packet]:
        """Puts the packet on the clip's clock, and returns those that are not recent any more."""
        length = packet.duration * packet.time_base if packet.duration else track.step
        decoded = packet.dts * packet.time_base if packet.dts is not None else _begin(packet)
        track.file_end = decoded + length
        moved = self._moved(packet, track)
        end = _begin(moved) + length
        track.end = end if track.end is None else max(track.end, end)
        track.recent.append(moved)
        passed = []
        while len(track.recent) > _RECENT_PICTURES and (
            track.is_video or _begin(track.recent[0]) < _begin(moved) - _RECENT
        ):
            passed.append(track.recent.popleft())
        return passed

    def _moved(self, packet: av.Packet, track: _Track) -> av.Packet:
        if track.added:
            ticks = round(track.added / packet.time_base)
            if packet.pts is not None:
                packet.pts += ticks
            if packet.dts is not None:
                packet.dts += ticks
        return packet


def _is_jump(gap: Fraction) -> bool:
    return gap >= _LEAST_GAP or gap < -_LEAST_STEP_BACK


def _begin(packet: av.Packet) -> Fraction:
    """The file's time at which a packet is shown, in seconds."""
    time = packet.pts if packet.pts is not None else packet.dts
    assert time is not None
    return time * packet.time_base
