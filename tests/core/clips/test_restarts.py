"""Jobs that restart instead of resuming: something changed, the record or a file is damaged, no exact way."""

import importlib.util
import os
import pkgutil
import re
import shutil
from pathlib import Path

import pytest
import rvm_studio.core
import torch
from PIL import Image
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clips import resume
from rvm_studio.core.clips.matte_clip import ClipOptions, matte_clip
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.stream.session import MattingSession

from .resumed_jobs import names, outputs_in, raw, run


def starts_over(report, reason: str, frames=24) -> None:
    assert (report.frames, report.resumed, report.stopped) == (frames, 0, False)
    assert report.notes[0].startswith("started over: ")
    assert reason in report.notes[0]


@pytest.mark.parametrize(
    ("options", "settings", "what"),
    [
        ({"quality": 5}, {}, "the quality"),
        ({"codec": "prores-4444"}, {}, "the codec"),
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
    """The sources are found as Python finds modules to import, not by the names of files."""
    core = Path(rvm_studio.core.__file__).parent
    names = [info.name for info in pkgutil.walk_packages(rvm_studio.core.__path__, "rvm_studio.core.")]
    sources = [Path(importlib.util.find_spec(name).origin) for name in ("rvm_studio.core", *names)]
    assert len(sources) > 80
    copy = tmp_path / "core"
    shutil.copytree(core, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "CORE", copy)
    program = resume._program.__wrapped__  # without the cache
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
    """Changes a text of the header and leaves the tensors as they were: the frames would get wrong times."""
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
    """Zeros, in the same size as before."""
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
    """The second of two outputs was changed: both restart. The changed file is not removed."""
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


def test_a_sheet_beside_alpha_alone_starts_over(folders, clip):
    """It makes the network compute colours, and the last bit of alpha may differ."""
    outputs = outputs_in(folders[0], ("o.mkv", "alpha"))
    run(clip, outputs, limit=10)
    report, _ = run(clip, outputs, ClipOptions(resume=True, preview=folders[0] / "sheet.png"))
    assert report.resumed == 0
    assert "started over: changed since then: the preview beside alpha alone" in report.notes


def test_other_packages_or_threads_begin_anew(folders, clip, monkeypatch):
    outputs = outputs_in(folders[0], ("o.mkv", "matte"))
    run(clip, outputs, limit=10)
    monkeypatch.setattr(resume, "_version", lambda package: "0.1")
    monkeypatch.setattr(resume.torch, "get_num_threads", lambda: 77)
    report, _ = run(clip, outputs, ClipOptions(resume=True))
    assert "started over: changed since then: the packages, the threads" in report.notes
