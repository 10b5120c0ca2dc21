"""Decoding on a GPU or media engine, where PyAV offers it. Off by default. Experimental: supported, not tested on a
device.

The result is bit-identical to the software decoder's: H.264, HEVC and VP9 are specified exactly, and the device's NV12
and P010 convert to the same RGB (measured). To guarantee that, only formats that the device returns unchanged are
decoded there (4:2:0 of 8 or 10 bits), the reader compares the first frame with the software decoder's, and it falls
back to software at the first error of the device or the file. Only damage within a picture may give different frames,
because a device may conceal it in its own way without an error.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line needs only the names
    import av
    import av.container

_CODECS = {"h264", "hevc", "vp9"}  # specified exactly; MPEG-2 and older codecs leave rounding to the decoder
_DEVICES = ("cuda", "videotoolbox", "d3d11va", "vaapi")  # in the order in which they are tried
HWACCELS = ("none", "auto", *_DEVICES)
"""The accepted values, named as in ffmpeg's -hwaccel."""

# Pixel format of the software decoder -> of the device. Not full-range yuvj420p: NV12 would imply another chroma
# position.
FORMATS = {"yuv420p": "nv12", "yuv420p10le": "p010le"}


class DeviceTrouble(Exception):  # noqa: N818 - software continues
    """A device cannot decode this stream, or cannot continue; the message says why."""


def built_in() -> list[str]:
    """The device types that this libav was built for, whether or not the machine has them."""
    from av.codec.hwaccel import hwdevices_available

    found = hwdevices_available()
    return [device for device in _DEVICES if device in found]


def open_on_device(path: Path, stream: "av.VideoStream", wanted: str) -> "tuple[av.container.InputContainer, str]":
    """Opens the file again for decoding on a device, and returns the container and the device.

    stream: as opened for software. wanted: one of HWACCELS except "none". Raises DeviceTrouble if no device can decode
    the stream.
    """
    from av.codec.hwaccel import HWAccel
    from av.error import FFmpegError

    from .container import open_to_read

    context = stream.codec_context
    if context.name not in _CODECS:
        raise DeviceTrouble(f"{context.name} is not one of {', '.join(sorted(_CODECS))}")
    if context.pix_fmt not in FORMATS:
        raise DeviceTrouble(f"its pixel format {context.pix_fmt} is not one of {', '.join(FORMATS)}")
    decoding = _decoders_of(context.codec)
    devices = built_in() if wanted == "auto" else [wanted]
    problems = []
    for device in devices:
        if device not in decoding:
            problems.append(f"{device} does not decode {context.name} here")
            continue
        try:
            accelerator = HWAccel(device, allow_software_fallback=False)  # the reader falls back itself, with threads
            return open_to_read(path, hwaccel=accelerator), device
        except (FFmpegError, RuntimeError) as error:
            problems.append(f"{device} cannot be opened ({getattr(error, 'strerror', None) or error})")
    raise DeviceTrouble("; ".join(problems) or "this PyAV was built without device support")


def _decoders_of(codec: "av.Codec") -> set[str]:
    """The device types on which this libav can decode the codec."""
    return {config.device_type.name for config in codec.hardware_configs if config.is_supported}
