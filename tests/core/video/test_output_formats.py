"""The table of formats: what each row says against libav itself, and the encoders' options."""

import io
from dataclasses import replace
from pathlib import Path

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.codec_choices import HARDWARE
from rvm_studio.core.video.output_formats import FORMATS, Encoding, format_for

ROWS = [pytest.param(row, id=row.suffix) for row in FORMATS]
ENCODINGS = [
    pytest.param(row, content, encoding, id=f"{row.suffix}-{content}-{kind}")
    for row in FORMATS
    for kind, table in (("usual", row.encodings), ("hdr", row.hdr_encodings), *row.choices.items())
    if kind not in HARDWARE
    for content, encoding in table.items()
]
BT709, PQ, HLG = 1, 16, 18


def row_of(suffix: str):
    return format_for(Path(f"a{suffix}"))


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("a.mov", ".mov"), ("A.MOV", ".mov"), ("a.b.WebM", ".webm"), ("s_%05d.png", ".png"), ("x.mp4/a.mkv", ".mkv")],
)
def test_the_suffix_chooses(path, suffix):
    assert format_for(Path(path)).suffix == suffix


@pytest.mark.parametrize(("path", "found"), [("a.avi", "the suffix '.avi'"), ("a", "no suffix"), (".mov", "no suffix")])
def test_an_unknown_suffix_names_all_that_are_known(path, found):
    with pytest.raises(StudioError) as error:
        format_for(Path(path))
    assert f"The output {path} has {found}" in str(error.value)
    for row in FORMATS:
        assert f"{row.suffix} ({row.name})" in str(error.value)


@pytest.mark.parametrize(("row", "content", "encoding"), ENCODINGS)
def test_an_encoding_is_one_that_libav_has(row, content, encoding):
    if row.suffix == ".exr":
        return  # see test_exr_encoder.py
    codec = av.Codec(encoding.codec, "w")
    known = {format.name for format in codec.video_formats}
    bits = [entry[0] for entry in encoding.pixel_formats]
    assert bits == sorted(set(bits))
    for depth, name in encoding.pixel_formats:
        assert name in known
        format = av.VideoFormat(name)
        assert {component.bits for component in format.components} == {depth}
        assert encoding.stand_in is None or encoding.stand_in.pixel_formats == encoding.pixel_formats
        alpha = any(component.is_alpha for component in format.components)
        if content == "rgba":
            assert alpha or name == "pal8"
        elif name not in ("bgra", "rgba"):  # WebP's only one, opaque then
            assert not alpha
    if row.container:
        assert codec.canonical_name in taken_by(row.container)


def taken_by(container: str) -> set[str]:
    """The codecs that libav's muxer says it takes."""
    with av.open(io.BytesIO(), "w", format=container) as output:
        return set(output.supported_codecs)


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_says_of_itself(row):
    assert row.carries_alpha == (row.suffix != ".mp4")
    assert row.carries_audio == (row.suffix in (".mov", ".webm", ".mkv", ".mp4"))
    assert row.held_in_memory == (row.suffix == ".webp")
    shaped = (".mov", ".mp4", ".mkv", ".webm", ".png", ".apng", ".exr")
    assert row.carries_pixel_shape == (row.suffix in shaped)


@pytest.mark.parametrize("row", [row for row in FORMATS if row.audio_codecs is not None])
def test_the_muxer_takes_every_codec_that_is_copied(row):
    assert row.audio_codecs <= taken_by(row.container)
    assert av.Codec(row.audio_fallback, "w").canonical_name in taken_by(row.container)


@pytest.mark.parametrize(
    ("suffix", "content", "depth", "found"),
    [
        (".mkv", "rgba", 1, (8, "bgra")),
        (".mkv", "rgba", 8, (8, "bgra")),
        (".mkv", "rgba", 9, (10, "gbrap10le")),
        (".mkv", "rgba", 10, (10, "gbrap10le")),
        (".mkv", "rgb", 12, (12, "gbrp12le")),
        (".mkv", "gray", 14, (16, "gray16le")),
        (".png", "rgba", 10, (16, "rgba64be")),
        (".png", "gray", 8, (8, "gray")),
        (".mov", "rgba", 8, (10, "yuva444p10le")),
        (".mov", "gray", 16, (10, "yuv422p10le")),  # the most there is
        (".webm", "rgb", 16, (8, "yuv420p")),
    ],
)
def test_the_smallest_pixel_format_that_holds_the_bits(suffix, content, depth, found):
    assert row_of(suffix).encoding_for(content, BT709).pixel_format_for(depth) == found


def test_hdr_has_an_encoding_of_its_own_where_there_is_one():
    assert row_of(".mp4").encoding_for("rgb", BT709).codec == "libx264"
    for transfer in (PQ, HLG):
        assert row_of(".mp4").encoding_for("rgb", transfer).codec == "libx265"
        assert row_of(".mp4").encoding_for("gray", transfer).codec == "libx264"  # a matte has no brightness
        assert row_of(".mov").encoding_for("rgb", transfer).codec == "prores_ks"
    assert row_of(".mp4").encoding_for("rgb", 17).codec == "libx264"


def test_what_cannot_hold_alpha_names_what_can():
    with pytest.raises(StudioError) as error:
        row_of(".mp4").encoding_for("rgba", BT709)
    others = [row.suffix for row in FORMATS if row.carries_alpha]
    assert str(error.value) == f"MP4 (.mp4) cannot hold transparency: choose one of {', '.join(others)}."
    assert ".mp4" not in others
    alpha_only = replace(row_of(".mov"), encodings={})
    with pytest.raises(StudioError, match="cannot hold gray pictures"):
        alpha_only.encoding_for("gray", BT709)


# Options


def options(suffix, content="rgba", quality=None, size=(1080, 1920)) -> dict[str, str]:
    return row_of(suffix).encoding_for(content, BT709).options_for(quality, *size)


def test_quality_in_each_codecs_own_words():
    assert options(".mp4", "rgb")["crf"] == "18"
    assert options(".mp4", "gray")["crf"] == "4"
    assert options(".mp4", "rgb", 20.5)["crf"] == "20.5"
    assert options(".mp4", "rgb", 0)["crf"] == "0"
    assert options(".webm")["lossless"] == "1"
    assert options(".webm", "gray")["lossless"] == "1"
    assert "crf" not in options(".webm")
    assert "lossless" not in options(".webm", "rgb")
    assert (options(".webm", "rgb")["crf"], options(".webm", "rgb")["b"]) == ("18", "0")
    assert options(".webm", quality=12.4)["crf"] == "12"
    assert options(".webm", "rgb", 0)["lossless"] == "1"
    assert options(".mov")["global_quality"] == "236"  # 2 x 118
    assert options(".mov")["flags"] == "+qscale"
    assert options(".mov", quality=7.5)["global_quality"] == "885"
    assert options(".mov", quality=0)["global_quality"] == "12"  # 0 would mean: choose yourself


@pytest.mark.parametrize("suffix", [".mkv", ".png", ".apng", ".webp"])
def test_lossless_formats_have_no_quality(suffix):
    assert options(suffix, quality=1) == options(suffix, quality=99) == options(suffix)


@pytest.mark.parametrize(("size", "slices"), [((16, 16), "12"), ((15, 64), "1"), ((64, 15), "1"), ((2, 2), "1")])
def test_a_tiny_ffv1_has_one_slice(size, slices):
    assert options(".mkv", size=size)["slices"] == slices


@pytest.mark.parametrize(("size", "large"), [((1080, 1920), False), ((2160, 3840), True)])
def test_a_large_h264_looks_less_far_ahead(size, large):
    assert ("rc-lookahead" in options(".mp4", "rgb", size=size)) == large
    assert options(".mp4", "rgb", size=size)["preset"] == "veryfast"


def test_options_are_no_ones_but_the_callers():
    encoding: Encoding = row_of(".mp4").encoding_for("rgb", BT709)
    encoding.options_for(3, 64, 64)["preset"] = "slow"
    assert encoding.options["preset"] == "veryfast"
    assert "crf" not in encoding.options


# Another codec than the format's own


def test_the_formats_own_codec_is_the_first_of_its_codecs():
    for suffix, codec in ((".mov", "prores"), (".webm", "vp9"), (".mkv", "ffv1"), (".mp4", "h264"), (".png", "png")):
        row = row_of(suffix)
        assert row.codecs[0] == codec
        assert row.codec_named(codec) is row.codec_named(None) is None
        assert row.encoding_for("rgb", BT709, codec) == row.encoding_for("rgb", BT709)
    assert row_of(".png").codecs == ("png",)


@pytest.mark.parametrize("name", ["hevc-nvenc", "HEVC_NVENC", " hevc-nvenc"])
def test_a_codecs_name_may_be_spelt_as_libav_spells_it(name):
    assert row_of(".mp4").codec_named(name) == "hevc-nvenc"
    assert row_of(".mp4").has("rgb", name)
    assert row_of(".mp4").encoding_for("rgb", BT709, name).codec == "hevc_nvenc"


def test_hdr_in_a_codec_that_was_asked_for():
    assert row_of(".mp4").encoding_for("rgb", PQ, "h264").codec == "libx264"
    assert row_of(".mp4").encoding_for("rgb", PQ, "hevc").pixel_format_for(10) == (10, "yuv420p10le")


@pytest.mark.parametrize(
    ("suffix", "codec", "message"),
    [
        (".webm", "prores-hq", ".webm cannot hold the codec prores-hq: use one of vp9, av1,"),
        (".webm", "prores-hq", "or name the output .mov."),
        (".png", "hevc", "use one of png, or name the output .mov, .mkv, .mp4."),
        (".mov", "av1", "or name the output .webm, .mkv, .mp4."),
        (".mov", "h266", "The codec 'h266' is unknown: use one of prores, prores-proxy,"),
    ],
)
def test_a_codec_that_a_format_does_not_hold(suffix, codec, message):
    with pytest.raises(StudioError) as error:
        row_of(suffix).encoding_for("rgb", BT709, codec)
    assert message in str(error.value)
    assert not row_of(suffix).has("rgb", codec)


def test_a_codec_without_alpha_names_those_with_it():
    with pytest.raises(StudioError) as error:
        row_of(".mov").encoding_for("rgba", BT709, "hevc")
    assert "The codec hevc cannot hold transparency: use prores, prores-4444, prores-4444xq in .mov, or another" in str(
        error.value
    )
    with pytest.raises(StudioError, match=r"cannot hold transparency: use another format \(\.mov, \.webm, "):
        row_of(".mp4").encoding_for("rgba", BT709, "hevc")
    assert not row_of(".mov").holds("rgba", "hevc")
    assert row_of(".mov").holds("rgba")
    assert row_of(".mov").holds("rgba", "vp9")  # which it does not have: its own is used
