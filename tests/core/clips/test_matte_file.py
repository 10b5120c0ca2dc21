"""`matte`: a clip in one call, by the command line's path. The engine's matte is known: alpha is red."""

import dataclasses
import inspect
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import ClipOptions, ClipReport, EdgeOptions, StudioError, matte, open_reader
from rvm_studio.core.engines import loading as engine_loading


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(make_clip):
    return make_clip("clip.mp4", size=(64, 48), frames=6)


def frames_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def test_the_files_are_the_command_lines(clip, red_studio, red_engine):
    """To the byte, which x264 does not promise: from run to run it may differ, even for identical pictures."""
    options = {"background": "white", "quality": 9, "downsample_ratio": 0.5}
    report = matte(clip, "a/cut.mkv", alpha="a/alpha.mkv", foreground="a/fgr.mkv", engine=red_engine, **options)
    assert red_studio(
        *("matte", clip, "-o", "b/cut.mkv", "--alpha", "b/alpha.mkv", "--foreground", "b/fgr.mkv"),
        *("--background", "white", "--quality", "9", "--downsample", "0.5"),
    ).code == 0  # fmt: skip
    assert report.outputs == [Path("a/cut.mkv"), Path("a/alpha.mkv"), Path("a/fgr.mkv")]
    for path in report.outputs:
        first, second = frames_of(path), frames_of(Path("b") / path.name)
        assert len(first) == report.frames == 6
        assert np.array_equal(first, second)
        assert path.stat().st_size == (Path("b") / path.name).stat().st_size


def test_several_outputs_show_what_their_formats_can(clip, red_engine):
    matte(clip, ["cut.mkv", Path("green.mkv")], engine=red_engine, background="#00b140")
    matte(clip, ["cut.mov", Path("green.mp4")], engine=red_engine)
    assert frames_of("cut.mkv")[0][0, 0].tolist() == [0, 177, 64]  # over the background: one was given
    assert np.abs(frames_of("green.mp4")[0][:8, :6].mean((0, 1)) - [0, 177, 64]).max() < 6
    with av.open("cut.mov") as container:
        assert container.streams.video[0].codec_context.pix_fmt.startswith("yuva444p")


def test_a_folder_and_a_format(clip, red_engine, in_folder):
    Image.new("RGB", (32, 24), "red").save("still.png")
    assert matte(Path(clip), "out/", engine=red_engine).outputs == [Path("out/clip.mov")]
    assert matte(clip, "out", format="webm", alpha="out", engine=red_engine).outputs == [
        Path("out/clip.webm"),
        Path("out/clip_alpha.mp4"),
    ]
    assert matte("still.png", Path("out"), engine=red_engine).outputs == [Path("out/still.png")]


def test_a_background_of_every_kind(clip, red_engine):
    Image.new("RGB", (64, 48), (10, 200, 30)).save("wall.png")
    for what in ("wall.png", Path("wall.png"), torch.tensor([10, 200, 30], dtype=torch.uint8).view(1, 3, 1, 1)):
        matte(clip, "cut.mkv", background=what, engine=red_engine, overwrite=True)
        assert frames_of("cut.mkv")[0][0, 0].tolist() == [10, 200, 30]


def test_progress_stop_and_resume(clip, red_engine):
    seen = []
    report = matte(
        clip,
        "cut.mov",
        engine=red_engine,
        warm_up=0,
        progress=lambda done, total: seen.append((done, total)),
        stopped=lambda: len(seen) == 2,
    )
    assert seen == [(1, 6), (2, 6)]
    assert (report.stopped, report.outputs) == (True, [Path("cut.partial.mov")])
    report = matte(clip, "cut.mov", engine=red_engine, warm_up=0, resume=True)
    assert (report.stopped, report.frames, report.resumed) == (False, 6, 2)


def test_the_clips_options_arrive(clip, red_engine, monkeypatch):
    seen = []

    def matte_clip(*given, **_):
        seen.append(given)
        return ClipReport(given[0])

    monkeypatch.setattr("rvm_studio.core.clips.matte_clip.matte_clip", matte_clip)
    given = {
        "premultiplied": True,
        "quality": 3.0,
        "codec": "prores-hq",
        "bitrate": 8_000_000,
        "view_lut": Path("log.cube"),
        "overwrite": True,
        "frame_rate": 29.97,
        "start": 0.5,
        "duration": 2,
        "keep_audio": False,
        "edges": EdgeOptions(grow=1),
        "decontaminate": 0.5,
        "resume": True,
        "hwaccel": "auto",
        "cfr": Fraction(25),
        "deinterlace": "field",
    }
    matte(clip, "cut.mov", preview="sheet.png", background="white", engine=red_engine, **given)
    matte(clip, "cut.mov", engine=red_engine, scene_cut=True, chunk=3, warm_up=2, downsample_ratio="portrait")
    expected = given | {"preview": Path("sheet.png"), "background": "white", "frame_rate": Fraction(2997, 100)}
    arrived = dataclasses.asdict(seen[0][3]) | {"edges": given["edges"]}
    assert {name: arrived[name] for name in expected} == expected
    assert seen[1][3] == ClipOptions()
    session = seen[1][2]
    assert (session.scene_cut, session.chunk_for(9, 9), session.warm_up) == (0.4, 3, 2)
    assert session.downsample_ratio == "portrait"


def test_every_option_of_a_clip_is_one_of_the_call():
    parameters = inspect.signature(matte).parameters
    for field in dataclasses.fields(ClipOptions):
        assert field.name in parameters, f"matte lacks the option {field.name}"
        if field.name != "background":
            assert parameters[field.name].default == field.default


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("gone.mp4", "cut.mov"), {}, "gone.mp4 does not exist"),
        (("text.mp4", "cut.mov"), {}, "text.mp4 cannot be opened as a video"),
        (("rtsp://example.com/a.mp4", "cut.mov"), {}, "rtsp://example.com/a.mp4 is a URL"),
        (("clip.mp4",), {}, "There is nothing to write"),
        (("clip.mp4", []), {}, "There is nothing to write"),
        (("clip.mp4", "cut.xyz"), {}, "'.xyz', which is not a known format"),
        (("clip.mp4", "cut.mov"), {"format": "webm"}, "contradict each other"),
        (("clip.mp4", "cut.mov"), {"preview": "sheet.mov"}, "The contact sheet sheet.mov is a picture"),
        (("clip.mp4", "cut.mov"), {"frame_rate": "fast"}, "The frame rate is fast"),
        (("clip.mp4", "cut.mov"), {"frame_rate": 0}, "The frame rate is 0"),
        (("clip.mp4", "cut.mov"), {"background": "grren"}, "'grren' is neither a colour nor a file"),
        (("clip.mp4", "cut.mov"), {"downsample_ratio": "big"}, "Unknown downsample ratio 'big'"),
        (("clip.mp4", "cut.mov"), {"decontaminate": 2}, "decontaminate"),
    ],
)
def test_what_cannot_be_is_refused_before_the_network_loads(clip, arguments, options, says, monkeypatch, in_folder):
    Path("text.mp4").write_text("no video")
    before = sorted(in_folder.rglob("*"))
    monkeypatch.setattr(engine_loading, "load", lambda *_, **__: pytest.fail("the network was loaded"))
    with pytest.raises(StudioError, match=r"\S") as caught:
        matte(*arguments, **options)
    assert says in str(caught.value)
    assert sorted(in_folder.rglob("*")) == before


def test_a_missing_clip_is_named_without_pytorch():
    code = (
        "import sys, rvm_studio\n"
        "try: rvm_studio.matte('gone.mp4', 'cut.mov')\n"
        "except rvm_studio.StudioError as error: print(error, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("gone.mp4 does not exist")
    assert done.stdout.endswith("False\n")


def test_a_ready_engine_is_not_loaded_again(clip, red_engine):
    for options in (
        {"variant": "resnet50"},
        {"weights": "x"},
        {"device": "cpu"},
        {"precision": "fp32"},
        {"threads": 1},
    ):
        with pytest.raises(StudioError, match=r"give them to load\(\)"):
            matte(clip, "cut.mov", engine=red_engine, **options)


def test_the_engine_is_loaded_as_asked_for(clip, red_engine, monkeypatch):
    seen = []

    def load(*given, **options):
        seen.append((*given, options))
        return red_engine

    monkeypatch.setattr(engine_loading, "load", load)
    matte(clip, "a.mov")
    matte(clip, "b.mov", variant="resnet50", weights="w", device="cpu", engine="eager", precision="fp32", threads=1)
    unsaid = {"refiner": "auto", "mirror": None}
    assert seen == [
        ("mobilenetv3", None, "auto", "auto", "auto", {"threads": None, **unsaid}),
        ("resnet50", "w", "cpu", "eager", "fp32", {"threads": 1, **unsaid}),
    ]
