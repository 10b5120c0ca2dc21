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

from ..errors import StudioError
from .codec_choices import DNXHR, H264, HARDWARE, LOSSY, PRORES, VP9, Codec, hevc, prores
from .encodings import Content, Encoding

__all__ = ["FORMATS", "HDR_TRANSFERS", "Content", "Encoding", "OutputFormat", "format_for"]

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # H.273 codes


@dataclass(frozen=True)
class OutputFormat:
    """One row of the table of output formats.

    Example:
        >>> from rvm_studio import core
        >>> [row.suffix for row in core.OUTPUT_FORMATS if row.carries_alpha]
        ['.mov', '.webm', '.mkv', '.png', '.tif', '.tiff', '.exr', '.apng', '.webp',
        '.gif']
    """

    name: str  # as shown to users
    suffix: str
    container: str  # libav's muxer; "" for numbered pictures
    carries_alpha: bool
    carries_audio: bool
    carries_pixel_shape: bool  # sample aspect ratio
    carries_comment: bool  # text, such as the kind of alpha
    held_in_memory: bool  # libav's encoder keeps the whole compressed clip until the end
    encodings: Mapping[Content, Encoding]
    hdr_encodings: Mapping[Content, Encoding]  # used instead where the transfer is PQ or HLG
    container_options: Mapping[str, str]
    audio_codecs: frozenset[str] | None  # copied unchanged; None: all that the muxer accepts
    audio_fallback: str  # encoder for all others

    codec: str  # the name of its own codec, for users
    choices: Mapping[str, Codec]  # other codecs that it holds, by name

    @property
    def carries_timecode(self) -> bool:
        """Whether it holds the timecode of the first frame: as a track (MOV, MP4) or a tag (Matroska, WebM)."""
        return self.carries_audio

    @property
    def codecs(self) -> tuple[str, ...]:
        """The names of all codecs that it holds; its own is the first."""
        return self.codec, *self.choices

    def codec_named(self, codec: str | None) -> str | None:
        """The name as `codecs` has it (`h264_nvenc` is `h264-nvenc`); None for the format's own codec. Raises
        StudioError for a codec that the format does not hold."""
        name = _plain(codec)
        if codec is None or name == self.codec:
            return None
        if name in self.choices:
            return name
        if not any(name in row.codecs for row in FORMATS):
            known = ", ".join(dict.fromkeys(known for row in FORMATS for known in row.codecs))
            raise StudioError(f"The codec {codec!r} is unknown: use one of {known}.")
        others = ", ".join(row.suffix for row in FORMATS if name in row.codecs)
        raise StudioError(
            f"{self.suffix} cannot hold the codec {name}: use one of {', '.join(self.codecs)}, or name the output "
            f"{others}."
        )

    def has(self, content: Content, codec: str) -> bool:
        """Whether it can hold `content` in this codec."""
        name = _plain(codec)
        return content in (self.encodings if name == self.codec else self.choices.get(name, {}))

    def holds(self, content: Content, codec: str | None = None) -> bool:
        """Whether it can hold `content`: in this codec if it has it, else in its own."""
        return content in self.choices.get(_plain(codec), self.encodings)

    def encoding_for(self, content: Content, transfer: int, codec: str | None = None) -> Encoding:
        """`transfer`: H.273 code of the source. codec: one of `codecs`; None: the format's own, or for HDR the one that
        holds it. Raises StudioError if the format or the codec cannot hold `content`."""
        what = "transparency" if content == "rgba" else f"{content} pictures"
        name = self.codec_named(codec)
        if name is not None:
            if content not in self.choices[name]:
                able = [other for other in self.codecs if self.holds(content, other)]
                rows = ", ".join(row.suffix for row in FORMATS if content in row.encodings and row is not self)
                use = f"use {', '.join(able)} in {self.suffix}, or" if able else "use"
                raise StudioError(f"The codec {name} cannot hold {what}: {use} another format ({rows}).")
            return self.choices[name][content]
        is_hdr = transfer in HDR_TRANSFERS and content in self.hdr_encodings and codec is None
        table = self.hdr_encodings if is_hdr else self.encodings
        if content not in table:
            others = ", ".join(row.suffix for row in FORMATS if content in row.encodings)
            raise StudioError(f"{self.name} ({self.suffix}) cannot hold {what}: choose one of {others}.")
        return table[content]


def _plain(codec: str | None) -> str:
    return (codec or "").strip().lower().replace("_", "-")


def _row(
    name: str,
    suffix: str,
    container: str,
    encodings: dict[Content, Encoding],
    hdr_encodings: dict[Content, Encoding] | None = None,
    container_options: dict[str, str] | None = None,
    audio_codecs: frozenset[str] | None = None,
    audio_fallback: str = "",
    codec: str = "",
    choices: Mapping[str, Codec] | None = None,
) -> OutputFormat:
    return OutputFormat(
        name,
        suffix,
        container,
        carries_alpha="rgba" in encodings,
        carries_audio=bool(audio_fallback),
        carries_pixel_shape=suffix in (".mov", ".mp4", ".mkv", ".webm", ".png", ".apng", ".exr"),
        carries_comment=suffix not in (".png", ".tif", ".tiff", ".apng", ".webp", ".gif"),
        held_in_memory=suffix == ".webp",
        encodings=MappingProxyType(encodings),
        hdr_encodings=MappingProxyType(hdr_encodings or {}),
        container_options=MappingProxyType(container_options or {}),
        audio_codecs=audio_codecs,
        audio_fallback=audio_fallback,
        codec=codec or suffix.lstrip("."),
        choices=MappingProxyType(dict(choices or {})),
    )


def _ffv1(*pixel_formats: tuple[int, str]) -> Encoding:
    options = {"level": "3", "coder": "rice", "slices": "12", "slicecrc": "1", "g": "1"}
    return Encoding("ffv1", pixel_formats, options)


def _png(*pixel_formats: tuple[int, str], codec: str = "png") -> Encoding:
    return Encoding(codec, pixel_formats, {"compression_level": "1", "pred": "mixed"}, thread_type="FRAME")


def _tiff(suffix: str) -> OutputFormat:
    encodings: dict[Content, Encoding] = {
        "rgba": _picture("tiff", (8, "rgba"), (16, "rgba64le")),
        "rgb": _picture("tiff", (8, "rgb24"), (16, "rgb48le")),
        "gray": _picture("tiff", (8, "gray"), (16, "gray16le")),
    }
    return _row("TIFF", suffix, "", encodings, codec="tiff")


def _picture(codec: str, *pixel_formats: tuple[int, str]) -> Encoding:
    options = {"compression_algo": "lzw"} if codec == "tiff" else {}
    return Encoding(codec, pixel_formats, options, thread_type="FRAME")


def _webp() -> Encoding:
    return Encoding("libwebp_anim", ((8, "bgra"),), {"lossless": "1", "compression_level": "0"})


def _gif() -> Encoding:
    return Encoding("gif", ((8, "pal8"),), {}, fixed="has 256 colours a frame")


def _without(family: str, codecs: Mapping[str, Codec]) -> dict[str, Codec]:
    return {name: codec for name, codec in codecs.items() if not name.startswith(family)}


_PCM = ["s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be", "mulaw", "alaw"]
_MOV_AUDIO = frozenset(["aac", "mp3", "alac", "ac3", "eac3", *(f"pcm_{kind}" for kind in _PCM)])
_MP4_AUDIO = frozenset(["aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"])

FORMATS = (
    _row(
        "ProRes",
        ".mov",
        "mov",
        {
            "rgba": prores(4, "yuva444p10le"),
            "rgb": prores(4, "yuv444p10le"),
            "gray": prores(3, "yuv422p10le"),
        },
        audio_codecs=_MOV_AUDIO,
        audio_fallback="pcm_s16le",
        codec="prores",
        choices={**PRORES, **DNXHR, **_without("av1", {**LOSSY, **HARDWARE})},  # libav writes no AV1 in .mov
    ),
    _row(
        "VP9",
        ".webm",
        "webm",
        dict(VP9),
        # keeps blocks before time zero (encoder delay of audio); otherwise libav moves every track, also the picture
        container_options={"avoid_negative_ts": "disabled"},
        audio_codecs=frozenset(["opus", "vorbis"]),
        audio_fallback="libopus",
        codec="vp9",
        choices={name: codec for name, codec in {**LOSSY, **HARDWARE}.items() if name.startswith("av1")},
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
        codec="ffv1",
        choices={**LOSSY, **HARDWARE},
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
    _tiff(".tif"),
    _tiff(".tiff"),
    _row(
        "OpenEXR",
        ".exr",
        "",
        {
            "rgba": _picture("exr", (16, "rgba64le")),  # what ExrEncoder takes
            "rgb": _picture("exr", (16, "rgb48le")),
            "gray": _picture("exr", (16, "gray16le")),
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
        "GIF",
        ".gif",
        "gif",
        {"rgba": _gif(), "rgb": _gif(), "gray": _gif()},
        container_options={"loop": "0"},  # endlessly
    ),
    _row(
        "MP4",
        ".mp4",
        "mp4",
        dict(H264),
        hdr_encodings={"rgb": hevc(16, (10, "yuv420p10le"))},
        container_options={"movflags": "+faststart"},
        audio_codecs=_MP4_AUDIO,
        audio_fallback="aac",
        codec="h264",
        choices={"hevc": LOSSY["hevc"], "av1": LOSSY["av1"], **HARDWARE},
    ),
)

STANDARD_OUTPUT = Path("<standard output>.mkv")
"""The output that stands for standard output; see stream_file.py."""


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
