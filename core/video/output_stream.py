"""Begins the streams of an output container, be it a file or a pipe."""

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ..errors import StudioError
from ..machine.thread_priority import usual_priority
from .encoder_setup import EncoderSetup
from .matroska_shape import PLACEHOLDER
from .output_formats import OutputFormat
from .timecode import has_timecode_rate
from .track_copy import TrackCopy

_ALPHA_REMARK = "alpha: "


def begin_streams(
    container: OutputContainer, format: OutputFormat, setup: EncoderSetup, tracks: TrackCopy | None, alpha: str | None
) -> VideoStream:
    """Adds the picture and the copied tracks, and writes the header. Returns the picture's stream.

    alpha: "straight" or "premultiplied", which the comment then says; None: there is none. Raises StudioError if the
    encoder is missing, FFmpegError if the header cannot be written.
    """
    try:
        stream = container.add_stream(setup.codec, rate=setup.frame_rate)
    except ValueError as error:  # UnknownCodecError
        raise StudioError(
            f"This PyAV has no encoder {setup.codec}, which {format.name} needs: install the wheel from PyPI."
        ) from error
    assert isinstance(stream, VideoStream)
    setup.apply(stream.codec_context)
    stream.time_base = setup.time_base
    if tracks is not None:
        tracks.add_to(container)
    remarks = container.metadata.pop("comment", "").split("; ")
    remarks = [remark for remark in remarks if remark and not remark.startswith(_ALPHA_REMARK)]
    if alpha is not None:
        remarks.append(_ALPHA_REMARK + alpha)
        if setup.codec == "libvpx-vp9":
            stream.metadata["alpha_mode"] = "1"  # read by browsers
    if setup.timecode is not None and has_timecode_rate(setup.frame_rate):
        stream.metadata["timecode"] = setup.timecode
    if patches_shape(format, setup):
        stream.metadata["title"] = PLACEHOLDER
    if remarks:
        container.metadata["comment"] = "; ".join(remarks)
    with usual_priority():
        container.start_encoding()
    return stream


def patches_shape(format: OutputFormat, setup: EncoderSetup) -> bool:
    """Whether the shape of the pixels is written into the header afterwards, see matroska_shape."""
    return format.container in ("matroska", "webm") and setup.sample_aspect_ratio != 1


def mux_picture(container: OutputContainer, setup: EncoderSetup, tracks: TrackCopy | None, packet: av.Packet) -> None:
    """Writes a packet of the picture, and before it the copied tracks up to its time: libav holds packets back until
    every track has one."""
    if not packet.duration:
        packet.duration = setup.nominal_duration
    if tracks is not None and packet.dts is not None:
        tracks.copy_until(packet.dts * packet.time_base)
    container.mux(packet)
