"""What a picture's file says about its colours (see test_still_picture.py for whole files)."""

import numpy as np
import pytest
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.png_header import PngHeader
from rvm_studio.core.video.still_colors import SRGB, array_in_srgb, codes_of_a_still, tags_of, without_gamma

from .icc_profiles import ADOBE, in_srgb, rgb_profile
from .test_still_picture import DEEP, RGB


@pytest.mark.parametrize(
    ("codes", "tags"),
    [
        ((1, 13), SRGB),
        ((2, 2), SRGB),
        ((0, 3), SRGB),
        ((9, 16), ColorTags(0, 2, 9, 16)),
        ((12, 2), ColorTags(0, 2, 12, 13)),
    ],
)
def test_codes_as_tags(codes, tags):
    assert tags_of(codes) == tags


@pytest.mark.parametrize(
    ("said", "meant"),
    [((5, 6), (1, 13)), ((6, 6), (1, 13)), ((1, 1), (1, 13)), ((12, 13), (12, 13)), ((9, 18), (9, 18))],
)
def test_video_codes_in_a_still(said, meant):
    assert codes_of_a_still(said) == meant


def test_arrays_of_both_depths():
    for image, tolerance in ((RGB, 2 / 255), (DEEP, 0.001)):
        notes: list[str] = []
        found = array_in_srgb(image, rgb_profile(), notes)
        white = np.iinfo(image.dtype).max
        assert np.abs(found / white - in_srgb(image / white, ADOBE)).max() < tolerance
        assert notes == ["colours converted from Wide to sRGB"]
    assert array_in_srgb(RGB, None, []) is RGB


def test_gamma_that_says_nothing():
    for header in (PngHeader(), PngHeader(gamma=0.45455), PngHeader(gamma=0)):
        assert without_gamma(RGB, header, []) is RGB
    notes: list[str] = []
    assert without_gamma(RGB, PngHeader(chromaticities=((0, 0),) * 4), notes) is RGB
    assert notes == ["the primaries in the file's cHRM make no sense and were ignored"]
