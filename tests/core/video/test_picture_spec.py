"""What the frames of a clip have in common, and its subclass that knows the clip too."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import ClipInfo

COMMON = {
    "height": 48, "width": 64, "frame_rate": Fraction(25), "time_base": Fraction(1, 50), "tags": ColorTags(1, 1, 1, 1),
}  # fmt: skip


def test_by_default_8_bits_and_square_pixels():
    spec = PictureSpec(**COMMON)
    assert (spec.bit_depth, spec.sample_aspect_ratio) == (8, 1)
    with pytest.raises(TypeError, match="positional"):
        PictureSpec(48, 64, Fraction(25), Fraction(1, 50), ColorTags(1, 1, 1, 1))  # height and width could be swapped


def test_values_that_do_not_change():
    """So a reader's can be shared by the writers, and compared to that of an earlier run."""
    for made in (PictureSpec, lambda **common: ClipInfo(path=Path("a.mp4"), kind="video", frame_count=3, **common)):
        spec = made(**COMMON)
        with pytest.raises(dataclasses.FrozenInstanceError):
            spec.height = 50
        assert spec == made(**COMMON)
        assert hash(spec) == hash(made(**COMMON))
        assert spec != made(**COMMON | {"sample_aspect_ratio": Fraction(4, 3)})


def test_a_clips_info_is_one_and_keeps_its_other_fields():
    info = ClipInfo(
        path=Path("a.mp4"), kind="video", frame_count=3, begins=Fraction(2), ends=Fraction(5), bit_depth=10,
        sample_aspect_ratio=Fraction(4, 3), **COMMON,
    )  # fmt: skip
    assert isinstance(info, PictureSpec)
    changed = dataclasses.replace(info, height=50, tags=ColorTags(9, 1, 9, 16))
    assert type(changed) is ClipInfo
    kept = {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}
    assert vars(changed) == kept | {"height": 50, "tags": ColorTags(9, 1, 9, 16)}
    assert info.height == 48
