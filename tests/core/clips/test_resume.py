"""Stopped and resumed jobs against uninterrupted ones: frames, times and sound, bit for bit."""

# T frames, H, W

import dataclasses
import hashlib
import importlib.util
import os
import pkgutil
import re
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import rvm_studio.core
import torch
from PIL import Image
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clips import checkpoints, resume
from rvm_studio.core.clips import matte_clip as video_matting
from rvm_studio.core.clips.job import queue_length
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, can_resume, matte_clip
from rvm_studio.core.clips.resume import stopped_outputs
from rvm_studio.core.engines import Engine, EngineOutput, build, choose
from rvm_studio.core.engines.choice import openvino_problem
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.container_file import ContainerFile
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

VARYING = [3000 + 3600 * i + 700 * (i % 3) for i in range(24)]  # of 90000 a second


class Remembering(Engine):
    """An engine whose alpha is red and a running mean of it: a wrong state shows in every frame. `limit` runs are
    made; then it asks for a stop, or raises `error`."""

    name, variant, device, dtype = "remembering", "mobilenetv3", torch.device("cpu"), torch.float32

    def __init__(self, limit=10**9, error=None):
        self.limit, self.error, self.runs = limit, error, 0

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        if self.error is not None and self.runs >= self.limit:
            raise self.error
        self.runs += 1
        src = to_float(frames)
        memory, alphas = (rec[0] if rec else torch.zeros(1, 1, 1, 1)), []
        for frame in src.split(1):
            memory = 0.7 * memory + 0.3 * frame[:, :1].mean()
            alphas.append((0.6 * frame[:, :1] + 0.4 * memory).clamp(0, 1))
        fgr = quantise(src, wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(torch.cat(alphas), wanted.out), (memory,) * 4)

    def stopped(self):
        return self.error is None and self.runs >= self.limit


def run(source, outputs, options=None, limit=10**9, *, error=None, state=None, **settings):
    """-> (report, session) of one run that stops after `limit` runs of the engine."""
    engine = Remembering(limit, error)
    session = MattingSession(engine, **settings)
    session.state = state
    return matte_clip(source, outputs, session, options or ClipOptions(), stopped=engine.stopped), session


def raw(path: Path) -> list[tuple[Fraction, str]]:
    """(time, digest of all planes) of every frame; of pictures (number, digest of the file)."""
    if path.is_dir():
        return [(name.name, hashlib.sha256(name.read_bytes()).hexdigest()) for name in sorted(path.glob("*.png"))]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # libav's own decoder drops alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [f for packet in container.demux(stream) for f in decoder.decode(packet if packet.size else None)]
        found = []
        for frame in frames:
            digest = hashlib.sha256(frame.format.name.encode())
            for plane in frame.planes:
                lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                deep = max(component.bits for component in frame.format.components) > 8
                packed = 4 if frame.format.name in ("bgra", "bgr0") else 1
                digest.update(lines[:, : plane.width * packed * (2 if deep else 1)].tobytes())
            found.append((frame.pts * stream.time_base, digest.hexdigest()))
        return found


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(container.streams.audio[0]) if p.size]


def tags(path: Path) -> dict:
    """What the container says."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        lengths = {"length": container.duration, "picture": stream.duration, "frames": stream.frames}
        return {**lengths, **container.metadata, **{f"video {k}": v for k, v in stream.metadata.items()}}


def names(folder: Path) -> list[str]:
    """But the claims on outputs, hidden files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


@pytest.fixture
def folders(tmp_path):
    """One folder for the job without a stop, one for the job with."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "parts"


@pytest.fixture
def clip(tmp_path, make_clip):
    """24 frames of varying length, the first not at zero, with sound."""
    return make_clip(tmp_path / "in.mkv", (48, 32), 24, audio="aac", pts=VARYING, codec="ffv1", pix_fmt="bgr0")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def outputs_in(folder: Path, *wanted: tuple[str, str]) -> list[Output]:
    return [Output(folder / name, kind) for name, kind in wanted]


# What can be resumed


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
    assert stopped.notes[1:] == expected.notes  # on the sound
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
    """Matroska may hold such times; picture and sound are moved."""
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
    assert not (folders[1] / "first.partial.mp4").exists()  # nobody would look for it
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


# What begins anew


def starts_over(report, reason: str, frames=24) -> None:
    assert (report.frames, report.resumed, report.stopped) == (frames, 0, False)
    assert report.notes[0].startswith("started over: ")
    assert reason in report.notes[0]


@pytest.mark.parametrize(
    ("options", "settings", "what"),
    [
        ({"quality": 5}, {}, "the quality"),
        ({"codec": "prores-4444xq"}, {}, "the codec"),
        ({"bitrate": 10**7}, {}, "the bitrate"),
        ({"premultiplied": True}, {}, "premultiplied"),
        ({"edges": EdgeOptions(grow=1)}, {}, "the edges"),
        ({"decontaminate": 0.5}, {}, "decontaminate"),
        ({"keep_audio": False}, {}, "the sound"),
        ({"start": 0.1}, {}, "its part"),
        ({"hwaccel": "auto"}, {}, "the decoder"),
        ({"background": "red"}, {}, "the background"),
        ({"background": torch.rand(2, 3, 4, 4)}, {}, "the background"),
        ({}, {"warm_up": 2}, "the warm-up"),
        ({}, {"scene_cut": 0.5}, "the scene cuts' threshold"),
        ({}, {"chunk": 2}, "the chunk"),
        ({}, {"downsample_ratio": 0.5}, "the downsample ratio"),
    ],
)
def test_another_job_starts_over(folders, clip, options, settings, what):
    wanted = [("o.mov", "matte"), ("c.mkv", "composite")]
    whole, parts = (outputs_in(folder, *wanted) for folder in folders)
    run(clip, parts, limit=6)
    report, _ = run(clip, parts, ClipOptions(**options, resume=True), **settings)
    expected, _ = run(clip, whole, ClipOptions(**options), **settings)
    starts_over(report, f"changed since then: {what}", expected.frames)
    assert raw(parts[0].path) == raw(whole[0].path)
    assert names(folders[1]) == names(folders[0])


def test_a_source_or_background_file_that_changed(folders, clip, tmp_path):
    behind = tmp_path / "behind.png"
    Image.new("RGB", (5, 5), "red").save(behind)
    parts = outputs_in(folders[1], ("c.mkv", "composite"))
    for changed, what in ((clip, "the clip"), (behind, "the background")):
        run(clip, parts, ClipOptions(background=str(behind), overwrite=True), limit=6)
        os.utime(changed, ns=(1, 10**18))
        report, _ = run(clip, parts, ClipOptions(background=str(behind), overwrite=True, resume=True))
        starts_over(report, f"changed since then: {what}")


def test_other_weights(folders, clip):
    parts = outputs_in(folders[1], ("o.mkv", "alpha"))
    reports = []
    for seed, again in ((0, False), (1, True)):
        torch.manual_seed(seed)
        session = MattingSession(MattingNetwork().eval(), device="cpu")
        asked = iter(range(100))
        limit = 100 if again else 3
        options = ClipOptions(resume=again)
        reports.append(matte_clip(clip, parts, session, options, stopped=lambda a=asked, n=limit: next(a) >= n))
    assert reports[0].frames == 3
    starts_over(reports[1], "changed since then: the weights")


def test_the_program_is_every_source_of_the_core(tmp_path, monkeypatch):
    """Found by another way than by the names of files: as Python finds modules to import."""
    core = Path(rvm_studio.core.__file__).parent
    names = [info.name for info in pkgutil.walk_packages(rvm_studio.core.__path__, "rvm_studio.core.")]
    sources = [Path(importlib.util.find_spec(name).origin) for name in ("rvm_studio.core", *names)]
    assert len(sources) > 80
    copy = tmp_path / "core"
    shutil.copytree(core, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "CORE", copy)
    program = resume._program.__wrapped__  # which keeps its answer
    before = program()
    assert before == program()
    for source in (copy / path.relative_to(core) for path in sources):
        text = source.read_bytes()
        source.write_bytes(text + b"\n")
        assert program() != before, f"{source} is changed"
        source.write_bytes(text)
    assert program() == before
    source = copy / sources[-1].relative_to(core)
    source.rename(source.with_name("another_name.py"))
    assert program() != before
    monkeypatch.undo()
    assert program() == before, "the sources are those that run"


def test_another_version_of_the_program(folders, clip, monkeypatch):
    parts = outputs_in(folders[1], ("o.mkv", "alpha"))
    run(clip, parts, limit=6)
    monkeypatch.setattr(resume, "_program", lambda: "newer")
    starts_over(run(clip, parts, ClipOptions(resume=True))[0], "changed since then: the program")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)


def change_a_time(path: Path) -> None:
    """A text of the header, with the tensors as they were: the frames would get wrong times."""
    changed, count = re.subn(rb'(last_pts\\*": \d*)\d', rb"\g<1>?", path.read_bytes())
    assert count == 1
    path.write_bytes(changed.replace(b"?", b"7"))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncate, "is damaged"),
        (flip, "is damaged"),
        (change_a_time, "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_text("{}"), "is damaged"),
        (lambda path: path.unlink(), "there is no record"),
    ],
)
def test_a_damaged_record(folders, clip, harm, reason):
    whole, parts = (outputs_in(folder, ("o.mov", "matte")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=6)
    harm(folders[1] / "o.partial.mov.safetensors")
    report, _ = run(clip, parts, ClipOptions(resume=True))
    starts_over(report, reason)
    assert raw(parts[0].path) == raw(whole[0].path)
    assert names(folders[1]) == ["o.mov"]


def garble(path: Path) -> None:
    """Of the same size as before."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("name", ["o.mov", "o.mkv"])
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (truncate, "has changed"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "has changed"),
        (garble, "cannot be read"),
    ],
)
def test_a_partial_file_that_was_changed(folders, clip, name, harm, reason):
    """Of the second of two outputs: both begin anew. What somebody has changed is not ours to remove."""
    whole, parts = (outputs_in(folder, ("a.mkv", "alpha"), (name, "matte")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=6)
    harm(folders[1] / f"o.partial{name[1:]}")
    report, _ = run(clip, parts, ClipOptions(resume=True))
    starts_over(report, reason)
    assert [raw(output.path) for output in parts] == [raw(output.path) for output in whole]
    changed = [] if reason == "is missing" else [f"o.partial{name[1:]}"]
    assert names(folders[1]) == sorted([*names(folders[0]), *changed])


def test_pictures_that_are_missing_or_too_many(folders, clip):
    whole, parts = (outputs_in(folder, ("o.png", "matte")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=6)
    partial = folders[1] / "o.#5d.png.partial"
    (partial / "00099.png").write_text("left by a run that was killed")
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed == 6
    assert names(folders[1]) == ["o"]
    assert raw(folders[1] / "o") == raw(folders[0] / "o")
    parts = outputs_in(folders[1], ("p.png", "matte"))
    run(clip, parts, limit=6)
    (folders[1] / "p.#5d.png.partial" / "00002.png").unlink()
    report, _ = run(clip, parts, ClipOptions(resume=True))
    starts_over(report, "contains 5 of 6 pictures")
    assert [name for name, _ in raw(folders[1] / "p")] == [name for name, _ in raw(folders[0] / "o")]


@pytest.mark.parametrize(
    ("name", "kind", "quality"),
    [
        ("o.mp4", "composite", None),
        ("o.apng", "matte", None),
        ("o.webp", "matte", None),
        ("o.webm", "matte", 20),
        ("o.webm", "composite", None),
    ],
)
def test_what_cannot_be_exact_starts_over(folders, clip, name, kind, quality):
    parts = outputs_in(folders[1], ("a.mkv", "alpha"), (name, kind))
    stopped, _ = run(clip, parts, ClipOptions(quality=quality), limit=6)
    assert stopped.frames == 6
    assert not list(folders[1].glob("*.safetensors"))
    assert not [note for note in stopped.notes if "resume" in note]
    report, _ = run(clip, parts, ClipOptions(quality=quality, resume=True))
    starts_over(report, f"the frames of {name} depend on those before them")
    assert names(folders[1]) == ["a.mkv", name]


def test_without_anything_left_nothing_is_said(folders, clip):
    report, _ = run(clip, outputs_in(folders[1], ("o.mov", "matte"), ("o.mp4", "composite")), ClipOptions(resume=True))
    assert report.notes == []
    assert names(folders[1]) == ["o.mov", "o.mp4"]


def test_a_run_without_resume_takes_the_record_away(folders, clip):
    parts = outputs_in(folders[1], ("o.mov", "matte"))
    run(clip, parts, limit=6)
    report, _ = run(clip, parts, limit=0)
    assert (report.stopped, report.frames) == (True, 0)
    assert names(folders[1]) == []


# Faults on the way


def test_a_stop_before_the_first_new_frame_leaves_all_as_it_was(folders, clip, monkeypatch):
    """While packets are copied, while frames are passed over, or right after."""
    whole, parts = (outputs_in(folder, ("o.mov", "matte"), ("o.mkv", "alpha")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=6)
    before = contents(folders[1])
    # 12 questions while packets of two files are copied, 6 while frames are passed over, one before the engine
    for limit in (0, 3, 9, 12, 15, 18):
        asked = iter(range(1000))
        session = MattingSession(Remembering())
        options = ClipOptions(resume=True)
        report = matte_clip(clip, parts, session, options, stopped=lambda a=asked, n=limit: next(a) >= n)
        assert (report.stopped, report.frames, report.resumed, session.engine.runs) == (True, 6, 6, 0)
        assert "a resumed run will continue at frame 6" in report.notes
        assert report.outputs == [folders[1] / "o.partial.mov", folders[1] / "o.partial.mkv"]
        assert contents(folders[1]) == before
        assert next(asked) == limit + 1
    run(clip, parts, ClipOptions(resume=True))
    assert [raw(output.path) for output in parts] == [raw(output.path) for output in whole]


@pytest.mark.parametrize("error", [StudioError("The card fell out"), RuntimeError("a bug")])
def test_an_error_of_the_engine_can_be_gone_on_from(folders, clip, error):
    whole, parts = (outputs_in(folder, ("o.mov", "matte")) for folder in folders)
    run(clip, whole)
    said = str(error)
    if isinstance(error, StudioError):
        said += r" The finished part \(7 frames\) is kept in .*o\.partial\.mov, and can be resumed\."
    with pytest.raises(type(error), match=said):
        run(clip, parts, limit=7, error=error)
    # the second run fails at once: what the first has left stays
    with pytest.raises(type(error), match=said):
        run(clip, parts, ClipOptions(resume=True), limit=0, error=error)
    assert names(folders[1]) == ["o.partial.mov", "o.partial.mov.safetensors"]
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed == 7
    assert raw(parts[0].path) == raw(whole[0].path)


def test_outputs_that_hold_different_frames_are_resumed_where_all_have_come(folders, clip, monkeypatch):
    """One disk is full, the other is not."""
    write = FrameWriter.write

    def full(writer, image, pts, number):
        if writer.path.suffix == ".mkv" and writer.frames == 12:
            raise StudioError("The disk is full.")
        write(writer, image, pts, number)

    whole, parts = (outputs_in(folder, ("o.mov", "matte"), ("o.mkv", "alpha")) for folder in folders)
    run(clip, whole)
    monkeypatch.setattr(checkpoints, "REMEMBER_EVERY", 0)
    for options in (ClipOptions(), ClipOptions(resume=True)):
        with monkeypatch.context() as patch:
            patch.setattr(FrameWriter, "write", full)
            said = r"disk is full.*\(12 frames\) is kept in .*o\.partial\.mov.*, and can be resumed"
            with pytest.raises(StudioError, match=said):
                run(clip, parts, options)
        assert names(folders[1]) == ["o.partial.mkv", "o.partial.mov", "o.partial.mov.safetensors"]
        assert len(raw(folders[1] / "o.partial.mkv")) == 12
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed == 12
    assert [raw(output.path) for output in parts] == [raw(output.path) for output in whole]
    assert names(folders[1]) == names(folders[0])


@pytest.mark.parametrize("name", ["o.mov", "o.mkv", "o.webm"])
def test_a_file_that_could_not_be_completed_is_resumed(folders, clip, monkeypatch, name):
    def fail(_, __):
        raise OSError(28, "No space left on device")

    whole, parts = (outputs_in(folder, (name, "matte")) for folder in folders)
    run(clip, whole)
    monkeypatch.setattr(checkpoints, "REMEMBER_EVERY", 0)
    with monkeypatch.context() as patch:
        patch.setattr(ContainerFile, "_complete", fail)
        report, _ = run(clip, parts, limit=20)
    assert report.stopped
    partial = f"o.partial{name[1:]}"
    assert names(folders[1]) == [partial, f"{partial}.safetensors"]
    assert len(raw(folders[1] / partial)) == report.frames > 10
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed > 10
    assert raw(parts[0].path) == raw(whole[0].path)
    assert sound(parts[0].path) == sound(whole[0].path) != []


def test_a_record_that_cannot_be_written(folders, clip):
    (folders[1] / "o.partial.mov.safetensors").mkdir()
    report, _ = run(clip, outputs_in(folders[1], ("o.mov", "matte")), limit=6)
    assert (report.stopped, report.frames) == (True, 6)
    assert "this job cannot be resumed" in report.notes[-1]


def test_a_fault_while_finishing(folders, clip, monkeypatch):
    """One output has its final name already: nothing is left to go on with."""
    finish = FrameWriter.finish

    def fail_on_mkv(writer):
        if writer.path.suffix == ".mkv":
            raise StudioError("The disk is full.")
        return finish(writer)

    parts = outputs_in(folders[1], ("o.mov", "matte"), ("o.mkv", "alpha"))
    run(clip, parts, limit=6)
    monkeypatch.setattr(FrameWriter, "finish", fail_on_mkv)
    with pytest.raises(StudioError, match=r"disk is full.*kept in .*o\.mov, .*o\.partial\.mkv"):
        run(clip, parts, ClipOptions(resume=True))
    assert names(folders[1]) == ["o.mov", "o.partial.mkv"]
    assert len(raw(folders[1] / "o.partial.mkv")) == 24


# Looking for what was stopped


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


# ---- to the last bit, whatever runs the network


class Ending:
    """An engine that asks for a stop after `limit` runs; else as the one it holds."""

    def __init__(self, engine, limit):
        self.engine, self.limit, self.runs = engine, limit, 0

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def run(self, *arguments, **how):
        self.runs += 1
        return self.engine.run(*arguments, **how)

    def stopped(self):
        return self.runs >= self.limit


@pytest.fixture(
    scope="module", params=[("eager", "fp32"), ("folded", "fp32"), ("openvino", "fp32"), ("openvino", "auto")]
)
def real_engine(request):
    if request.param[0] == "openvino" and openvino_problem():
        pytest.skip(openvino_problem())
    torch.manual_seed(0)
    return build(MattingNetwork().eval(), choose(torch.device("cpu"), *request.param))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "first", "second"),
    [
        ("o.mkv", "matte", "", ""),
        ("o.mkv", "matte", "sheet", ""),
        ("o.mkv", "matte", "", "sheet"),
        ("o.mkv", "composite", "", "sheet"),
        ("o.mkv", "foreground", "preview", "sheet"),
        ("o.mov", "matte", "", "preview"),
        ("o.mkv", "alpha", "", ""),
        ("o.mkv", "alpha", "sheet", "sheet"),
    ],
)
def test_gone_on_with_in_every_engine_whatever_is_shown(real_engine, folders, clip, name, kind, first, second):
    def go(folder, shown="", limit=10**9, resume=False):
        engine = Ending(real_engine, limit)
        session = MattingSession(engine, warm_up=3, downsample_ratio=0.5)
        outputs = outputs_in(folder, (name, kind), *([("p.mp4", "preview")] if shown == "preview" else []))
        options = ClipOptions(preview=folder / "sheet.png" if shown == "sheet" else None, overwrite=True, resume=resume)
        return matte_clip(clip, outputs, session, options, stopped=engine.stopped)

    go(folders[0], first)
    assert go(folders[1], first, limit=3 + 10).stopped
    report = go(folders[1], second, resume=True)
    assert report.resumed == 10, report.notes
    assert raw(folders[1] / name) == raw(folders[0] / name)


def test_a_sheet_beside_alpha_alone_starts_over(folders, clip):
    """It makes the network compute colours, and the last bit of alpha may be another."""
    outputs = outputs_in(folders[0], ("o.mkv", "alpha"))
    run(clip, outputs, limit=10)
    report, _ = run(clip, outputs, ClipOptions(resume=True, preview=folders[0] / "sheet.png"))
    assert report.resumed == 0
    assert "started over: changed since then: the preview beside alpha alone" in report.notes


@pytest.mark.parametrize("engine", ["eager", "folded"])
def test_other_weights_begin_anew_in_every_engine(folders, clip, engine):
    def go(seed, limit=10**9, resume=False):
        torch.manual_seed(seed)
        ending = Ending(build(MattingNetwork().eval(), choose(torch.device("cpu"), engine)), limit)
        session = MattingSession(ending, downsample_ratio=0.5)
        options = ClipOptions(resume=resume)
        return matte_clip(clip, outputs_in(folders[0], ("o.mkv", "matte")), session, options, stopped=ending.stopped)

    assert go(0, limit=5).stopped
    report = go(1, resume=True)
    assert report.resumed == 0
    assert "started over: changed since then: the weights" in report.notes


def test_other_packages_or_threads_begin_anew(folders, clip, monkeypatch):
    outputs = outputs_in(folders[0], ("o.mkv", "matte"))
    run(clip, outputs, limit=10)
    monkeypatch.setattr(resume, "_version", lambda package: "0.1")
    monkeypatch.setattr(resume.torch, "get_num_threads", lambda: 77)
    report, _ = run(clip, outputs, ClipOptions(resume=True))
    assert "started over: changed since then: the packages, the threads" in report.notes


@pytest.mark.parametrize("scene_cut", [None, True])
def test_an_opening_that_is_decoded_apart_changes_nothing(folders, clip, monkeypatch, scene_cut):
    """As of 4K clips, to hold less in memory."""
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
