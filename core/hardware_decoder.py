"""Decoding by a graphics card's own decoder, through libav, where it is asked for (`--hwaccel`).

The pictures come back to the processor's memory as those of a software decoder would (NV12 and P010 where that gives
planes), and go the same way from there. By their standards decoders give the same pictures to the last bit.
"""

import logging

import av
import av.container
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available

from .errors import StudioError

log = logging.getLogger(__name__)

NONE, AUTO = "none", "auto"
_PREFERRED = ("cuda", "videotoolbox", "d3d11va", "d3d12va", "dxva2", "vaapi", "qsv", "vdpau", "vulkan")


def devices() -> list[str]:
    """The kinds that this PyAV was built with, best first; whether the machine has one shows when it is opened."""
    built = hwdevices_available()
    return [name for name in _PREFERRED if name in built]


def check(hwaccel: str) -> None:
    """Raises StudioError for a kind that this PyAV does not have."""
    names = [NONE, AUTO, *devices()]
    if hwaccel not in names:
        raise StudioError(
            f"The installed PyAV {av.__version__} has no hardware decoder of the kind {hwaccel!r}. Use --hwaccel "
            f"{', '.join(names)}."
        )


def open_on_device(address: str, hwaccel: str) -> av.container.InputContainer | None:
    """The file, its video to be decoded on a device of this kind ("auto": of the first kind that works). None where
    none does, with a line in the log: a warning where one was asked for by name. A file that cannot be opened at all
    gives None too; opening it without a device says why."""
    for name in devices() if hwaccel == AUTO else [hwaccel]:
        try:
            container = av.open(address, metadata_errors="replace", hwaccel=HWAccel(name, allow_software_fallback=True))
        except (av.error.FFmpegError, RuntimeError, NotImplementedError) as error:
            log.log(logging.INFO if hwaccel == AUTO else logging.WARNING, "no hardware decoder %s: %s", name, error)
            continue
        if any(decodes(stream.codec_context) for stream in container.streams.video):
            log.info("decoded by %s", name)
            return container
        log.log(
            logging.INFO if hwaccel == AUTO else logging.WARNING,
            "the hardware decoder %s does not know this kind of video: it is decoded by the processor",
            name,
        )
        container.close()
    return None


def decodes(context: av.VideoCodecContext) -> bool:
    """Whether a device does the decoding."""
    return bool(context.is_hwaccel)
