"""A clip with frames of varying length, and two folders for its outputs."""

import pytest

VARYING = [3000 + 3600 * i + 700 * (i % 3) for i in range(24)]  # of 90000 a second


@pytest.fixture
def folders(tmp_path):
    """Two folders: one for the job without a stop, one for the resumed job."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "parts"


@pytest.fixture
def clip(tmp_path, make_clip):
    """24 frames of varying length, the first not at zero, with sound."""
    return make_clip(tmp_path / "in.mkv", (48, 32), 24, audio="aac", pts=VARYING, codec="ffv1", pix_fmt="bgr0")
