"""What is asked of a clip, and the numbers of its report."""

import dataclasses
from pathlib import Path

import pytest
from rvm_studio.core.clips.options import ClipOptions, ClipReport, Output
from rvm_studio.core.errors import StudioError


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_share_between_nothing_and_all(share):
    assert ClipOptions(decontaminate=share).decontaminate == share


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), "1", None])
def test_another_share_is_refused(share):
    with pytest.raises(StudioError, match=r"decontaminate is .*; expected a number from 0 to 1"):
        ClipOptions(decontaminate=share)


def test_changed_options_are_checked_too():
    with pytest.raises(StudioError, match="decontaminate"):
        dataclasses.replace(ClipOptions(), decontaminate=2)


def test_the_defaults_overwrite_nothing_and_lose_nothing():
    options = ClipOptions()
    assert (options.overwrite, options.resume, options.premultiplied) == (False, False, False)
    assert (options.start, options.duration, options.keep_audio) == (0, None, True)
    assert (options.decontaminate, options.edges, options.background) == (1, None, "#00b140")
    assert not Output(Path("a.mov"), "matte").disposable


@pytest.mark.parametrize(
    ("frames", "resumed", "seconds", "rate"),
    [(48, 0, 2.0, 24.0), (48, 40, 2.0, 4.0), (0, 0, 0.0, 0.0), (5, 5, 1.0, 0.0)],
)
def test_the_speed_is_that_of_this_run(frames, resumed, seconds, rate):
    """Frames of an earlier run took none of its time."""
    report = ClipReport(Path("in.mp4"), frames=frames, resumed=resumed, seconds=seconds)
    assert report.frames_per_second == rate


def test_a_report_begins_with_nothing_done():
    report = ClipReport(Path("in.mp4"))
    assert (report.frames, report.resumed, report.seconds, report.stopped) == (0, 0, 0.0, False)
    assert report.frames_per_second == 0


def test_reports_share_no_lists():
    one, other = ClipReport(Path("a")), ClipReport(Path("b"))
    for name in ("outputs", "notes", "damage"):
        getattr(one, name).append("mine")
        assert getattr(other, name) == []
