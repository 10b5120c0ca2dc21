"""An encoder's settings, and how an unfinished encoder is freed."""

import contextlib
import os

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from ..machine.libav_log import silence_libav
from .output_formats import Encoding
from .picture_spec import PictureSpec

_MAX_PNG_THREADS = 4  # libav's PNG encoder holds one picture per thread
_FRAME_THREADS = 1 << 12  # AV_CODEC_CAP_FRAME_THREADS
_ALONE = {"prores_ks", "ffv1", "png"}  # codecs whose frames do not depend on earlier ones


class EncoderSetup:
    """All settings of an encoder, applied to the context of a stream or to a standalone one."""

    def __init__(
        self,
        encoding: Encoding,
        pixel_format: str,
        spec: PictureSpec,
        options: dict[str, str],
        threads: int | None,
    ) -> None:
        self.codec = encoding.codec
        self.frame_rate = spec.frame_rate
        self.time_base = spec.time_base
        self.nominal_duration = max(1, round(1 / (spec.frame_rate * spec.time_base)))
        self._encoding = encoding
        self._pixel_format = pixel_format
        self._spec = spec
        self._options = options
        lossless_vp9 = self.codec == "libvpx-vp9" and options.get("lossless") == "1"
        self.frames_stand_alone = self.codec in _ALONE or lossless_vp9
        self._threads = threads or 0
        if encoding.codec == "png":
            self._threads = min(threads or os.cpu_count() or 1, _MAX_PNG_THREADS)

    def apply(self, context: VideoCodecContext) -> None:
        silence_libav()  # encoders have threads too
        context.height, context.width = self._spec.height, self._spec.width
        context.pix_fmt = self._pixel_format
        context.time_base = self.time_base
        context.framerate = self.frame_rate
        context.sample_aspect_ratio = self._spec.sample_aspect_ratio
        context.colorspace, context.color_range = self._spec.tags.matrix, self._spec.tags.range
        context.color_primaries, context.color_trc = self._spec.tags.primaries, self._spec.tags.transfer
        context.thread_type = self._encoding.thread_type  # pyright: ignore[reportAttributeAccessIssue]
        context.thread_count = self._threads
        context.options = self._options
        if self._encoding.codec_tag:
            context.codec_tag = self._encoding.codec_tag

    def context(self) -> VideoCodecContext:
        """A context without a container, opened."""
        context = av.CodecContext.create(self.codec, "w")
        assert isinstance(context, VideoCodecContext)
        self.apply(context)
        context.open()
        return context


def drain(context: VideoCodecContext | None) -> None:
    """Takes the remaining packets out of an unfinished encoder before it is freed, to prevent a deadlock.

    PyAV holds Python's lock while it frees an encoder, which waits for the encoder's threads. A thread that works on a
    frame in numpy memory needs the lock to release it. A drained encoder holds no frames. Only libav's own frame
    threads hold frames; other encoders are not drained, as encoding their delayed frames would take long.
    """
    if context is not None and context.is_open and int(context.codec.capabilities) & _FRAME_THREADS:
        with contextlib.suppress(OSError, FFmpegError):  # drained already, or broken
            context.encode(None)
