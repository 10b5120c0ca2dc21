"""Standard output as the file of a FrameWriter: one Matroska stream, written as the frames come.

FFV1 in Matroska, losslessly and with transparency, sound and exact times: what ffmpeg, mpv, VLC and the media source of
OBS read from a pipe. A pipe cannot be written again, so that the stream has no length and no index.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from ..machine.output_claim import OutputClaim
from .encoder_setup import EncoderSetup, drain
from .matroska_shape import header_with_pixel_shape
from .output_formats import STANDARD_OUTPUT, OutputFormat
from .output_stream import begin_streams, mux_picture, patches_shape
from .track_copy import TrackCopy


class _Pipe:
    """What libav writes to: a file without a way back. It duplicates standard output's handle."""

    def __init__(self, first: Callable[[bytes], bytes]) -> None:
        """first: changes what is written first, the header."""
        self._handle = os.dup(1)
        self._first: Callable[[bytes], bytes] | None = first

    def write(self, data: bytes) -> int:
        if self._first is not None:
            data, self._first = self._first(bytes(data)), None
        view, left = memoryview(data), len(data)
        while left:
            left -= os.write(self._handle, view[len(data) - left :])
        return len(data)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1


class StreamFile:
    """Writes frames and copied tracks to standard output. Nothing can be resumed, and nothing is removed."""

    def __init__(self, format: OutputFormat, setup: EncoderSetup, tracks: TrackCopy | None, alpha: str | None) -> None:
        self.complete = True
        self.claim: OutputClaim | None = None  # nobody else writes there
        self.names: tuple[str, ...] = ()
        self._format, self._setup, self._tracks = format, setup, tracks
        self._moved: int | None = None  # added to every pts
        self._pipe = _Pipe(self._header)
        options = {**format.container_options, "max_interleave_delta": "200000"}
        self._container = av.open(self._pipe, "w", format=format.container, container_options=options)
        self._stream = begin_streams(self._container, format, setup, tracks, alpha)

    def _header(self, data: bytes) -> bytes:
        setup = self._setup
        if not patches_shape(self._format, setup):
            return data
        return header_with_pixel_shape(data, setup.width, setup.height, setup.sample_aspect_ratio)

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        raise AssertionError("a stream is not resumed")

    def write(self, frame: av.VideoFrame, number: int) -> None:
        assert frame.pts is not None
        if self._moved is None:
            self._moved = -min(0, frame.pts)
            if self._tracks is not None:
                self._tracks.move(self._moved * self._setup.time_base)
        frame.pts += self._moved
        self._end = (frame.pts + self._setup.nominal_duration) * self._setup.time_base
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            mux_picture(self._container, self._setup, self._tracks, packet)

    def finish(self) -> Path:
        self._end_stream(None)
        return STANDARD_OUTPUT

    def holds(self, frames: int, pts: int) -> bool:
        return False

    def sync(self) -> None:
        pass

    def forget_earlier(self) -> None:
        pass

    def abandon(self, keep: bool) -> bool:
        """Ends the stream properly if it can, since its beginning has been read already."""
        try:
            self._end_stream(getattr(self, "_end", None))
        except (OSError, FFmpegError):
            self.complete = False
        return False

    def readable_frames(self) -> int:
        return 0

    def settle(self) -> None:
        pass

    def _end_stream(self, audio_end: Fraction | None) -> None:
        try:
            self._mux(self._stream.encode(None))
            if self._tracks is not None:
                self._tracks.finish(audio_end)
            self._container.close()
        finally:
            drain(self._stream.codec_context)
            if self._tracks is not None:
                self._tracks.close()
                self._tracks = None
            self._pipe.close()
