"""ICC profiles, against the definitions of the colour spaces."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from rvm_studio.core.video.icc_profile import Profile, UnusableProfileError, _parametric

from .icc_profiles import ADOBE, P3, gray_profile, in_srgb, profile, rgb_profile

COLORS = np.stack(np.meshgrid(*[np.linspace(0, 255, 6)] * 3), -1).reshape(1, -1, 3).astype(np.uint8)


@pytest.mark.parametrize("space", [ADOBE, P3])
def test_eight_bits(space):
    found = np.asarray(Profile(rgb_profile(space)).convert(Image.fromarray(COLORS)))
    assert np.abs(found - 255 * in_srgb(COLORS / 255, space)).max() < 2


@pytest.mark.parametrize("space", [ADOBE, P3])
def test_sixteen_bits(space):
    deep = COLORS.astype(np.uint16) * 257
    found = Profile(rgb_profile(space)).convert_deep(deep)
    assert np.abs(found / 65535 - in_srgb(COLORS / 255, space)).max() < 0.001
    steps = np.arange(30000, 30064, dtype=np.uint16)  # neighbours stay apart, as 8 bits between would not let them
    ramp = Profile(rgb_profile(space)).convert_deep(np.repeat(steps[None, :, None], 3, 2))
    assert len(np.unique(ramp[0, :, 0])) > 50


def test_grey():
    ramp = np.arange(256, dtype=np.uint8)[None]
    expected = in_srgb(np.repeat(ramp[..., None] / 255, 3, 2), (((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), 1.8))
    found = np.asarray(Profile(gray_profile(1.8)).convert(Image.fromarray(ramp)))
    assert np.abs(found - 255 * expected).max() < 2
    deep = Profile(gray_profile(1.8)).convert_deep(np.repeat(ramp[..., None].astype(np.uint16) * 257, 3, 2))
    assert np.abs(deep / 65535 - expected).max() < 0.001


def test_srgb_itself_is_known_by_what_it_does():
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert Profile(data).is_srgb()
    assert not Profile(rgb_profile()).is_srgb()
    assert not Profile(gray_profile(1.8)).is_srgb()


def test_name_and_mode():
    assert (Profile(rgb_profile(name="Adobe RGB (1998)")).name, Profile(rgb_profile()).mode) == (
        "Adobe RGB (1998)",
        "RGB",
    )
    assert Profile(gray_profile(2.2)).mode == "L"


@pytest.mark.parametrize("data", [b"", b"no profile", rgb_profile()[:100]])
def test_what_is_no_profile(data):
    with pytest.raises(UnusableProfileError):
        Profile(data)


def test_a_profile_of_tables_has_no_curves():
    elements = {f"{channel}XYZ": b"XYZ " + bytes(16) for channel in "rgb"}
    with pytest.raises(UnusableProfileError, match="curve rTRC"):
        Profile(profile("RGB ", elements, "x")).convert_deep(np.zeros((1, 1, 3), np.uint16))


def test_a_curve_of_points_and_the_straight_one():
    points = b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 16384, 65535)
    table = Profile(profile("GRAY", {"kTRC": points}, "x"))._curve("kTRC", 5)
    assert table == pytest.approx([0, 0.125, 0.25, 0.625, 1], abs=1e-4)
    straight = b"curv" + bytes(8)
    assert Profile(profile("GRAY", {"kTRC": straight}, "x"))._curve("kTRC", 3) == pytest.approx([0, 0.5, 1])


def test_parametric_curves():
    x = np.array([0.02, 0.5])
    assert _parametric(x, [2]) == pytest.approx(x**2)
    assert _parametric(x, [2, 1, -0.1]) == pytest.approx([0, 0.16])
    assert _parametric(x, [2, 1, -0.1, 0.3]) == pytest.approx([0.3, 0.46])
    srgb = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
    assert _parametric(x, srgb) == pytest.approx([0.02 / 12.92, ((0.5 + 0.055) / 1.055) ** 2.4])
    assert _parametric(x, [*srgb, 0.1, 0.2]) == pytest.approx([0.02 / 12.92 + 0.2, ((0.555) / 1.055) ** 2.4 + 0.1])
