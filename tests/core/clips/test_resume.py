"""Stopped and resumed jobs against uninterrupted ones: frames, times and sound, bit for bit."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, can_resume, matte_clip
from rvm_studio.core.clips.resume import stopped_outputs
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.stream.session import MattingSession

from .resumed_jobs import Remembering, names, outputs_in, raw, run, sound


def tags(path: Path) -> dict:
    """The container's durations, frame count and metadata."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        lengths = {"length": container.duration, "picture": stream.duration, "frames": stream.frames}
        return {**lengths, **container.metadata, **{f"video {k}": v for k, v in stream.metadata.items()}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("o.mov", "matte"),
        ("o.mov", "foreground"),
        ("o.mov", "alpha"),
        ("o.mkv", "matte"),
        ("o.mkv", "composite"),
        ("o.webm", "matte"),
        ("o.webm", "alpha"),
        ("o.png", "matte"),
        ("frames/o_%03d.png", "matte"),
    ],
)
@pytest.mark.parametrize(("limit", "done"), [(4 + 1, 3), (4 + 5, 15)])
def test_a_job_gone_on_with_is_as_one_without_a_stop(folders, clip, name, kind, limit, done):
    """Four runs are the warm-up; chunks of 3."""
    whole, parts = (outputs_in(folder, (name, kind)) for folder in folders)
    settings = {"chunk": 3, "warm_up": 4}
    expected, _ = run(clip, whole, **settings)
    stopped, _ = run(clip, parts, limit=limit, **settings)
    assert (stopped.stopped, stopped.frames) == (True, done)
    assert stopped.notes[0] == f"a resumed run will continue at frame {done}"
    assert stopped.notes[1:] == expected.notes  # about the sound
    calls = []
    engine = Remembering()
    session = MattingSession(engine, **settings)
    report = matte_clip(
        clip, parts, session, ClipOptions(resume=True), on_progress=lambda done, total: calls.append((done, total))
    )
    assert (report.stopped, report.frames, report.resumed) == (False, 24, done)
    assert report.notes == [f"resumed at frame {done}", *expected.notes]
    assert engine.runs == (24 - done) / 3
    assert [n for n, _ in calls] == list(range(done, 25, 3))
    assert len(raw(report.outputs[0])) == 24
    assert raw(report.outputs[0]) == raw(expected.outputs[0])
    if name.endswith("png"):
        times = [next(path.outputs[0].glob("*timestamps.json")).read_bytes() for path in (report, expected)]
        assert times[0] == times[1]
    else:
        assert sound(report.outputs[0]) == sound(expected.outputs[0])
        assert tags(report.outputs[0]) == tags(expected.outputs[0])
        assert (kind == "alpha") == (sound(report.outputs[0]) == [])
    assert names(folders[1]) == names(folders[0])
    assert not [path for path in folders[1].rglob("*") if "partial" in path.name]


def test_the_partial_file_plays_as_without_a_record(folders, clip):
    parts = outputs_in(folders[1], ("o.mov", "matte"))
    run(clip, parts, limit=7)
    assert names(folders[1]) == ["o.partial.mov", "o.partial.mov.safetensors"]
    assert len(raw(folders[1] / "o.partial.mov")) == 7
    assert sound(folders[1] / "o.partial.mov")


def test_gone_on_with_twice_and_with_several_outputs(folders, clip):
    wanted = [("m.mov", "matte"), ("c.mkv", "composite"), ("a.png", "alpha"), ("f.webm", "alpha")]
    options = {"background": torch.rand(5, 3, 8, 12), "edges": EdgeOptions(grow=1.5), "decontaminate": 0.5}
    whole, parts = (outputs_in(folder, *wanted) for folder in folders)
    run(clip, whole, ClipOptions(**options))
    run(clip, parts, ClipOptions(**options), limit=5)
    again, _ = run(clip, parts, ClipOptions(**options, resume=True), limit=6)
    assert (again.stopped, again.frames, again.resumed) == (True, 11, 5)
    left = ["a.#5d.png.partial", "c.partial.mkv", "f.partial.webm", "m.partial.mov", "m.partial.mov.safetensors"]
    assert names(folders[1]) == left
    assert len(raw(folders[1] / "m.partial.mov")) == 11
    last, _ = run(clip, parts, ClipOptions(**options, resume=True))
    assert (last.frames, last.resumed) == (24, 11)
    assert names(folders[1]) == names(folders[0]) == ["a", "c.mkv", "f.webm", "m.mov"]
    for name in names(folders[0]):
        assert raw(folders[1] / name) == raw(folders[0] / name), name
    for name in ("c.mkv", "m.mov"):
        assert sound(folders[1] / name) == sound(folders[0] / name) != []


def test_sound_that_is_encoded_again(folders, tmp_path, make_clip):
    clip = make_clip(tmp_path / "in.mp4", (48, 32), 24, audio="aac")
    whole, parts = (outputs_in(folder, ("o.webm", "matte")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=10)
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed == 10
    assert sound(parts[0].path) == sound(whole[0].path) != []
    assert raw(parts[0].path) == raw(whole[0].path)


def test_a_picture_before_zero(folders, tmp_path):
    """Matroska may contain such times; picture and sound are moved to zero."""
    clip = tmp_path / "early.mkv"
    with av.open(str(clip), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 20 * index, np.uint8), format="rgb24")
            frame.pts = index - 3
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole, parts = (outputs_in(folder, ("o.mov", "matte")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=2)
    run(clip, parts, ClipOptions(resume=True))
    assert raw(parts[0].path) == raw(whole[0].path)
    assert raw(parts[0].path)[0][0] == 0


def test_a_trimmed_clip(folders, clip):
    options = {"start": 0.3, "duration": 0.5}
    whole, parts = (outputs_in(folder, ("o.mov", "matte")) for folder in folders)
    expected, _ = run(clip, whole, ClipOptions(**options))
    run(clip, parts, ClipOptions(**options), limit=4)
    report, _ = run(clip, parts, ClipOptions(**options, resume=True))
    assert (report.frames, report.resumed) == (expected.frames, 4)
    assert raw(parts[0].path) == raw(whole[0].path)
    assert sound(parts[0].path) == sound(whole[0].path) != []


def test_a_sequence_with_a_gap(folders, tmp_path):
    shots = tmp_path / "shots"
    shots.mkdir()
    for number in (8, 9, 10, 11, 14, 99, 100, 101):
        Image.fromarray(np.full((20, 30, 3), number, np.uint8)).save(shots / f"s_{number}.png")
    whole, parts = (outputs_in(folder, ("n_%02d.png", "matte")) for folder in folders)
    run(shots, whole)
    run(shots, parts, limit=6)
    report, _ = run(shots, parts, ClipOptions(resume=True))
    assert report.resumed == 6
    assert names(folders[1]) == names(folders[0])
    assert raw(folders[1]) == raw(folders[0])


def test_scene_cuts_and_the_real_network(folders, tmp_path, one_thread):
    """Stopped within a chunk, between the frames of one scene and the warm-up of the next."""
    shots = tmp_path / "shots"
    shots.mkdir()
    y, x = np.mgrid[0:64, 0:96]
    scenes = [np.sin(x / 9) * np.cos(y / 7), np.cos(x / 5 - y / 11), np.sin(x * y / 300)]
    for index in range(16):
        texture = scenes[(index >= 7) + (index >= 13)]
        Image.fromarray(np.uint8(120 + 50 * texture + index)).convert("RGB").save(shots / f"{index:02d}.png")
    torch.manual_seed(0)
    network = MattingNetwork().eval()
    runs: list[int] = []  # how many frames each had

    def session(limit):
        made = MattingSession(network, device="cpu", chunk=4, scene_cut=True, warm_up=3)
        engine_run = made.engine.run

        def counted(frames, *args, **options):
            runs.append(len(frames))
            return engine_run(frames, *args, **options)

        made.engine.run = counted
        made.stopped = lambda: len(runs) >= limit
        return made

    whole, parts = (outputs_in(folder, ("o.mkv", "matte")) for folder in folders)
    expected = matte_clip(shots, whole, session(10**9))
    assert runs == [1, 1, 1, 4, 3, 1, 1, 1, 1, 4, 1, 1, 1, 1, 3]
    in_one, runs[:] = list(runs), []
    stopped = matte_clip(shots, parts, session(6))  # one of the second scene's warm-up
    assert (stopped.frames, len(runs)) == (7, 6)
    runs.clear()
    report = matte_clip(shots, parts, session(10**9), ClipOptions(resume=True))
    assert runs == in_one[5:]
    assert report.resumed == 7
    assert "scene cuts at frames 7, 13" in report.notes
    assert "scene cuts at frames 7, 13" in expected.notes
    assert raw(parts[0].path) == raw(whole[0].path)


def test_previews_show_the_rest_and_hinder_nothing(folders, clip):
    whole = outputs_in(folders[0], ("o.mov", "matte"), ("p.mp4", "preview"))
    run(clip, whole)
    run(clip, outputs_in(folders[1], ("o.mov", "matte"), ("first.mp4", "preview")), limit=10)
    assert not (folders[1] / "first.partial.mp4").exists()  # a stopped preview is not kept
    report, _ = run(
        clip, outputs_in(folders[1], ("o.mov", "matte"), ("second.mp4", "preview")), ClipOptions(resume=True)
    )
    assert report.resumed == 10
    assert raw(folders[1] / "o.mov") == raw(folders[0] / "o.mov")
    times = [time for time, _ in raw(folders[1] / "second.mp4")]
    assert len(times) == 14
    assert times[0] == 0


def test_a_carried_state_is_part_of_the_job(folders, clip, tmp_path, make_clip):
    before = make_clip(tmp_path / "before.mkv", (48, 32), 3, codec="ffv1", pix_fmt="bgr0")
    _, session = run(before, outputs_in(tmp_path, ("before.png", "alpha")))
    state = session.state
    whole, parts = (outputs_in(folder, ("o.mkv", "alpha")) for folder in folders)
    run(clip, whole, state=state)
    run(clip, parts, state=state, limit=9)
    report, session = run(clip, parts, ClipOptions(resume=True), state=state)
    assert report.resumed == 9
    assert session.state.frame_count == 27
    assert raw(parts[0].path) == raw(whole[0].path)
    parts = outputs_in(folders[1], ("p.mkv", "alpha"))
    run(clip, parts, state=state, limit=9)
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.notes[0] == "started over: changed since then: the state before"


# Finding stopped jobs


def test_stopped_jobs_are_found_by_their_records(folders, clip, tmp_path, make_clip):
    other = make_clip(tmp_path / "other.mkv", (48, 32), 24, codec="ffv1", pix_fmt="bgr0")
    folder = folders[1]
    assert stopped_outputs(folder) == []
    for name in ("R_00001_.mov", "R_00002_.png"):
        run(clip, outputs_in(folder, (name, "matte")), limit=6)
    run(other, outputs_in(folder, ("R_00003_.mov", "matte")), limit=6)
    (folder / "x.partial.mov.safetensors").write_text("no record")
    found = [folder / name for name in ("R_00001_.mov", "R_00002_.png", "R_00003_.mov")]
    assert sorted(stopped_outputs(folder)) == found
    session = MattingSession(Remembering())
    fitting = [path for path in found if can_resume(clip, [Output(path, "matte")], session)]
    assert fitting == found[:2]
    assert can_resume(other, [Output(found[2], "matte"), Output(folder / "any.mp4", "preview")], session)
    assert not can_resume(other, [Output(found[2], "foreground")], session)
    assert not can_resume(other, [Output(folder / "none.mov", "matte")], session)
    assert session.engine.runs == 0
