"""Resuming after errors and full disks, and stops that leave everything as it was."""

from pathlib import Path

import pytest
from rvm_studio.core.clips import checkpoints
from rvm_studio.core.clips.matte_clip import ClipOptions, matte_clip
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.container_file import ContainerFile
from rvm_studio.core.video.writer import FrameWriter

from .resumed_jobs import Remembering, names, outputs_in, raw, run, sound


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def test_a_stop_before_the_first_new_frame_leaves_all_as_it_was(folders, clip, monkeypatch):
    """While packets are copied, while frames are skipped, or right after."""
    whole, parts = (outputs_in(folder, ("o.mov", "matte"), ("o.mkv", "alpha")) for folder in folders)
    run(clip, whole)
    run(clip, parts, limit=6)
    before = contents(folders[1])
    # `stopped` is asked 12 times while packets of two files are copied, 6 times while frames are skipped, and once more
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
    # the second run fails at once: the files of the first run stay
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
    """One output has its final name already, so the job cannot be resumed."""
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
