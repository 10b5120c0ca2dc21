"""Clips that are stopped or fail on the way: what is kept, and what is left open."""

import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
from rvm_studio.core.engines import Engine
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.writer import FrameWriter

from .matted_clips import Counting, Remembering, audio_of, decoded, names


def test_stopping_keeps_a_playable_partial_file(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=40, audio="aac")
    stop = threading.Event()
    outputs = [Output(tmp_path / "out.mov", "matte"), Output(tmp_path / "out.mp4", "composite")]

    def progress(done, total):
        if done == 12:
            stop.set()

    report = matte_clip(source, outputs, MattingSession(red_engine), on_progress=progress, stopped=stop.is_set)
    assert report.stopped
    assert report.frames == 12
    assert names(tmp_path) == ["in.mp4", "out.partial.mov", "out.partial.mp4"]
    for path in report.outputs:
        assert len(decoded(path)) == 12
        assert audio_of(path)[-1][1] < 12 / 25 + 0.1


def test_no_run_of_the_engine_follows_a_stop(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=20)
    for limit, frames in ((0, 0), (1, 0), (4, 0), (5, 1), (9, 5)):
        engine = Counting(red_engine, limit)
        session = MattingSession(engine, warm_up=4)
        before = session.stopped
        report = matte_clip(source, [Output(tmp_path / "out.mov", "matte")], session, stopped=engine.stopped)
        assert (report.stopped, report.frames, engine.runs) == (True, frames, limit)
        assert session.stopped is before
        left = ["out.partial.mov", "out.partial.mov.safetensors"] if frames else []
        assert names(tmp_path) == ["in.mp4", *left]
        if frames:
            assert len(decoded(tmp_path / "out.partial.mov")) == frames


def test_a_stop_within_a_chunk_keeps_the_frames_before_the_cut(tmp_path):
    """A chunk of 6 with a cut at its fourth frame: the new scene's warm-up is stopped, the three frames are kept."""
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:96]
    for index, texture in enumerate([np.sin(x / 9) * np.cos(y / 7)] * 3 + [np.cos(x / 5 - y / 11)] * 3):
        Image.fromarray(np.uint8(120 + 50 * texture)).convert("RGB").save(folder / f"{index:02d}.png")
    engine = Counting(Remembering(), 2 + 1 + 1)
    session = MattingSession(engine, chunk=6, scene_cut=True, warm_up=2)
    report = matte_clip(folder, [Output(tmp_path / "o.mkv", "alpha")], session, stopped=engine.stopped)
    assert (report.stopped, report.frames, engine.runs, session.cuts) == (True, 3, 4, [])
    assert len(decoded(tmp_path / "o.partial.mkv")) == 3


class Failing(Engine):
    """An engine that raises `error` at run number `at`, counted from 0."""

    def __init__(self, engine, at, error):
        self.engine, self.left, self.error = engine, at, error
        self.name, self.variant, self.device, self.dtype = engine.name, engine.variant, engine.device, engine.dtype

    def run(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.engine.run(*args, **kwargs)


def test_a_fault_in_the_middle_keeps_what_was_done_and_says_so(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=20)
    engine = Failing(red_engine, 9, StudioError("The card fell out."))
    with pytest.raises(
        StudioError, match=r"The card fell out\. The finished part \(9 frames\) is kept in .*out\.partial\.mov"
    ):
        matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(engine, chunk=1))
    assert len(decoded(tmp_path / "out.partial.mov")) == 9
    left = ["in.mp4", "out.partial.mov", "out.partial.mov.safetensors"]
    assert names(tmp_path) == left
    engine = Failing(red_engine, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        matte_clip(source, [Output(tmp_path / "none.mov", "matte")], MattingSession(engine, chunk=1))
    assert names(tmp_path) == left


def test_a_damaged_clip_is_matted_as_far_as_it_can_be_read(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", size=(320, 240), frames=40, audio="aac")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    source.write_bytes(data)
    report = matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(red_engine))
    assert report.damage
    assert 10 < report.frames <= 40
    assert len(decoded(tmp_path / "out.mov")) == report.frames


def test_threads_end_with_the_clip(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=30)
    before = threading.active_count()
    matte_clip(source, [Output(tmp_path / "a.mov", "matte")], MattingSession(red_engine))
    with pytest.raises(StudioError):
        matte_clip(
            source, [Output(tmp_path / "b.mov", "matte")], MattingSession(Failing(red_engine, 3, StudioError("x")))
        )
    assert threading.active_count() == before


def test_a_fault_while_finishing_keeps_the_outputs_that_are_done(tmp_path, make_clip, red_engine, monkeypatch):
    source = make_clip(tmp_path / "in.mp4", frames=5)
    finish = FrameWriter.finish

    def fail_on_mp4(writer):
        if writer.path.suffix == ".mp4":
            raise StudioError("The disk is full.")
        return finish(writer)

    monkeypatch.setattr(FrameWriter, "finish", fail_on_mp4)
    outputs = [Output(tmp_path / "out.mov", "matte"), Output(tmp_path / "out.mp4", "composite")]
    with pytest.raises(StudioError, match=r"disk is full.*kept in .*out\.mov, .*out\.partial\.mp4"):
        matte_clip(source, outputs, MattingSession(red_engine))
    assert names(tmp_path) == ["in.mp4", "out.mov", "out.partial.mp4"]
    assert len(decoded(tmp_path / "out.partial.mp4")) == 5


def test_a_contact_sheet_that_cannot_be_written_costs_nothing_else(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=5)
    options = ClipOptions(preview=source / "sheet.png")
    with pytest.raises(StudioError, match=r"sheet cannot be written .* The other files were written: .*out\.mov"):
        matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(red_engine), options)
    assert len(decoded(tmp_path / "out.mov")) == 5


def test_no_file_stays_open(tmp_path, make_clip, red_engine):
    source, behind = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "behind.mp4", frames=3)
    options = ClipOptions(background=str(behind))
    matte_clip(source, [Output(tmp_path / "out.mp4", "composite")], MattingSession(red_engine), options)
    failing = MattingSession(Failing(red_engine, 2, StudioError("x")))
    with pytest.raises(StudioError, match="x"):
        matte_clip(source, [Output(tmp_path / "b.mp4", "composite")], failing, options)
    assert not [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(tmp_path)]


def test_a_stop_completes_no_file_that_nobody_will_look_for(tmp_path, make_clip, red_engine, monkeypatch):
    """Completing a file flushes the encoder's look-ahead; cancelling should not wait for that."""
    clip = make_clip(tmp_path / "clip.mp4", frames=20)
    completed, kept = [], FrameWriter.abandon
    monkeypatch.setattr(
        FrameWriter,
        "abandon",
        lambda writer, keep, **how: completed.append((writer.path.name, keep)) or kept(writer, keep, **how),
    )
    outputs = [
        Output(tmp_path / "out" / "kept.mkv", "matte"),
        Output(tmp_path / "out" / "mix.mp4", "composite", disposable=True),
        Output(tmp_path / "out" / "small.mp4", "preview"),
    ]
    runs = []
    session = MattingSession(red_engine)
    report = matte_clip(clip, outputs, session, stopped=lambda: runs.append(1) or len(runs) > 5)
    assert report.stopped
    assert completed == [("kept.mkv", True), ("mix.mp4", False), ("small.mp4", False)]
    assert [path.name for path in report.outputs] == ["kept.partial.mkv"]
    left = {path.name for path in (tmp_path / "out").iterdir() if path.suffix not in (".safetensors", ".claim")}
    assert left == {"kept.partial.mkv"}
