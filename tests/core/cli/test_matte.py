"""`rvm-studio matte` as people use it. The engine's matte is known: alpha is red."""

import json
import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.cli.matte import print_report
from rvm_studio.core.clips.matte_clip import ClipReport

from .matte_results import files, frames_of, the_error

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.mark.parametrize("suffix", ["mov", "webm", "mkv", "apng", "webp", "mp4"])
def test_every_suffix(red_studio, clip, suffix):
    code, out, err = red_studio("matte", clip, "-o", f"out.{suffix}")
    assert code == 0
    assert files() == ["clip.mp4", f"out.{suffix}"]
    assert out.splitlines()[0].startswith("clip.mp4: matted 6 frames in ")
    assert f"  out.{suffix}" in out.splitlines()
    assert "clip.mp4: 6/6 frames (100 %)" in err
    if suffix == "webp":  # libav reads no animated WebP
        assert Image.open("out.webp").n_frames == 6
    else:
        assert len(frames_of(f"out.{suffix}")) == 6


def test_png_is_a_folder_of_pictures(red_studio, clip):
    code, out, _ = red_studio("matte", clip, "-o", "out.png")
    assert code == 0
    assert files() == ["clip.mp4", *(f"out/{number:05d}.png" for number in range(6)), "out/timestamps.json"]
    assert "  out\n" in out
    assert Image.open("out/00003.png").mode == "RGBA"


def test_all_outputs_and_a_preview(red_studio, clip):
    code, out, _ = red_studio(
        "matte", clip, "-o", "m.mkv", "--alpha", "a.mkv", "--foreground", "f.mkv", "--preview", "p.png"
    )
    assert code == 0
    assert files() == ["a.mkv", "clip.mp4", "f.mkv", "m.mkv", "p.png"]
    assert out.splitlines()[1:] == ["  m.mkv", "  a.mkv", "  f.mkv", "  p.png"]
    source = frames_of(clip)
    assert np.array_equal(frames_of("a.mkv")[2][..., 0], source[2][..., 0])
    assert np.array_equal(frames_of("f.mkv")[2], source[2] * (source[2][..., :1] > 0))


def test_mp4_without_a_background_is_green_and_says_so(red_studio, clip):
    code, _, err = red_studio("matte", clip, "-o", "out.mp4")
    assert code == 0
    assert err.startswith("note: .mp4 has no transparency: the background will be green (see --background)\n")
    corner = frames_of("out.mp4")[0][:8, :6].mean((0, 1))  # red, and so alpha, is 0 there
    assert np.abs(corner - [0, 177, 64]).max() < 6


@pytest.mark.parametrize(("background", "corner"), [("#204080", (32, 64, 128)), ("wall.png", (10, 200, 30))])
def test_background(red_studio, clip, background, corner):
    """A background makes a composite, in formats with transparency too."""
    Image.new("RGB", (5, 5), (10, 200, 30)).save("wall.png")
    code, _, err = red_studio("matte", clip, "-o", "out.mkv", "--background", background)
    assert code == 0
    assert "note" not in err
    assert frames_of("out.mkv")[0][0, 0].tolist() == list(corner)
    with av.open("out.mkv") as container:
        assert "alpha" not in str(container.metadata)


def test_premultiplied(red_studio, clip):
    assert red_studio("matte", clip, "-o", "out.mkv", "--premultiplied").code == 0
    with av.open("out.mkv") as container:
        assert container.metadata["COMMENT"] == "alpha: premultiplied"


def test_quality_makes_files_larger_or_smaller(red_studio, make_clip):
    clip = make_clip("big.mp4", size=(320, 240), frames=3)
    for quality in ("1", "40"):
        assert red_studio("matte", clip, "-o", f"q{quality}.mp4", "--quality", quality).code == 0
    assert Path("q1.mp4").stat().st_size > 2 * Path("q40.mp4").stat().st_size


def test_overwrite(red_studio, clip):
    Path("out.mov").write_text("mine")
    Path("sheet.png").write_text("mine")
    line = the_error(red_studio("matte", clip, "-o", "out.mov"))
    assert line.endswith("out.mov exists already. Use --overwrite, or choose another name.")
    assert "sheet.png exists already" in the_error(red_studio("matte", clip, "-o", "b.mov", "--preview", "sheet.png"))
    assert Path("out.mov").read_text() == Path("sheet.png").read_text() == "mine"
    assert files() == ["clip.mp4", "out.mov", "sheet.png"]
    assert red_studio("matte", clip, "-o", "out.mov", "--preview", "sheet.png", "--overwrite").code == 0
    assert len(frames_of("out.mov")) == 6
    assert Image.open("sheet.png").size[0] > 100


def test_quiet_says_nothing(red_studio, clip):
    assert red_studio("matte", clip, "-o", "out.mp4", "--quiet") == (0, "", "")
    assert "exists already" in the_error(red_studio("matte", clip, "-o", "out.mp4", "--quiet"))


def test_the_options_reach_the_session_and_the_reader(red_studio, clip, monkeypatch):
    seen = {}

    def matte_clip(source, outputs, session, options, **_):
        seen.update(ratio=session.downsample_ratio, warm_up=session.warm_up, chunk=session.chunk_for(9, 9))
        seen.update(cut=session._detector and session._detector.threshold, rate=options.frame_rate)
        return ClipReport(Path(source))

    monkeypatch.setattr("rvm_studio.core.clips.matte_clip.matte_clip", matte_clip)
    red_studio("matte", clip, "-o", "a.mov")
    assert seen == {"ratio": "auto", "warm_up": 12, "chunk": 1, "cut": None, "rate": None}
    options = ["--downsample", "0.5", "--warm-up", "0", "--chunk", "3", "--fps", "30000/1001", "--scene-cut"]
    red_studio("matte", clip, "-o", "a.mov", *options)
    assert seen == {"ratio": 0.5, "warm_up": 0, "chunk": 3, "cut": 0.4, "rate": pytest.approx(29.97, abs=1e-3)}
    red_studio("matte", clip, "-o", "a.mov", "--downsample", "full_body", "--scene-cut", "0.7")
    assert (seen["ratio"], seen["cut"]) == ("full_body", 0.7)


# JSON


def test_json_lines(red_studio, clip, monkeypatch):
    monkeypatch.setitem(sys.modules["rvm_studio.core.cli.progress"].SECONDS_BETWEEN_LINES, "json", 0)
    Path("text.mp4").write_text("no video")
    code, out, err = red_studio("matte", "text.mp4", "clip.mp4", "-o", "out", "--json", "--preview", "out")
    assert code == 1
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["error", *["progress"] * 6, "done"]
    assert events[0]["input"] == "text.mp4"
    assert err == f"rvm-studio: {events[0]['message']}\n"
    assert [(event["input"], event["frames"], event["total"]) for event in events[1:7]] == [
        ("clip.mp4", number, 6) for number in range(1, 7)
    ]
    done = events[-1]
    assert done["outputs"] == [str(Path("out/clip.mov")), str(Path("out/clip_sheet.png"))]
    assert (done["input"], done["frames"], done["notes"], done["damage"]) == ("clip.mp4", 6, [], [])
    assert done["fps"] == pytest.approx(6 / done["seconds"], rel=0.05)


def test_the_events_are_in_the_help(red_studio):
    out = red_studio("matte", "--help").out
    for event in ("progress", "done", "stopped", "error"):
        assert re.search(rf"^  {event}  +\w", out, re.MULTILINE)


def test_notes_of_a_clip_are_printed(capsys):
    print_report(ClipReport(Path("a.mp4"), [Path("a.png")], 3, 2.0, ["the audio is not copied"]))
    assert capsys.readouterr().out == (
        "a.mp4: matted 3 frames in 2.0 s (1.5 fps)\n  a.png\n  note: the audio is not copied\n"
    )
