"""The table of file formats that can be written; the file name's suffix selects one.

The defaults are based on these speeds (frames per second at 1080p on 2 cores, codec alone, PyAV 18): ProRes 4444 with
its own rate control 6, with a fixed quantiser 20; VP9 with alpha, lossless and realtime 20; 8-bit FFV1 with Golomb-Rice
coding 20, with range coding 14; PNG with the mixed predictor 18, without prediction 7; APNG 3; lossless WebP at effort
0: 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ..errors import StudioError
from ..machine.process_tuning import LARGE_PICTURE

Content = Literal["rgba", "rgb", "gray"]

_FFV1_SLICED_SIZE = 16  # 12 slices are 4 columns by 3 rows, and FFV1 refuses empty ones
_FF_QP2LAMBDA = 118  # libav's global_quality is this times the quantiser


@dataclass(frozen=True)
class Encoding:
    """How one kind of content is encoded in one container."""

    codec: str  # libav's name of the encoder
    pixel_formats: tuple[tuple[int, str], ...]  # (bits per sample, libav's name), ascending
    options: Mapping[str, str]
    quality: Literal["crf", "vp9", "quantiser"] | None = None  # what the quality means; None: lossless
    default_quality: float = 0
    thread_type: Literal["SLICE", "FRAME", "AUTO"] = "SLICE"
    codec_tag: str | None = None
    even_size: bool = False  # the codec refuses odd sizes, so frames are padded

    def pixel_format_for(self, bit_depth: int) -> tuple[int, str]:
        """(bits, name) of the smallest pixel format that holds `bit_depth` bits, else of the largest."""
        return next((entry for entry in self.pixel_formats if entry[0] >= bit_depth), self.pixel_formats[-1])

    def options_for(self, quality: float | None, height: int, width: int) -> dict[str, str]:
        """The encoder's options, including `quality` (None: the default). Lossless codecs ignore it."""
        value = self.default_quality if quality is None else quality
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
        if self.quality == "crf":
            options["crf"] = f"{value:g}"
        elif self.quality == "vp9":
            options |= {"lossless": "1"} if value <= 0 else {"crf": f"{value:.0f}", "b": "0"}
        elif self.quality == "quantiser":
            options |= {"flags": "+qscale", "global_quality": f"{round(_FF_QP2LAMBDA * max(value, 0.1))}"}
        return options


@dataclass(frozen=True)
class OutputFormat:
    """One row of the table of output formats.

    Example:
        >>> from rvm_studio import core
        >>> [row.suffix for row in core.OUTPUT_FORMATS if row.carries_alpha]
        ['.mov', '.webm', '.mkv', '.png', '.apng', '.webp']
    """

    name: str  # as shown to users
    suffix: str
    container: str  # libav's muxer; "" for numbered pictures
    carries_alpha: bool
    carries_audio: bool
    carries_pixel_shape: bool  # sample aspect ratio; Matroska could, but PyAV cannot set it there
    carries_comment: bool  # text, such as the kind of alpha
    held_in_memory: bool  # libav's encoder keeps the whole compressed clip until the end
    encodings: Mapping[Content, Encoding]
    hdr_encodings: Mapping[Content, Encoding]  # used instead where the transfer is PQ or HLG
    container_options: Mapping[str, str]
    audio_codecs: frozenset[str] | None  # copied unchanged; None: all that the muxer accepts
    audio_fallback: str  # encoder for all others

    def encoding_for(self, content: Content, transfer: int) -> Encoding:
        """`transfer`: H.273 code of the source. Raises StudioError if the format cannot hold `content`."""
        table = self.hdr_encodings if transfer in (16, 18) and content in self.hdr_encodings else self.encodings
        if content not in table:
            others = ", ".join(row.suffix for row in FORMATS if content in row.encodings)
            what = "transparency" if content == "rgba" else f"{content} pictures"
            raise StudioError(f"{self.name} ({self.suffix}) cannot hold {what}: choose one of {others}.")
        return table[content]


def _row(
    name: str,
    suffix: str,
    container: str,
    encodings: dict[Content, Encoding],
    hdr_encodings: dict[Content, Encoding] | None = None,
    container_options: dict[str, str] | None = None,
    audio_codecs: frozenset[str] | None = None,
    audio_fallback: str = "",
) -> OutputFormat:
    return OutputFormat(
        name,
        suffix,
        container,
        carries_alpha="rgba" in encodings,
        carries_audio=bool(audio_fallback),
        carries_pixel_shape=suffix in (".mov", ".mp4", ".png", ".apng"),
        carries_comment=suffix not in (".png", ".apng", ".webp"),
        held_in_memory=suffix == ".webp",
        encodings=MappingProxyType(encodings),
        hdr_encodings=MappingProxyType(hdr_encodings or {}),
        container_options=MappingProxyType(container_options or {}),
        audio_codecs=audio_codecs,
        audio_fallback=audio_fallback,
    )


def _prores(profile: str, pixel_format: str) -> Encoding:
    # The encoder's own rate control searches for a quantiser in every slice; a fixed one of 2 is three times as fast,
    # with the same alpha and a mean colour error of 0.26/255. Alpha is stored losslessly with 16 bits, but the encoder
    # accepts at most 10: an 8-bit alpha is decoded exactly, a 16-bit one in 1024 levels (error up to 0.17/255;
    # measured). profile: 3 is 422 HQ, 4 is 4444 (older versions of libav accept no names)
    options = {"profile": profile, "vendor": "apl0"}
    if pixel_format.startswith("yuva"):
        options["alpha_bits"] = "16"
    return Encoding("prores_ks", ((10, pixel_format),), options, "quantiser", default_quality=2)


def _vp9(pixel_format: str, default_quality: float) -> Encoding:
    # libvpx encodes colour and alpha with one setting. Only lossless keeps alpha within 1/255 (crf 4: up to 9).
    options = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "tile-columns": "2"}
    options |= {"lag-in-frames": "0", "auto-alt-ref": "0"}  # no delayed frames
    return Encoding("libvpx-vp9", ((8, pixel_format),), options, "vp9", default_quality)


def _ffv1(*pixel_formats: tuple[int, str]) -> Encoding:
    options = {"level": "3", "coder": "rice", "slices": "12", "slicecrc": "1", "g": "1"}
    return Encoding("ffv1", pixel_formats, options)


def _png(*pixel_formats: tuple[int, str], codec: str = "png") -> Encoding:
    return Encoding(codec, pixel_formats, {"compression_level": "1", "pred": "mixed"}, thread_type="FRAME")


def _webp() -> Encoding:
    return Encoding("libwebp_anim", ((8, "bgra"),), {"lossless": "1", "compression_level": "0"})


def _h264(default_quality: float) -> Encoding:
    # 4:2:0 for gray too: QuickTime and hardware decoders play no 4:0:0
    options = {"preset": "veryfast"}
    return Encoding("libx264", ((8, "yuv420p"),), options, "crf", default_quality, thread_type="AUTO", even_size=True)


_HEVC_10 = Encoding(
    "libx265",
    ((10, "yuv420p10le"),),
    {"preset": "veryfast", "x265-params": "log-level=error"},
    "crf",
    default_quality=16,
    thread_type="AUTO",
    codec_tag="hvc1",  # the tag that Apple's players require
    even_size=True,
)

_PCM = ["s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be", "mulaw", "alaw"]
_MOV_AUDIO = frozenset(["aac", "mp3", "alac", "ac3", "eac3", *(f"pcm_{kind}" for kind in _PCM)])
_MP4_AUDIO = frozenset(["aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"])

FORMATS = (
    _row(
        "ProRes",
        ".mov",
        "mov",
        {
            "rgba": _prores("4", "yuva444p10le"),
            "rgb": _prores("4", "yuv444p10le"),
            "gray": _prores("3", "yuv422p10le"),
        },
        audio_codecs=_MOV_AUDIO,
        audio_fallback="pcm_s16le",
    ),
    _row(
        "VP9",
        ".webm",
        "webm",
        {"rgba": _vp9("yuva420p", 0), "rgb": _vp9("yuv420p", 18), "gray": _vp9("yuv420p", 0)},
        # keeps blocks before time zero (encoder delay of audio); otherwise libav moves every track, also the picture
        container_options={"avoid_negative_ts": "disabled"},
        audio_codecs=frozenset(["opus", "vorbis"]),
        audio_fallback="libopus",
    ),
    _row(
        "FFV1",
        ".mkv",
        "matroska",
        {
            "rgba": _ffv1((8, "bgra"), (10, "gbrap10le"), (12, "gbrap12le"), (16, "gbrap16le")),
            "rgb": _ffv1((8, "bgr0"), (10, "gbrp10le"), (12, "gbrp12le"), (16, "gbrp16le")),
            "gray": _ffv1((8, "gray"), (10, "gray10le"), (12, "gray12le"), (16, "gray16le")),
        },
        container_options={"avoid_negative_ts": "disabled"},
        audio_fallback="flac",
    ),
    _row(
        "PNG",
        ".png",
        "",
        {
            "rgba": _png((8, "rgba"), (16, "rgba64be")),
            "rgb": _png((8, "rgb24"), (16, "rgb48be")),
            "gray": _png((8, "gray"), (16, "gray16be")),
        },
    ),
    _row(
        "animated PNG",
        ".apng",
        "apng",
        {
            "rgba": _png((8, "rgba"), codec="apng"),
            "rgb": _png((8, "rgb24"), codec="apng"),
            "gray": _png((8, "gray"), codec="apng"),
        },
        container_options={"plays": "0"},  # endlessly
    ),
    _row(
        "animated WebP",
        ".webp",
        "webp",
        {"rgba": _webp(), "rgb": _webp(), "gray": _webp()},
        container_options={"loop": "0"},  # endlessly
    ),
    _row(
        "MP4",
        ".mp4",
        "mp4",
        {"rgb": _h264(18), "gray": _h264(4)},  # crf 18 changes soft edges of a matte by 10/255, crf 4 by 3
        hdr_encodings={"rgb": _HEVC_10},
        container_options={"movflags": "+faststart"},
        audio_codecs=_MP4_AUDIO,
        audio_fallback="aac",
    ),
)


def format_for(path: Path) -> OutputFormat:
    """The output format that the suffix of a path selects.

    Args:
        path: A file name; the case of its suffix does not matter.

    Returns:
        The row of `OUTPUT_FORMATS`.

    Raises:
        StudioError: No format has this suffix.

    Example:
        >>> from rvm_studio import core
        >>> from pathlib import Path
        >>> core.format_for(Path("cut.mov")).name
        'ProRes'
    """
    for row in FORMATS:
        if row.suffix == path.suffix.lower():
            return row
    known = ", ".join(f"{row.suffix} ({row.name})" for row in FORMATS)
    found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
    raise StudioError(f"The output {path} has {found}, which is not a known format: use one of {known}.")
