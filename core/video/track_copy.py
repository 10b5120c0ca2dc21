"""Copies everything but the picture from the source file to the output: audio, chapters, metadata.

The source is opened a second time, and its audio packets are copied bit for bit while the video is written. Where the
output's container cannot hold a codec (AAC in WebM, PCM in MP4), that track alone is re-encoded, and a note says so.
Their times are those of the clip's timeline, as the picture's are. From a trimmed clip, all packets that overlap it are
copied: times stay exact, and the cut is accurate to one packet (about 20 ms). Subtitles, data tracks and attachments
are not copied. Chapters are copied where PyAV gives access to them (18 does, 14.2 does not).
"""

import errno
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from ..errors import StudioError
from .codec_names import codec_name, is_encrypted
from .container import is_indexed, known, open_to_read, picture_stream, texts
from .output_formats import OutputFormat
from .timeline import Timeline

# Tags that describe the source file rather than its content: the output gets its own. A timecode tag makes libav's MOV
# muxer add a track, which fails for frame rates that it does not know.
_OWN_TAGS = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name", "vendor_id",
    "timecode", "bps", "number_of_bytes", "number_of_frames",
}  # fmt: skip
# QuickTime's language table has the older ISO 639-2 codes
_MOV_LANGUAGES = {"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"}
_MAX_READ_ERRORS = 100  # in a row; then the rest of the source is given up
_OPUS_RATE = 48000
USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_MAX_TIMESCALE = 2**31 - 1
_LEAST_GAP = Fraction(1, 200)  # seconds without sound that are more than rounding
_PREPARATION = Fraction(1, 10)  # seconds before the beginning that a decoder may need
_PADDED = {"matroska", "webm"}  # formats that store how much of a track is padding, whatever packets follow
_SEEK_EARLY = 10  # seconds: audio may be stored that far before the picture of the same time


def _travels(key: str) -> bool:
    return key.lower() not in _OWN_TAGS and not key.lower().startswith("_statistics")


def _left_out(source: InputContainer) -> Iterator[str]:
    """What else the file has: subtitles, data (of cameras), attachments. A timecode track is no data of its own."""
    if source.streams.subtitles:
        yield "subtitles"
    if any(s.type == "data" and "timecode" not in {key.lower() for key in s.metadata} for s in source.streams):
        yield "data tracks"
    if any(s.type == "attachment" for s in source.streams):
        yield "attachments"


class _CopiedTrack:
    """Passes packets on unchanged.

    discarded: the seconds at the beginning of the track that players will not play.
    """

    def __init__(self, source: AudioStream, output: OutputContainer) -> None:
        # FFmpeg 8.1 writes how much an encoder put before the sound into Matroska; earlier PyAV does not know it
        padding = getattr(source.codec_context, "initial_padding", 0) if output.format.name in _PADDED else 0
        self.discarded = Fraction(padding, source.codec_context.sample_rate or 1)
        # opaque: copies the parameters without an encoder, which some codecs do not have
        self.output = output.add_stream_from_template(source, opaque=True)

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        packet.stream = self.output
        return [packet]

    def flush(self) -> list[av.Packet]:
        return []


class _EncodedTrack:
    """Re-encodes a track; the encoder context resamples and splits into its own frame size."""

    discarded = Fraction(0)

    def __init__(self, source: AudioStream, output: OutputContainer, codec: str) -> None:
        self._source = source
        rate = _OPUS_RATE if codec == "libopus" else source.codec_context.sample_rate
        layout = source.codec_context.layout.name
        if layout.endswith(" channels"):  # the file has only a number of channels, like most WAV files
            layout = USUAL_LAYOUTS.get(source.codec_context.layout.nb_channels, layout)
        if not _encodes(codec, rate, layout):
            layout = "stereo"
            if not _encodes(codec, rate, layout):
                rate = 48000
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = layout
        self.output = stream
        self._end: Fraction | None = None  # of the sound so far, in seconds

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        return self._encode(self._source.decode(packet))

    def flush(self) -> list[av.Packet]:
        return [*self._encode(self._source.decode(None)), *self.output.encode(None)]

    def _encode(self, frames: Sequence[av.AudioFrame]) -> list[av.Packet]:
        whole = [part for frame in frames for part in (*self._silence_before(frame), frame)]
        return [packet for frame in whole for packet in self.output.encode(frame)]

    def _silence_before(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """What fills a gap in the source: encoders put frame behind frame, so that later sound would come too early."""
        unit = known(frame.time_base)
        if frame.pts is None or unit is None:
            return
        begin = frame.pts * unit
        gap = Fraction(0) if self._end is None else begin - self._end
        while gap > _LEAST_GAP:
            count = round(min(gap, Fraction(1)) * frame.sample_rate)
            silence = av.AudioFrame(frame.format.name, frame.layout.name, count)
            for plane in silence.planes:
                plane.update((b"\x80" if frame.format.name.startswith("u8") else b"\0") * plane.buffer_size)
            silence.sample_rate, silence.time_base = frame.sample_rate, frame.time_base
            silence.pts = round((begin - gap) / unit)
            yield silence
            gap -= Fraction(count, frame.sample_rate)
        self._end = begin + Fraction(frame.samples, frame.sample_rate)


def _encodes(codec: str, rate: int, layout: str) -> bool:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = rate, layout
    assert context.codec.audio_formats
    context.format = context.codec.audio_formats[0]
    try:
        context.open()
    except FFmpegError:
        return False
    return True


class TrackCopy:
    """Copies audio, chapters and metadata of `source` into an output container.

    Order of calls: construct, `add_to` once before the container's header is written, `copy_until` with increasing
    times between the video packets, `finish`, `close`. `notes` gets one line for everything that is not copied
    unchanged. begins, ends: the part of the source to copy, in seconds of the clip; `begins` becomes 0 in the output.
    audio: whether to copy the audio.
    """

    def __init__(
        self,
        source: Path,
        format: OutputFormat,
        notes: list[str],
        begins: Fraction = Fraction(0),
        ends: Fraction | None = None,
        audio: bool = True,
    ) -> None:
        self._format = format
        self._notes = notes
        self._damaged = 0
        self._begins, self._ends = begins, ends
        self._moved = -begins
        try:
            self._source: InputContainer = open_to_read(source)
        except (FFmpegError, OSError) as error:
            raise StudioError(
                f"The audio of {source} cannot be read ({error}): check the file, or omit the audio."
            ) from error
        self._timeline = Timeline(self._source, picture_stream(self._source))
        self._inputs: list[AudioStream] = []
        sound = self._source.streams.audio
        encrypted = bool(sound) and is_encrypted(source, self._source.format.name, "audio")
        if format.carries_audio and audio and not encrypted:
            self._inputs = [s for s in sound if s.codec_context is not None]
        if audio and len(sound) > len(self._inputs):
            what = f"{format.name} cannot hold audio"
            if encrypted:
                what = "it is encrypted"
            elif format.carries_audio:
                what = (
                    f"its codec {codec_name(source, self._source.format.name, 'audio')} is not supported by this libav"
                )
            self._notes.append(f"the audio is not copied: {what}")
        if others := " and ".join(_left_out(self._source)):
            self._notes.append(f"{others} are not copied")
        self._tracks: dict[int, _CopiedTrack | _EncodedTrack] = {}
        self._output: OutputContainer | None = None
        self._packets = self._read()
        self._waiting: av.Packet | None = None

    def movie_timescale(self, time_base: Fraction) -> int:
        """The ticks per second in which every track's start is an integer (for edit lists of MOV and MP4)."""
        denominators = [stream.time_base.denominator for stream in self._inputs if stream.time_base]
        timescale = math.lcm(time_base.denominator, *denominators)
        return timescale if timescale <= _MAX_TIMESCALE else time_base.denominator

    @property
    def is_told_by_packets(self) -> bool:
        """Whether a track is described in its packets only, as the AAC of transport streams."""
        return any(s.codec_context.name == "aac" and not s.codec_context.extradata for s in self._inputs)

    def add_to(self, output: OutputContainer) -> None:
        """Adds the audio tracks, chapters and metadata to `output`, before its header is written."""
        self._output = output
        # Matroska returns its keys in capitals
        output.metadata.update({k.lower(): v for k, v in texts(self._source.metadata).items() if _travels(k)})
        for source in self._inputs:
            codec = source.codec_context.codec.canonical_name
            if self._copies(codec, output):
                track = _CopiedTrack(source, output)
            else:
                track = _EncodedTrack(source, output, self._format.audio_fallback)
                self._notes.append(
                    f"audio track {len(self._tracks) + 1}: {self._format.suffix} cannot hold {codec}, "
                    f"re-encoded as {track.output.codec_context.codec.canonical_name}"
                )
            tags = texts(source.metadata)
            track.output.metadata.update({k: v for k, v in tags.items() if _travels(k)})
            language = tags.get("language")
            if self._format.container == "mov" and language in _MOV_LANGUAGES:
                track.output.metadata["language"] = _MOV_LANGUAGES[language]
            # an enum in older PyAV, an int in newer
            track.output.disposition = getattr(source.disposition, "value", source.disposition)
            self._tracks[source.index] = track
        self._add_chapters(output)

    def _copies(self, codec: str, output: OutputContainer) -> bool:
        if self._format.audio_codecs is not None:
            return codec in self._format.audio_codecs
        return codec in output.supported_codecs

    def _add_chapters(self, output: OutputContainer) -> None:
        # older PyAV has no access to chapters, not even to whether there are any
        if not self._format.carries_audio or not hasattr(output, "set_chapters"):
            return
        chapters = []
        for chapter in self._source.chapters():
            unit = chapter["time_base"]
            assert unit
            begin, end = (chapter[side] * unit - self._timeline.zero for side in ("start", "end"))
            begin = max(begin, self._begins)
            end = end if self._ends is None else min(end, self._ends)
            if begin < end:
                start, end = (round((time - self._begins) / unit) for time in (begin, end))
                chapters.append({**chapter, "start": start, "end": end, "metadata": texts(chapter["metadata"])})
        output.set_chapters(chapters)

    def _read(self) -> Iterator[av.Packet]:
        """Audio packets in the source's order, continuing after places that cannot be read."""
        errors = 0
        running = {stream.index for stream in self._inputs}  # not yet past the end
        if running and self._begins > _SEEK_EARLY and is_indexed(self._source):
            early = self._timeline.file_time(self._begins - _SEEK_EARLY)
            self._source.seek(int(early * av.time_base))
        while running and errors < _MAX_READ_ERRORS:
            try:
                for packet in self._timed():
                    if self._timeline.is_damaged(packet) or packet.dts is None or packet.pts is None:
                        self._damaged += 1
                    elif packet.stream.index in running:
                        errors = 0
                        time = _seconds(packet)
                        if self._ends is not None and time >= self._ends:
                            running.discard(packet.stream.index)
                            if not running:
                                return
                        elif self._is_heard(packet, time + (packet.duration or 0) * packet.time_base):
                            yield packet
                return
            except av.error.EOFError:
                return
            except FFmpegError:
                errors += 1
                self._damaged += 1

    def _is_heard(self, packet: av.Packet, end: Fraction) -> bool:
        """Whether a packet that ends then is needed: one before the beginning only if it prepares the decoder, or takes
        the place of sound that would be discarded."""
        if self._begins > 0:
            return end > self._begins
        return end + self._moved > -max(_PREPARATION, self._tracks[packet.stream.index].discarded)

    def _timed(self) -> Iterator[av.Packet]:
        """The audio packets with the clip's times."""
        indices = {stream.index for stream in self._inputs}
        for given in self._source.demux(self._timeline.sound_streams):
            for packet in self._timeline.packets(given):
                if packet.size and packet.stream.index in indices:
                    yield packet

    def move(self, seconds: Fraction) -> None:
        """Delays all audio by `seconds`. Call it before the first `copy_until`."""
        self._moved = seconds - self._begins

    def copy_until(self, time: Fraction | None) -> None:
        """Writes the packets that begin before `time` (seconds of the output's time); None: all remaining ones.

        Raises av.FFmpegError or OSError if the output cannot be written.
        """
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None or (time is not None and _seconds(packet) + self._moved >= time):
                return
            self._waiting = None
            track = self._tracks[packet.stream.index]
            try:
                coded = track.packets(packet)
            except FFmpegError:
                self._damaged += 1
                continue
            self._mux(coded)

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._output is not None
        for packet in packets:
            if self._moved and packet.pts is not None and packet.dts is not None:
                ticks = round(self._moved / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            try:
                self._output.mux(packet)
            except FFmpegError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._damaged += 1  # libav refuses decreasing times

    def finish(self, end: Fraction | None) -> None:
        """Writes the rest, up to `end` seconds (None: all), and notes how many packets were unusable."""
        self.copy_until(end)
        for track in self._tracks.values():
            self._mux(track.flush())
        if self._damaged:
            self._notes.append(f"{self._damaged} damaged audio packets were skipped")

    def close(self) -> None:
        self._source.close()


def _seconds(packet: av.Packet) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base
    return packet.dts * packet.time_base
