"""One video file with its copied tracks, as a FrameWriter writes it.

While it is unfinished, everything but the last second is in the file and readable, whatever happens to this process:
MOV and MP4 are written in fragments until the end, Matroska and WebM in short clusters.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from ..errors import StudioError
from ..machine.output_claim import OutputClaim
from ..machine.whole_file import sync_file, sync_folder
from .container import open_to_read
from .encoder_setup import EncoderSetup, drain, set_decoding_times
from .matroska_shape import write_pixel_shape
from .movie_boxes import cut_incomplete, finish_movie, write_with_table_first
from .output_formats import OutputFormat
from .output_stream import begin_streams, mux_picture, patches_shape
from .partial_output import RECORD_SUFFIX, NotResumable, Written, existing_output_error, partial_path
from .track_copy import TrackCopy

_MOVIES = ("mov", "mp4")
_PLAYS_UNFINISHED = (*_MOVIES, "matroska", "webm")
# What makes an unfinished file readable. The edit lists hold the tracks' starts, as without fragments.
_UNFINISHED_OPTIONS = {
    # a fragment for every frame of those codecs whose frames stand alone
    "mov": {
        "movflags": "+hybrid_fragmented+empty_moov+frag_keyframe",
        "frag_duration": "1000000",  # microseconds
        "use_editlist": "1",
    },
    "mp4": {"movflags": "+hybrid_fragmented+empty_moov", "frag_duration": "1000000", "use_editlist": "1"},
    "matroska": {"cluster_time_limit": "100"},
    "webm": {"cluster_time_limit": "100"},
}
# how much the muxers hold back: waiting for the other tracks, and the rest of a cluster
_HELD_BACK = {"mov": Fraction(3, 10), "matroska": Fraction(1, 2), "webm": Fraction(1, 2)}
_ROUNDED = Fraction(1, 1000)  # seconds; Matroska's times
_HEAD = 2**20  # bytes at the beginning of a file: the only ones that closing it changes


class ContainerFile:
    """Writes one video file, beside its target under a name of its own.

    inputs: files that this run reads, see OutputClaim.
    """

    def __init__(
        self,
        path: Path,
        format: OutputFormat,
        setup: EncoderSetup,
        tracks: TrackCopy | None,
        alpha: str | None,
        overwrite: bool,
        resumed: Written | None = None,
        inputs: Collection[Path] = (),
    ) -> None:
        if path.is_dir():
            raise StudioError(f"The output {path} is a folder: give the name of a file.")
        if os.path.lexists(path) and not overwrite:
            raise existing_output_error(path)
        self.complete = True
        self._path = path
        self._overwrite = overwrite
        self._resumed = resumed
        self._format = format
        self._setup = setup
        self._tracks = tracks
        self._moved: int | None = None  # added to every pts; known from the first frame on
        self._end = Fraction(0)  # of the picture, in seconds
        self._packets = 0  # of the picture, handed to the muxer
        self._readable = 0  # frames, of a file that could not be completed
        self._bytes = 0  # of those packets
        self._reached = Fraction(-1)  # the time of the last of them, in seconds
        self._container: OutputContainer | None = None
        self._context: VideoCodecContext | None = None
        self.claim = OutputClaim(path, partial_path(path), inputs)
        self._earlier: Path | None = None  # what is resumed; it stays until the new file is safe
        self._working: Path | None = None
        try:
            if os.path.lexists(path) and not overwrite:  # since just now
                raise existing_output_error(path)
            if resumed is not None:
                self._earlier = resumed.find(path.parent)
            else:
                self._remove_leftovers()
            self._working = self.claim.new_file()  # fails at once if the folder is not writable
            self.names = tuple(dict.fromkeys((self._working.name, self.claim.keep_name().name)))
            self._container = self._open(alpha)
        except BaseException:
            self._close()
            if self._working is not None:
                self.claim.remove(self._working)
            self.claim.release()
            raise

    def _remove_leftovers(self) -> None:
        """Removes what earlier runs have left."""
        for path in self.claim.leftovers():
            if path != self._working:
                self.claim.remove(path)

    def _open(self, alpha: str | None) -> OutputContainer:
        setup, time_base = self._setup, self._setup.time_base
        assert self._working is not None
        options = dict(self._format.container_options)
        options |= {"flush_packets": "1"} | self._unfinished_options()
        if self._tracks is not None:
            # libav holds packets back while a track has none; by default, 10 s of pictures after the end of the audio
            options["max_interleave_delta"] = "200000"  # microseconds
        if self._format.container in _MOVIES:
            timescale = self._tracks.movie_timescale(time_base) if self._tracks else time_base.denominator
            options |= {"video_track_timescale": f"{time_base.denominator}", "movie_timescale": f"{timescale}"}
        # an absolute path: in a relative one libav would parse text before a colon as a protocol
        name = str(self._working.absolute())
        container = self._container = av.open(name, "w", format=self._format.container, container_options=options)
        self._stream = begin_streams(container, self._format, setup, self._tracks, alpha)
        self._context = self._stream.codec_context
        return container

    def _unfinished_options(self) -> dict[str, str]:
        options = dict(_UNFINISHED_OPTIONS.get(self._format.container, {}))
        if self._format.container in _MOVIES and self._tracks is not None and self._tracks.is_told_by_packets:
            options["movflags"] = options["movflags"].replace("+empty_moov", "")  # then it waits for the first packets
        return options

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
            raise NotResumable(f"{self._earlier} contains {count} frames instead of {resumed.frames}")
        self._end = self._end_of(resumed.last_pts + self._moved)
        return True

    def _resumed_packets(self, resumed: Written) -> Iterator[av.Packet]:
        """The packets of the old file, readdressed to the new one."""
        path = self._earlier
        if path is None:
            raise NotResumable(f"{self._path.parent / resumed.names[0]} is missing")
        assert self._moved is not None
        try:
            size = path.stat().st_size
            if size < resumed.size or (resumed.complete and size != resumed.size):
                raise NotResumable(f"{path} has changed")
            with open_to_read(path) as container:
                source = container.streams.video[0]
                ours, theirs = self._stream.codec_context.extradata, source.codec_context.extradata
                # FFmpeg 7 appends a zero to Matroska's
                if ours and (theirs or b"").rstrip(b"\0") != ours.rstrip(b"\0"):
                    raise NotResumable(f"{path} was encoded with other settings")
                packets = container.demux(source)
                shift, last = None, Fraction(0)
                count = 0
                while count < resumed.frames:
                    packet = next(packets, None)
                    if packet is None or not packet.size or packet.is_corrupt:
                        break
                    if shift is None:  # the fragments of an unfinished MOV count from the track's beginning
                        begins = (resumed.first_pts + self._moved) * self._setup.time_base / packet.time_base
                        counts = self._format.container in _MOVIES and not resumed.complete
                        shift = round(begins) - (packet.pts or 0) if counts else 0
                    assert packet.pts is not None
                    assert packet.dts is not None
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    duration = self._setup.nominal_duration * self._setup.time_base / packet.time_base
                    packet.duration = int(duration + Fraction(1, 2))
                    count, last = count + 1, packet.pts * packet.time_base
                    packet.stream = self._stream
                    yield packet  # errors while writing it are raised there, not here
                expected = (resumed.last_pts + self._moved) * self._setup.time_base
                if count == resumed.frames and abs(last - expected) > _ROUNDED:
                    raise NotResumable(f"{path} contains other frames")
                if resumed.complete and (more := next(packets, None)) is not None and more.size:
                    raise NotResumable(f"{path} has changed")
        except (OSError, FFmpegError, IndexError) as error:
            raise NotResumable(f"{path} cannot be read ({error})") from error

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
            reached = packet.pts * packet.time_base if packet.pts is not None else self._reached
            size = packet.size
            mux_picture(self._container, self._setup, self._tracks, packet)
            self._packets, self._reached = self._packets + 1, reached
            self._bytes += size

    def holds(self, frames: int, pts: int) -> bool:
        """Whether that many frames, the last with this pts, have left all buffers of this process."""
        held_back = _HELD_BACK.get(self._format.container)
        if held_back is None or self._moved is None or self._working is None:
            return False
        if 2 * self._working.stat().st_size < self._bytes:  # the muxer still waits for a track's first packet
            return False
        time = (pts + self._moved) * self._setup.time_base
        return self._packets >= frames + 2 and self._reached >= time + held_back

    def sync(self) -> None:
        assert self._working is not None
        sync_file(self._working)

    def forget_earlier(self) -> None:
        earlier, self._earlier = self._earlier, None
        if earlier is not None:
            self.claim.remove(earlier)

    def _complete(self, audio_end: Fraction | None) -> None:
        assert self._container is not None
        assert self._working is not None
        packets = self._stream.encode(None)
        if self._setup.codec == "libx265" and not self._packets:
            set_decoding_times(packets)
        self._mux(packets)
        if self._tracks is not None:
            self._tracks.finish(audio_end)
        self._end_container(finish=True)
        if self._format.container in _MOVIES:
            finish_movie(self._working)
        if patches_shape(self._format, self._setup):
            setup = self._setup
            write_pixel_shape(self._working, setup.width, setup.height, setup.sample_aspect_ratio)
        sync_file(self._working)

    def _end_container(self, *, finish: bool) -> None:
        """Closes the container, which writes its end. Without `finish`, or if that fails, the file is then again as it
        was before, unfinished: closing changes its beginning first, and would leave it unreadable."""
        container, self._container = self._container, None
        if container is None:
            return
        before = None
        with contextlib.suppress(OSError):
            before = self._beginning()
        try:
            container.close()
        except BaseException:
            finish = False
            raise
        finally:
            if not finish and before is not None:
                with contextlib.suppress(OSError):
                    self._restore(*before)

    def _beginning(self) -> tuple[bytes, int]:
        assert self._working is not None
        with self._working.open("rb") as file:
            return file.read(_HEAD), file.seek(0, os.SEEK_END)

    def _restore(self, head: bytes, size: int) -> None:
        assert self._working is not None
        with self._working.open("rb+") as file:
            file.write(head)
            file.truncate(size)
        if self._format.container in _MOVIES:
            cut_incomplete(self._working)

    def _close(self) -> None:
        """Closes both files, whatever state they are in."""
        if self._container is not None:
            drain(self._context)
            with contextlib.suppress(OSError, FFmpegError):  # the error was already reported where it first occurred
                self._end_container(finish=False)
        if self._tracks is not None:
            self._tracks.close()
            self._tracks = None

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def finish(self) -> Path:
        self._complete(None)
        self._close()
        self._move_table()
        assert self._working is not None
        try:
            self.claim.publish(self._working, self._path, replace=self._overwrite)
        except FileExistsError:  # another program's, since the beginning
            raise existing_output_error(self._path) from None
        self._working = None
        with contextlib.suppress(OSError):
            sync_folder(self._path.parent)
        self._remove_leftovers()
        self.claim.release()
        return self._path

    def _move_table(self) -> None:
        """Puts the table of contents of an MP4 first, so that browsers play while they load. Without room for the copy
        it stays last."""
        assert self._working is not None
        if "+faststart" not in self._format.container_options.get("movflags", ""):
            return
        copy = self.claim.new_file()
        try:
            if write_with_table_first(self._working, copy):
                sync_file(copy)
                copy, self._working = self._working, copy
        except OSError:
            pass
        finally:
            self.claim.remove(copy)

    def abandon(self, keep: bool) -> bool:
        if self._working is None:
            return False
        if keep:
            try:
                if self._container is not None:
                    self._complete(self._end)
            except (OSError, FFmpegError):
                self.complete = False
        self._close()
        if keep and not self.complete:
            self._readable = self._count_readable()
            keep = self._format.container in _PLAYS_UNFINISHED and self._readable > 0
        if not keep:
            self.claim.remove(self._working)
            self._working = None
        return keep

    def readable_frames(self) -> int:
        return self._readable

    def _count_readable(self) -> int:
        assert self._working is not None
        count = 0
        with contextlib.suppress(OSError, FFmpegError, IndexError), open_to_read(self._working) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and not packet.is_corrupt:
                    count += 1
        return count

    def settle(self) -> Path | None:
        kept, self._working = self._working, None
        if kept is not None:
            kept = self.claim.keep(kept, kept.with_name(self.names[-1]))
            for path in self.claim.leftovers():
                if RECORD_SUFFIX not in path.suffixes and path != kept:
                    self.claim.remove(path)
        self.claim.release()
        return kept
