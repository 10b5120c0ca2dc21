"""What is found out about a clip before its first frame, and that ordinary clips are not read twice."""

from fractions import Fraction

import pytest
from rvm_studio.core.video import clip_scan
from rvm_studio.core.video.clip_scan import scan_clip
from rvm_studio.core.video.container import open_container, video_stream

from .flashing_clips import flashing_clip


def scan(path):
    with open_container(path) as container:
        return scan_clip(container, video_stream(container, path), path, Fraction(25))


def test_an_ordinary_clip_is_not_scanned(tmp_path, monkeypatch):
    path = flashing_clip(tmp_path / "a.mp4", 1)
    monkeypatch.setattr(clip_scan, "open_to_read", lambda path: pytest.fail("it was opened again"))
    found = scan(path)
    assert (found.clock.rate, found.frames, found.sizes) == (25, None, set())


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".flv"])
def test_frames_and_sizes(tmp_path, suffix):
    found = scan(flashing_clip(tmp_path / f"a{suffix}", 1.2, Fraction(24000, 1001)))
    assert found.frames == 29
    assert found.clock.rate == Fraction(24000, 1001)
    assert found.clock.is_constant
    assert found.sizes <= {(48, 64)}


def test_a_file_without_an_end_is_scanned_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_scan, "_MOST_BYTES", 1000)
    found = scan(flashing_clip(tmp_path / "a.mkv", 2))
    assert found.frames is None
