"""How one kind of content is encoded: codec, pixel formats, options, and what a quality or a bitrate means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..machine.process_tuning import LARGE_PICTURE

Content = Literal["rgba", "rgb", "gray"]
Quality = Literal["crf", "vpx", "svt", "quantiser", "nvenc", "qsv", "amf", "videotoolbox"]

_FFV1_SLICED_SIZE = 16  # 12 slices are 4 columns by 3 rows, and FFV1 refuses empty ones
_FF_QP2LAMBDA = 118  # libav's global_quality is this times the quantiser


@dataclass(frozen=True)
class Encoding:
    """How one kind of content is encoded in one container."""

    codec: str  # libav's name of the encoder
    pixel_formats: tuple[tuple[int, str], ...]  # (bits per sample, libav's name), ascending
    options: Mapping[str, str]
    quality: Quality | None = None  # what the quality means; None: it has none, see `fixed`
    default_quality: float | None = 0  # None: the encoder's own rate control
    thread_type: Literal["SLICE", "FRAME", "AUTO"] = "SLICE"
    codec_tag: str | None = None
    even_size: bool = False  # the codec refuses odd sizes, so frames are padded
    fixed: str = "is lossless"  # why there is no quality, in words
    takes_bitrate: bool = False
    profile: str = ""  # as the opened encoder names it; checked where a codec was chosen
    smallest: tuple[int, int] = (1, 1)  # (h, w) that the encoder accepts
    stand_in: "Encoding | None" = None  # used where libav lacks this encoder, or the encoder does not open

    @property
    def bitrate_remark(self) -> str:
        """Why it takes no bitrate, in words."""
        return "takes a quality instead" if self.quality else self.fixed

    def pixel_format_for(self, bit_depth: int) -> tuple[int, str]:
        """(bits, name) of the smallest pixel format that holds `bit_depth` bits, else of the largest."""
        return next((entry for entry in self.pixel_formats if entry[0] >= bit_depth), self.pixel_formats[-1])

    def options_for(self, quality: float | None, height: int, width: int, bitrate: int | None = None) -> dict[str, str]:
        """The encoder's options, including `quality` (None: the default). Encodings without a quality ignore it. With a
        bitrate (bits/s), which EncoderSetup sets, there is no quality."""
        options = dict(self.options)
        if self.codec == "ffv1" and min(height, width) == 1:
            # FFmpeg 7 cannot read a single row or column in FFV1 version 3. A checksum would imply version 3.
            options = {name: option for name, option in options.items() if name not in ("slices", "slicecrc")}
            options["level"] = "1"
        elif self.codec == "ffv1" and min(height, width) < _FFV1_SLICED_SIZE:
            options["slices"] = "1"
        if self.codec == "libx264" and height * width > LARGE_PICTURE:
            # Each picture that x264 holds for lookahead, for B frames or in a thread takes 25 to 40 MB at 4K. One B
            # frame in a row instead of three takes 4/5 of the time; size and quality hardly change.
            options |= {"rc-lookahead": "2", "x264-params": "sync-lookahead=0:sliced-threads=1:bframes=1"}
        value = self.default_quality if quality is None else quality
        if self.quality is None or value is None or bitrate is not None:
            return options
        return options | _quality_options(self.quality, value)


def _quality_options(kind: Quality, value: float) -> dict[str, str]:
    """Lower values are better, in all of them."""
    number, whole = f"{value:g}", f"{round(value)}"
    if kind == "crf":
        return {"crf": number}
    if kind == "svt":
        return {"crf": f"{max(1, round(value))}"}  # 0 would mean: the encoder's default
    if kind == "vpx":
        return {"lossless": "1"} if value <= 0 else {"crf": f"{value:.0f}", "b": "0"}
    if kind == "quantiser":
        return {"flags": "+qscale", "global_quality": f"{round(_FF_QP2LAMBDA * max(value, 0.1))}"}
    if kind == "nvenc":
        return {"rc": "vbr", "cq": f"{max(1, round(value))}", "b": "0"}  # 0 would mean: the encoder's choice
    if kind == "qsv":
        return {"global_quality": f"{max(1, round(value))}"}
    if kind == "amf":
        return {"rc": "cqp", "qp_i": whole, "qp_p": whole}
    # VideoToolbox counts from 0 to 100, the best
    return {"flags": "+qscale", "global_quality": f"{_FF_QP2LAMBDA * min(100, max(1, round(100 - 2 * value)))}"}
