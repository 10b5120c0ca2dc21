"""What a quality and a bitrate become in each encoder's own options."""

import pytest
from rvm_studio.core.video.codec_choices import HARDWARE, LOSSY, PRORES
from rvm_studio.core.video.encodings import Encoding


def options(encoding: Encoding, quality=None, bitrate=None) -> dict[str, str]:
    return encoding.options_for(quality, 1080, 1920, bitrate)


@pytest.mark.parametrize(
    ("codec", "quality", "expected"),
    [
        ("hevc", 20.5, {"crf": "20.5"}),
        ("av1", 30.4, {"crf": "30"}),
        ("av1", 0, {"crf": "1"}),  # 0 would mean: the encoder's default
    ],
)
def test_quality_of_software(codec, quality, expected):
    encoding = LOSSY[codec]["rgb"]
    found = options(encoding, quality)
    assert {name: found[name] for name in expected} == expected
    assert "crf" not in options(encoding, bitrate=10**6)


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        ("hevc-nvenc", {"rc": "vbr", "cq": "20", "b": "0"}),
        ("hevc-qsv", {"global_quality": "20"}),
        ("hevc-amf", {"rc": "cqp", "qp_i": "20", "qp_p": "20"}),
        ("hevc-videotoolbox", {"flags": "+qscale", "global_quality": f"{118 * 60}"}),
    ],
)
def test_quality_of_hardware(codec, expected):
    encoding = HARDWARE[codec]["rgb"]
    assert options(encoding, 20) == expected
    assert options(encoding, bitrate=10**6) == {}
    assert encoding.stand_in == LOSSY["hevc"]["rgb"]


def test_the_small_profiles_of_prores_keep_to_their_rate():
    assert "global_quality" not in options(PRORES["prores-proxy"]["rgb"])
    assert options(PRORES["prores-proxy"]["rgb"], 8)["global_quality"] == "944"
    assert options(PRORES["prores-4444xq"]["rgb"])["global_quality"] == "118"


def test_why_there_is_no_bitrate():
    assert PRORES["prores-hq"]["rgb"].bitrate_remark == "takes a quality instead"
    assert Encoding("ffv1", ((8, "gray"),), {}).bitrate_remark == "is lossless"


def test_hardware_of_eight_bits_where_the_family_has_no_more():
    assert HARDWARE["h264-qsv"]["rgb"].pixel_format_for(10) == (8, "nv12")
    assert HARDWARE["hevc-qsv"]["rgb"].pixel_format_for(10) == (10, "p010le")
