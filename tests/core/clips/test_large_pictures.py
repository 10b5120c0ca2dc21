"""Clips of large pictures use less memory, with the same result."""

import dataclasses
from pathlib import Path

import pytest
from rvm_studio.core.clips import matte_clip as video_matting
from rvm_studio.core.clips.job import queue_length
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.reader import open_reader

from .resumed_jobs import outputs_in, raw, run


@pytest.mark.parametrize("scene_cut", [None, True])
def test_an_opening_that_is_decoded_apart_changes_nothing(folders, clip, monkeypatch, scene_cut):
    """As is done for 4K clips, to use less memory."""
    expected, session = run(clip, outputs_in(folders[0], ("o.mkv", "matte")), warm_up=5, scene_cut=scene_cut)
    monkeypatch.setattr(video_matting, "OPENING_BYTES", 0)
    report, apart = run(clip, outputs_in(folders[1], ("o.mkv", "matte")), warm_up=5, scene_cut=scene_cut)
    assert report.frames == expected.frames == 24
    assert apart.engine.runs == session.engine.runs
    assert raw(folders[1] / "o.mkv") == raw(folders[0] / "o.mkv")


@pytest.mark.parametrize(("size", "depth", "waiting"), [((1920, 1080), 8, 4), ((3840, 2160), 8, 1), ((16, 16), 16, 4)])
def test_large_pictures_wait_in_smaller_numbers(clip, size, depth, waiting):
    with open_reader(clip) as reader:
        info = dataclasses.replace(reader.info, width=size[0], height=size[1], bit_depth=depth)
    assert queue_length(info) == waiting


def test_a_large_h264_is_coded_with_less_memory():
    encoding = format_for(Path("o.mp4")).encoding_for("rgb", 1)
    large = encoding.options_for(None, 2160, 3840)
    assert large["rc-lookahead"] == "2"
    assert "bframes=1" in large["x264-params"]
    assert "rc-lookahead" not in encoding.options_for(None, 1080, 1920)
