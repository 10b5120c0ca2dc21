"""The families of video codecs, and the names by which one is chosen instead of a format's own.

Sources of the facts: Apple, "Apple ProRes White Paper" (profiles and their rates); Avid, "DNxHR codec bandwidth" and
SMPTE ST 2019-1 (VC-3); the encoders of libav for what they accept. Alpha does not come back as it was from libav's HEVC
and AV1 (measured), so neither is offered for it.

Hardware encoders are chosen by name only. Where one does not open, its software stand-in is used, with a note; none has
been run on its device: supported, not tested. VAAPI needs frames in the device's memory, which PyAV cannot make.
"""

from collections.abc import Mapping
from dataclasses import replace

from .encodings import Content, Encoding, Quality

Codec = Mapping[Content, Encoding]

_PRORES_PROFILES = ("Proxy", "LT", "Standard", "HQ", "4444", "XQ")
_DNXHR_SMALLEST = (120, 256)
_SVT_SMALLEST = (64, 64)


def prores(profile: int, pixel_format: str, default_quality: float | None = 2) -> Encoding:
    """profile: 0 proxy, 1 LT, 2 422, 3 422 HQ, 4 4444, 5 4444 XQ (older versions of libav accept no names)."""
    # The encoder's own rate control searches for a quantiser in every slice; a fixed one of 2 is three times as fast,
    # with the same alpha and a mean colour error of 0.26/255. Alpha is stored losslessly with 16 bits, but the encoder
    # accepts at most 10: an 8-bit alpha is decoded exactly, a 16-bit one in 1024 levels (error up to 0.17/255;
    # measured).
    options = {"profile": f"{profile}", "vendor": "apl0"}
    if pixel_format.startswith("yuva"):
        options["alpha_bits"] = "16"
    return Encoding(
        "prores_ks",
        ((10, pixel_format),),
        options,
        "quantiser",
        default_quality,
        profile=_PRORES_PROFILES[profile],
    )


def _prores_422(profile: int, default_quality: float | None) -> Codec:
    encoding = prores(profile, "yuv422p10le", default_quality)
    return {"rgb": encoding, "gray": encoding}


def _prores_4444(profile: int, default_quality: float) -> Codec:
    opaque = prores(profile, "yuv444p10le", default_quality)
    return {"rgba": prores(profile, "yuva444p10le", default_quality), "rgb": opaque, "gray": opaque}


def _dnxhr(profile: str, bits: int, pixel_format: str) -> Codec:
    encoding = Encoding(
        "dnxhd",
        ((bits, pixel_format),),
        {"profile": f"dnxhr_{profile}"},
        fixed="has a fixed rate",
        profile=f"DNXHR {profile.upper()}",
        smallest=_DNXHR_SMALLEST,
    )
    return {"rgb": encoding, "gray": encoding}


def h264(default_quality: float) -> Encoding:
    # 4:2:0 for gray too: QuickTime and hardware decoders play no 4:0:0
    return Encoding(
        "libx264",
        ((8, "yuv420p"),),
        {"preset": "veryfast"},
        "crf",
        default_quality,
        thread_type="AUTO",
        even_size=True,
        takes_bitrate=True,
    )


def hevc(default_quality: float, *pixel_formats: tuple[int, str]) -> Encoding:
    return Encoding(
        "libx265",
        pixel_formats or ((8, "yuv420p"), (10, "yuv420p10le")),
        {"preset": "veryfast", "x265-params": "log-level=error"},
        "crf",
        default_quality,
        thread_type="AUTO",
        codec_tag="hvc1",  # the tag that Apple's players require
        even_size=True,
        takes_bitrate=True,
    )


def _av1(default_quality: float) -> Encoding:
    libaom = Encoding(
        "libaom-av1",
        ((8, "yuv420p"), (10, "yuv420p10le")),
        {"usage": "realtime", "cpu-used": "8", "row-mt": "1", "tiles": "2x2"},
        "vpx",
        default_quality,
        thread_type="AUTO",
        takes_bitrate=True,
    )
    return Encoding(
        "libsvtav1",
        libaom.pixel_formats,
        {"preset": "8"},
        "svt",
        default_quality,
        thread_type="AUTO",
        even_size=True,
        takes_bitrate=True,
        smallest=_SVT_SMALLEST,
        stand_in=libaom,
    )


def vp9(pixel_format: str, default_quality: float) -> Encoding:
    # libvpx encodes colour and alpha with one setting. Only lossless keeps alpha within 1/255 (crf 4: up to 9).
    options = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "tile-columns": "2"}
    options |= {"lag-in-frames": "0", "auto-alt-ref": "0"}  # no delayed frames
    return Encoding(
        "libvpx-vp9", ((8, pixel_format),), options, "vpx", default_quality, takes_bitrate="a" not in pixel_format
    )


H264: Codec = {"rgb": h264(18), "gray": h264(4)}  # crf 18 changes soft edges of a matte by 10/255, crf 4 by 3
HEVC: Codec = {"rgb": hevc(16), "gray": hevc(4)}
AV1: Codec = {"rgb": _av1(20), "gray": _av1(4)}
VP9: Codec = {"rgba": vp9("yuva420p", 0), "rgb": vp9("yuv420p", 18), "gray": vp9("yuv420p", 0)}

# The smaller profiles are chosen for their rate, so the encoder's rate control keeps to it.
PRORES: Mapping[str, Codec] = {
    "prores-proxy": _prores_422(0, None),
    "prores-lt": _prores_422(1, None),
    "prores-422": _prores_422(2, None),
    "prores-hq": _prores_422(3, 1),
    "prores-4444": _prores_4444(4, 2),
    "prores-4444xq": _prores_4444(5, 1),
}
DNXHR: Mapping[str, Codec] = {
    "dnxhr-lb": _dnxhr("lb", 8, "yuv422p"),
    "dnxhr-sq": _dnxhr("sq", 8, "yuv422p"),
    "dnxhr-hq": _dnxhr("hq", 8, "yuv422p"),
    "dnxhr-hqx": _dnxhr("hqx", 10, "yuv422p10le"),
    "dnxhr-444": _dnxhr("444", 10, "yuv444p10le"),
}

# In the order of the pixel formats: 8 bits, and 10 where the codec has them.
_PIXEL_FORMATS = {
    "nvenc": ("yuv420p", "p010le"),
    "qsv": ("nv12", "p010le"),
    "amf": ("nv12", "p010le"),
    "videotoolbox": ("nv12", "p010le"),
}
_SOFTWARE = {"h264": H264, "hevc": HEVC, "av1": AV1}


def _hardware(family: str, device: Quality) -> Codec:
    eight, ten = _PIXEL_FORMATS[device]
    depths = ((8, eight),) if family == "h264" else ((8, eight), (10, ten))

    def on_device(software: Encoding) -> Encoding:
        return replace(
            software,
            codec=f"{family}_{device}",
            pixel_formats=depths,
            options={},
            quality=device,
            even_size=True,
            smallest=(1, 1),
            stand_in=software,
        )

    return {content: on_device(encoding) for content, encoding in _SOFTWARE[family].items()}


HARDWARE: Mapping[str, Codec] = {
    "h264-nvenc": _hardware("h264", "nvenc"),
    "hevc-nvenc": _hardware("hevc", "nvenc"),
    "av1-nvenc": _hardware("av1", "nvenc"),
    "h264-qsv": _hardware("h264", "qsv"),
    "hevc-qsv": _hardware("hevc", "qsv"),
    "av1-qsv": _hardware("av1", "qsv"),
    "h264-amf": _hardware("h264", "amf"),
    "hevc-amf": _hardware("hevc", "amf"),
    "av1-amf": _hardware("av1", "amf"),
    "h264-videotoolbox": _hardware("h264", "videotoolbox"),
    "hevc-videotoolbox": _hardware("hevc", "videotoolbox"),
}
LOSSY: Mapping[str, Codec] = {"h264": H264, "hevc": HEVC, "av1": AV1}
