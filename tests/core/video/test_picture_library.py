"""Opening pictures with Pillow and pillow-heif."""

import builtins

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import picture_library
from rvm_studio.core.video.picture_library import (
    HeifPicture,
    UnreadablePictureError,
    iso_kind,
    open_with_pillow,
    reason,
    refuse_too_large,
)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x14ftypavis\0\0\0\0avis", "avif"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", ""),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42heic", ""),  # outside the box
        (b"\xff\xd8\xff\xe0", ""),
        (b"", ""),
    ],
)
def test_kinds_by_their_first_bytes(tmp_path, start, kind):
    (tmp_path / "a").write_bytes(start)
    assert iso_kind(tmp_path / "a") == kind


def test_the_limit_is_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    monkeypatch.setattr(picture_library, "free_memory", lambda: 16 * 1000)
    refuse_too_large(path, 100, 10)
    with pytest.raises(StudioError, match=r"a\.png is 101x10 pixels.*Make the picture smaller, or close other"):
        refuse_too_large(path, 101, 10)
    monkeypatch.setattr(picture_library, "free_memory", lambda: None)
    refuse_too_large(path, 100_000, 100_000)


def test_pillow(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    image = open_with_pillow(tmp_path / "a.png")
    assert image is not None
    assert (image.size, Image.MAX_IMAGE_PIXELS) == ((30, 20), 1)
    image.close()
    (tmp_path / "b.png").write_bytes(b"what is this")
    assert open_with_pillow(tmp_path / "b.png") is None
    with pytest.raises(UnreadablePictureError, match="No such file"):
        open_with_pillow(tmp_path / "missing.png")


def test_reasons():
    assert reason(OSError("image file is truncated")) == "image file is truncated"
    assert reason(ValueError("two\n lines")) == "two lines"
    assert reason(MemoryError()) == "MemoryError"


def test_heic_without_its_library(tmp_path, monkeypatch):
    real = builtins.__import__

    def fake(name, *more):
        if name == "pillow_heif":
            raise ImportError
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(StudioError, match=r"HEIC picture.*pip install pillow-heif"):
        HeifPicture(tmp_path / "a.heic")
