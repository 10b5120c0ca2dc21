"""An encoder's settings, and how an unfinished encoder is freed."""

import contextlib
import os
from dataclasses import replace

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from ..machine.libav_log import silence_libav
from ..machine.thread_priority import usual_priority
from .color import MATRIX_BT709, RANGE_LIMITED, FromRGB
from .encodings import Encoding
from .exr_encoder import ExrEncoder
from .picture_spec import PictureSpec

_WRITABLE_MATRICES = (1, 5, 6, 9)  # others (0 RGB, 4, 7 ...) are rare in files; their YUV is written as BT.709
_MAX_PICTURE_THREADS = 4  # libav's PNG and TIFF encoders hold one picture per thread
_FRAME_THREADS = 1 << 12  # AV_CODEC_CAP_FRAME_THREADS
# FFmpeg 7.0 gives the option "profile" to the wrong one of two
_PROFILES_IGNORED = "PyAV 14 cannot choose a profile; install av 15 or newer" if av.__version__ < "15" else ""
_ALONE = {"prores_ks", "dnxhd", "ffv1", "png", "tiff", "exr"}  # codecs whose frames do not depend on earlier ones
KEEPS_FIELDS = {"prores_ks", "ffv1"}  # codecs that can be marked as interlaced, without halved lines of chroma


class EncoderSetup:
    """All settings of an encoder, applied to the context of a stream or to a standalone one.

    spec: of the encoded pictures: with the tags that they get, and the size after padding."""

    def __init__(
        self,
        encoding: Encoding,
        pixel_format: str,
        spec: PictureSpec,
        options: dict[str, str],
        threads: int | None,
        bitrate: int | None = None,
    ) -> None:
        self.codec = encoding.codec
        self.pixel_format = pixel_format
        self.bits = max(component.bits for component in av.VideoFormat(pixel_format).components)
        self.tags = spec.tags
        self.height, self.width = spec.height, spec.width
        self.frame_rate = spec.frame_rate
        self.time_base = spec.time_base
        self.nominal_duration = max(1, round(1 / (spec.frame_rate * spec.time_base)))
        self.timecode = spec.timecode
        self.sample_aspect_ratio = spec.sample_aspect_ratio
        self.field_order = spec.field_order if self.codec in KEEPS_FIELDS else "progressive"
        self._encoding = encoding
        self._spec = spec
        self._options = options
        self._bitrate = bitrate
        lossless_vp9 = self.codec == "libvpx-vp9" and options.get("lossless") == "1"
        self.frames_stand_alone = self.codec in _ALONE or lossless_vp9
        self._threads = threads or 0
        if encoding.codec in ("png", "tiff"):
            self._threads = min(threads or os.cpu_count() or 1, _MAX_PICTURE_THREADS)

    @classmethod
    def of(
        cls, encoding: Encoding, spec: PictureSpec, quality: float | None, bitrate: int | None, threads: int | None
    ) -> "EncoderSetup":
        """The settings for frames of `spec` in this encoding."""
        _, pixel_format = encoding.pixel_format_for(spec.bit_depth)
        matrix = spec.tags.matrix if spec.tags.matrix in _WRITABLE_MATRICES else MATRIX_BT709
        tags = FromRGB(pixel_format, replace(spec.tags, matrix=matrix, range=RANGE_LIMITED)).tags
        encoded = replace(spec, tags=tags)
        if encoding.even_size:
            encoded = replace(encoded, height=spec.height + spec.height % 2, width=spec.width + spec.width % 2)
        options = encoding.options_for(quality, encoded.height, encoded.width, bitrate)
        return cls(encoding, pixel_format, encoded, options, threads, bitrate)

    def apply(self, context: VideoCodecContext) -> None:
        silence_libav()  # encoders have threads too
        if self.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it does not use libav's log
        context.height, context.width = self.height, self.width
        context.pix_fmt = self.pixel_format
        context.time_base = self.time_base
        context.framerate = self.frame_rate
        context.sample_aspect_ratio = self._spec.sample_aspect_ratio
        context.colorspace, context.color_range = self._spec.tags.matrix, self._spec.tags.range
        context.color_primaries, context.color_trc = self._spec.tags.primaries, self._spec.tags.transfer
        context.thread_type = self._encoding.thread_type  # pyright: ignore[reportAttributeAccessIssue]
        context.thread_count = self._threads
        if self._bitrate is not None:
            context.bit_rate = self._bitrate
        context.options = {**self._options, **self._field_options()}
        if self._encoding.codec_tag:
            context.codec_tag = self._encoding.codec_tag

    def _field_options(self) -> dict[str, str]:
        if self.field_order == "progressive":
            return {}
        # the lines of the fields alternate; these are libav's words for that
        options = {"field_order": {"top": "tb", "bottom": "bt"}[self.field_order]}
        if self.codec == "prores_ks":  # encodes the fields apart
            options["flags"] = self._options.get("flags", "") + "+ildct"
        return options

    def picture_encoder(self, premultiplied: bool = False) -> VideoCodecContext | ExrEncoder:
        """What encodes pictures for files of their own. premultiplied: how the frames are, of use for EXR only."""
        if self.codec == "exr":
            return ExrEncoder(self._spec, self.pixel_format, premultiplied)
        return self.context()

    def context(self) -> VideoCodecContext:
        """A context without a container, opened."""
        context = av.CodecContext.create(self.codec, "w")
        assert isinstance(context, VideoCodecContext)
        self.apply(context)
        with usual_priority():
            context.open()
        return context

    def profile_of(self, context: VideoCodecContext) -> str | None:
        """The profile that an opened context has."""
        return context.profile

    def problem(self) -> str | None:
        """Why the encoder cannot be opened with these settings; None if it can."""
        height, width = self._encoding.smallest
        if self.height < height or self.width < width:
            return f"pictures must be at least {width}x{height}"
        if self.codec == "exr":
            return None  # not one of libav's
        try:
            context = self.context()
        except (ValueError, OSError, FFmpegError) as error:  # ValueError: UnknownCodecError
            if self._encoding.profile and _PROFILES_IGNORED:
                return _PROFILES_IGNORED
            if isinstance(error, ValueError) and not isinstance(error, FFmpegError):
                return "this PyAV is built without it"
            return getattr(error, "strerror", None) or str(error)
        found = self.profile_of(context)
        drain(context)
        if self._encoding.profile and found != self._encoding.profile:
            return _PROFILES_IGNORED or f"the encoder opened with the profile {found}"
        return None


def set_decoding_times(packets: list[av.Packet]) -> None:
    """Gives all packets of a stream, in the order of decoding, their decoding times. x265 leaves them uninitialised if
    the stream has fewer frames than it would delay."""
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    assert len(times) == len(packets)
    delay = max(
        (at - packet.pts for at, packet in zip(times, packets, strict=True) if packet.pts is not None), default=0
    )
    for at, packet in zip(times, packets, strict=True):
        packet.dts = at - delay


def drain(context: VideoCodecContext | ExrEncoder | None) -> None:
    """Takes the remaining packets out of an unfinished encoder before it is freed, to prevent a deadlock.

    PyAV holds Python's lock while it frees an encoder, which waits for the encoder's threads. A thread that works on a
    frame in numpy memory needs the lock to release it. A drained encoder holds no frames. Only libav's own frame
    threads hold frames; other encoders are not drained, as encoding their delayed frames would take long.
    """
    if isinstance(context, VideoCodecContext) and context.is_open and int(context.codec.capabilities) & _FRAME_THREADS:
        with contextlib.suppress(OSError, FFmpegError):  # drained already, or broken
            context.encode(None)
