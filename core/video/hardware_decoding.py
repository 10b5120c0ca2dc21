"""Decoding on a graphics card or media engine, where PyAV offers it. Asked for, never by itself: experimental, not yet
tried on a device.

The result is that of the software decoder, to the bit: H.264, HEVC and VP9 leave a decoder no choice, and the
device's NV12 and P010 become the same RGB (measured). To keep it so, the device gets only what it hands back unchanged,
4:2:0 of 8 or 10 bits; the reader compares the first frame with the software decoder's; and at the first sign of
trouble, of the device or of the file, it goes on in software. What is damaged within a picture a device may mend in its
own way, unseen: the one case in which frames may be others.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line asks for the names alone
    import av
    import av.container

_CODECS = {"h264", "hevc", "vp9"}  # exact by their standards; MPEG-2 and older ones round as they like
_DEVICES = ("cuda", "videotoolbox", "d3d11va", "vaapi")  # in the order in which they are tried
HWACCELS = ("none", "auto", *_DEVICES)
"""What may be asked for, as of ffmpeg's -hwaccel."""

# Of the software decoder -> of the device. Not full-range yuvj420p: as NV12 its chroma would be taken to lie elsewhere.
FORMATS = {"yuv420p": "nv12", "yuv420p10le": "p010le"}


class DeviceTrouble(Exception):  # noqa: N818 - software goes on
    """A device does not decode this stream, or not any further: why, for people."""


def built_in() -> list[str]:
    """The devices that this libav was built for, whether or not the machine has them."""
    from av.codec.hwaccel import hwdevices_available

    found = hwdevices_available()
    return [device for device in _DEVICES if device in found]


def state_of(device: str) -> str:
    """For people: "works", or why not; the device is opened for it."""
    import av
    from av.codec.hwaccel import HWAccel
    from av.error import FFmpegError

    try:
        context = av.CodecContext.create("h264", "r", hwaccel=HWAccel(device, allow_software_fallback=False))
    except FFmpegError as error:
        return f"cannot be opened ({error.strerror})"
    return "works" if context.is_hwaccel else "decodes no H.264"


def open_on_device(path: Path, stream: "av.VideoStream", asked: str) -> "tuple[av.container.InputContainer, str]":
    """Opens the file anew so that the device decodes it: container and device. stream: as software opened it.

    asked: of HWACCELS but "none". Raises DeviceTrouble where nothing can decode the stream."""
    from av.codec.hwaccel import HWAccel
    from av.error import FFmpegError

    from .container import open_to_read

    context = stream.codec_context
    if context.name not in _CODECS:
        raise DeviceTrouble(f"{context.name} is none of {', '.join(sorted(_CODECS))}")
    if context.pix_fmt not in FORMATS:
        raise DeviceTrouble(f"its pixel format, {context.pix_fmt}, is none of {', '.join(FORMATS)}")
    decoding = _decoders_of(context.codec)
    wanted = built_in() if asked == "auto" else [asked]
    problems = []
    for device in wanted:
        if device not in decoding:
            problems.append(f"{device} does not decode {context.name} here")
            continue
        try:
            accelerator = HWAccel(device, allow_software_fallback=False)  # the reader falls back itself, with threads
            return open_to_read(path, hwaccel=accelerator), device
        except (FFmpegError, RuntimeError) as error:
            problems.append(f"{device} cannot be opened ({getattr(error, 'strerror', None) or error})")
    raise DeviceTrouble("; ".join(problems) or "this PyAV was built for no device")


def _decoders_of(codec: "av.Codec") -> set[str]:
    """The devices that this libav can have decode it."""
    return {config.device_type.name for config in codec.hardware_configs if config.is_supported}
