"""The presets against the official table, and what is refused."""

import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.downsample_ratio import choose_downsample_ratio


@pytest.mark.parametrize(
    ("wanted", "size", "ratio"),
    [
        ("auto", (1080, 1920), 512 / 1920),
        ("auto", (300, 400), 1.0),
        ("portrait", (1080, 1920), 0.25),
        ("portrait", (720, 1280), 0.375),
        ("portrait", (2160, 3840), 0.125),
        ("portrait", (512, 512), 1.0),
        ("full_body", (1080, 1920), 0.4),
        ("full_body", (720, 1280), 0.6),
        ("full_body", (2160, 3840), 0.2),
        ("full_body", (600, 600), 1.0),
        ("0.25", (100, 100), 0.25),
        (1, (100, 100), 1.0),
        ("auto", (4, 5120), 0.25),
    ],
)
def test_ratios(wanted, size, ratio):
    assert choose_downsample_ratio(wanted, *size) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("wanted", "message"), [("half", "Unknown"), (0, "above 0"), (1.5, "above 0"), (0.01, "leaves")]
)
def test_wrong_ratios(wanted, message):
    with pytest.raises(StudioError, match=message):
        choose_downsample_ratio(wanted, 60, 90)
