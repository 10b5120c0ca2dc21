"""Progress in its forms."""

import json
import re
from types import SimpleNamespace

from rvm_studio.core.cli import progress as progress_module
from rvm_studio.core.cli.progress import make_progress


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setitem(progress_module.SECONDS_BETWEEN_LINES, "plain", 0)
    with make_progress("auto", "clip.mp4") as progress:
        progress(5, 20)
        progress(10, 20)
        progress(12, None)
        progress(25, 20)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "clip.mp4: 5/20 frames (25 %)"  # no speed yet: before it lay the warm-up
    assert re.fullmatch(r"clip\.mp4: 10/20 frames \(50 %\), [\d.]+ fps, \d\d:\d\d left", lines[1])
    assert re.fullmatch(r"clip\.mp4: 12 frames, [\d.]+ fps", lines[2])
    assert re.fullmatch(r"clip\.mp4: 25 frames, [\d.]+ fps", lines[3])  # more than the container had said


def test_few_lines_but_always_the_last(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: 1.0))  # all within one second
    with make_progress("plain", "clip.mp4") as progress:
        for done in range(1, 101):
            progress(done, 100)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_json_is_one_object_a_line(capsys, monkeypatch):
    monkeypatch.setitem(progress_module.SECONDS_BETWEEN_LINES, "json", 0)
    with make_progress("json", "clip.mp4") as progress:
        progress(5, 20)
        progress(20, 20)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["frames"], event["total"]) for event in events] == [(5, 20), (20, 20)]
    assert (events[0]["fps"], events[0]["seconds_left"]) == (None, None)
    assert events[1]["seconds_left"] == 0
    assert events[1]["fps"] > 0


def test_the_speed_leaves_the_warm_up_out(capsys, monkeypatch):
    """100 s of warming up, then 10 frames a second."""
    now = iter([0.0, 100.0, 100.0, 101.0])
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    progress = make_progress("json", "clip.mp4")
    progress(1, 31)
    progress(11, 31)
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["fps"] == 10
    assert event["seconds_left"] == 2


def test_the_bar_and_silence(capsys):
    with make_progress("bar", "clip.mp4") as progress:
        progress(5, 20)
        progress(20, 20)
    assert "/20 [" in capsys.readouterr().err
    with make_progress("none", "clip.mp4") as progress:
        progress(5, 20)
    assert capsys.readouterr() == ("", "")
