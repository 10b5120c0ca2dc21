"""One video file with its copied tracks, as a FrameWriter writes it."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import StudioError
from ..machine.whole_file import sync_file
from .container import open_to_read
from .encoder_setup import EncoderSetup, drain, set_decoding_times
from .matroska_shape import PLACEHOLDER, write_pixel_shape
from .output_formats import OutputFormat
from .partial_output import NotResumable, Written, existing_output_error, partial_path
from .timecode import has_timecode_rate
from .track_copy import TrackCopy

_ALPHA_REMARK = "alpha: "


class ContainerFile:
    """Writes one video file, beside its target as `name.partial.suffix`."""

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        setup: EncoderSetup,
        tracks: TrackCopy | None,
        alpha: str | None,
        overwrite: bool,
        resumed: Written | None = None,
    ) -> None:
        if path.is_dir():
            raise StudioError(f"The output {path} is a folder: give the name of a file.")
        if path.exists() and not overwrite:
            raise existing_output_error(path)
        self.complete = True
        self._path = path
        self._partial = partial_path(path)
        self._resumed = resumed
        self._working = self._partial  # when resuming, the old partial file stays until the new one replaces it
        if resumed is not None:
            self._working = path.with_name(f"{path.stem}.resumed.partial{path.suffix}")
        self._format = format
        self._setup = setup
        self._tracks = tracks
        self._moved: int | None = None  # added to every pts; known from the first frame on
        self._end = Fraction(0)  # of the picture, in seconds
        self._muxed = False  # whether a packet of the picture was written
        path.parent.mkdir(parents=True, exist_ok=True)
        self._working.open("wb").close()  # fails at once if the folder is not writable
        self._patches_shape = format.container in ("matroska", "webm") and setup.sample_aspect_ratio != 1
        self._container: OutputContainer | None = None
        self._context: VideoCodecContext | None = None
        try:
            self._container = self._open(alpha)
        except BaseException:
            self._close()
            self._working.unlink()
            raise

    def _open(self, alpha: str | None) -> OutputContainer:
        setup, time_base = self._setup, self._setup.time_base
        options = dict(self._format.container_options)
        if self._tracks is not None:
            # libav holds packets back while a track has none; by default, 10 s of pictures after the end of the audio
            options["max_interleave_delta"] = "200000"  # microseconds
        if self._format.container in ("mov", "mp4"):
            timescale = self._tracks.movie_timescale(time_base) if self._tracks else time_base.denominator
            options |= {"video_track_timescale": f"{time_base.denominator}", "movie_timescale": f"{timescale}"}
        # an absolute path: in a relative one libav would parse text before a colon as a protocol
        name = str(self._working.absolute())
        container = self._container = av.open(name, "w", format=self._format.container, container_options=options)
        try:
            stream = container.add_stream(setup.codec, rate=setup.frame_rate)
        except ValueError as error:  # UnknownCodecError
            raise StudioError(
                f"This PyAV has no encoder {setup.codec}, which {self._format.name} needs: install the wheel from PyPI."
            ) from error
        assert isinstance(stream, VideoStream)
        self._stream, self._context = stream, stream.codec_context
        setup.apply(stream.codec_context)
        stream.time_base = time_base
        if self._tracks is not None:
            self._tracks.add_to(container)
        remarks = container.metadata.pop("comment", "").split("; ")
        remarks = [remark for remark in remarks if remark and not remark.startswith(_ALPHA_REMARK)]
        if alpha is not None:
            remarks.append(_ALPHA_REMARK + alpha)
            if setup.codec == "libvpx-vp9":
                stream.metadata["alpha_mode"] = "1"  # read by browsers
        if setup.timecode is not None and has_timecode_rate(setup.frame_rate):
            stream.metadata["timecode"] = setup.timecode
        if self._patches_shape:
            stream.metadata["title"] = PLACEHOLDER
        if remarks:
            container.metadata["comment"] = "; ".join(remarks)
        container.start_encoding()
        return container

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        """Copies the packets of the resumed file. Returns False if `stopped` ended it; raises NotResumable if the old
        file does not contain them."""
        resumed = self._resumed
        assert resumed is not None
        self._begin(resumed.first_pts)
        assert self._moved is not None
        count = 0
        for packet in self._resumed_packets(resumed):
            if stopped():
                return False
            self._mux([packet])
            count += 1
        if count != resumed.frames:
            raise NotResumable(f"{self._partial} contains {count} frames instead of {resumed.frames}")
        self._end = self._end_of(resumed.last_pts + self._moved)
        return True

    def _resumed_packets(self, resumed: Written) -> Iterator[av.Packet]:
        """The packets of the old file, readdressed to the new one."""
        try:
            if self._partial.stat().st_size != resumed.size:
                raise NotResumable(f"{self._partial} has changed")
            with open_to_read(self._partial) as container:
                source = container.streams.video[0]
                ours, theirs = self._stream.codec_context.extradata, source.codec_context.extradata
                # FFmpeg 7 appends a zero to Matroska's
                if ours and (theirs or b"").rstrip(b"\0") != ours.rstrip(b"\0"):
                    raise NotResumable(f"{self._partial} was encoded with other settings")
                packets = container.demux(source)
                while (packet := next(packets, None)) is not None and packet.size:
                    duration = self._setup.nominal_duration * self._setup.time_base / packet.time_base
                    packet.duration = int(duration + Fraction(1, 2))
                    packet.stream = self._stream
                    yield packet  # errors while writing it are raised there, not here
        except (OSError, FFmpegError, IndexError) as error:
            raise NotResumable(f"{self._partial} cannot be read ({error})") from error

    def _begin(self, first_pts: int) -> None:
        starts_at_zero = first_pts < 0 or not self._format.carries_audio  # such formats store only delays
        self._moved = -first_pts if starts_at_zero else 0
        if self._tracks is not None:
            self._tracks.move(self._moved * self._setup.time_base)

    def _end_of(self, pts: int) -> Fraction:
        return (pts + self._setup.nominal_duration) * self._setup.time_base

    def write(self, frame: av.VideoFrame, number: int) -> None:
        assert frame.pts is not None
        if self._moved is None:
            self._begin(frame.pts)
        assert self._moved is not None
        frame.pts += self._moved
        self._end = self._end_of(frame.pts)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            self._muxed = True
            if not packet.duration:
                packet.duration = self._setup.nominal_duration
            if self._tracks is not None and packet.dts is not None:
                # audio first: libav holds packets back until every track has one
                self._tracks.copy_until(packet.dts * packet.time_base)
            self._container.mux(packet)

    def _complete(self, audio_end: Fraction | None) -> None:
        assert self._container is not None
        packets = self._stream.encode(None)
        if self._setup.codec == "libx265" and not self._muxed:
            set_decoding_times(packets)
        self._mux(packets)
        if self._tracks is not None:
            self._tracks.finish(audio_end)
        self._container.close()
        if self._patches_shape:
            width, height = self._stream.codec_context.width, self._stream.codec_context.height
            write_pixel_shape(self._working, width, height, self._setup.sample_aspect_ratio)
        sync_file(self._working)

    def _close(self) -> None:
        """Closes both files, whatever state they are in."""
        if self._container is not None:
            drain(self._context)
            with contextlib.suppress(OSError, FFmpegError):  # the error was already reported where it first occurred
                self._container.close()
            self._container = None
        if self._tracks is not None:
            self._tracks.close()
            self._tracks = None

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def finish(self) -> Path:
        self._complete(None)
        self._close()
        os.replace(self._working, self._path)
        if self._resumed is not None:
            self._partial.unlink(missing_ok=True)
        return self._path

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            try:
                self._complete(self._end)
            except (OSError, FFmpegError):
                self.complete = False
                keep = self._format.container in ("matroska", "webm")  # these play without a trailer; others do not
        self._close()
        if not keep:
            self._working.unlink(missing_ok=True)
            return None
        os.replace(self._working, self._partial)
        return self._partial
