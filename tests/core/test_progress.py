"""Progress in its forms."""

import json

from rvm_studio.core import progress as progress_module
from rvm_studio.core.progress import make_progress


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setitem(progress_module.SECONDS_BETWEEN_LINES, "plain", 0)
    with make_progress("auto", "clip.mp4") as progress:
        progress(5, 20)
        progress(7, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("clip.mp4: 5/20 frames (25 %)")
    assert lines[0].endswith("left")
    assert lines[1].startswith("clip.mp4: 7 frames")


def test_few_lines_but_always_the_last(capsys):
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
    assert events[1]["seconds_left"] == 0


def test_the_bar_and_silence(capsys):
    with make_progress("bar", "clip.mp4") as progress:
        progress(5, 20)
        progress(20, 20)
    assert "/20 [" in capsys.readouterr().err
    with make_progress("none", "clip.mp4") as progress:
        progress(5, 20)
    assert capsys.readouterr() == ("", "")
