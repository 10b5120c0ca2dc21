"""Records while a job runs: a process that is killed at any moment costs little, and never an exact result."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
from rvm_studio.core.clips import checkpoints, resume
from rvm_studio.core.clips.matte_clip import ClipOptions
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.writer import FrameWriter

from .resumed_jobs import names, outputs_in, raw, run, sound

posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")


@pytest.fixture
def clip(tmp_path, make_clip):
    """Four seconds with sound, the frames of varying length."""
    times = [3000 + 5400 * index + 700 * (index % 3) for index in range(70)]  # of 90000 a second
    return make_clip(tmp_path / "in.mkv", (48, 32), 70, audio="aac", pts=times, codec="ffv1", pix_fmt="bgr0")


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(checkpoints, "REMEMBER_EVERY", 0)
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["o.mov", "o.mkv", "o.webm", "n/o_%03d.png"])
def test_a_killed_job_is_resumed(folders, clip, name):
    """By a signal that leaves no time for cleaning up, in the middle of the work; twice."""
    whole, parts = (outputs_in(folder, (name, "matte")) for folder in folders)
    expected, _ = run(clip, whole)
    for limit, *more in ((40,), (25, "--resume")):
        assert killed(clip, parts[0].path, limit, *more) == -signal.SIGKILL
        assert not parts[0].path.exists()
        assert not list((folders[1] / "n").glob("*.png"))
        assert [path for path in names(folders[1]) if path.endswith(".safetensors")]
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert 5 < report.resumed < 65
    final = [path.parent if "%" in name else path for path in (whole[0].path, parts[0].path)]
    assert raw(final[1]) == raw(final[0])
    if "%" not in name:
        assert sound(final[1]) == sound(final[0]) != []
    assert names(folders[1]) == names(folders[0])
    assert expected.frames == report.frames


def killed(source: Path, output: Path, limit: int, *more: str) -> int:
    """The exit code of a process that kills itself after `limit` frames."""
    command = [sys.executable, str(Path(__file__).with_name("killed_job.py")), str(source), str(output), str(limit)]
    return subprocess.run([*command, *more]).returncode


def test_a_record_is_written_only_of_what_the_files_hold(folders, clip, often, monkeypatch):
    """Never of frames that an encoder or a muxer still holds."""
    save, seen = checkpoints.Checkpoints._save, []

    def counted(self, stop):
        for thread, mark in zip(self._threads, stop.written, strict=True):
            partial = mark.find(thread.writer.claim.folder)
            seen.append((stop.frames, len(raw_or_fewer(partial))))
        save(self, stop)

    monkeypatch.setattr(checkpoints.Checkpoints, "_save", counted)
    run(clip, outputs_in(folders[1], ("o.mov", "matte"), ("o.mkv", "alpha"), ("o.webm", "matte")))
    assert seen
    assert all(held >= frames > 0 for frames, held in seen)


def raw_or_fewer(path: Path) -> list:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_without_a_record_nothing_is_saved(folders, clip, often):
    run(clip, outputs_in(folders[1], ("o.mp4", "composite")))
    assert names(folders[1]) == ["o.mp4"]


def test_a_full_disk_without_room_for_a_second_record(folders, clip, often, monkeypatch):
    """The last record is then written over the one before it, and the job resumes where the file ends."""
    whole, parts = (outputs_in(folder, ("o.mov", "matte")) for folder in folders)
    run(clip, whole)
    write, full = FrameWriter.write, []

    def fill_up(writer, image, pts, number):
        if writer.frames == 50:
            full.append(True)
            raise StudioError("The disk is full.")
        write(writer, image, pts, number)

    save = resume.save_state

    def save_first(state, path, texts, *, sync=False):
        if (full or path.exists()) and path.parent == folders[1]:
            raise StudioError("No room for two.")
        return save(state, path, texts, sync=sync)

    after = checkpoints.Checkpoints.after

    def after_and_saved(self, *arguments):
        after(self, *arguments)
        if self._saving is not None:
            self._saving.result()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "after", after_and_saved)
        patch.setattr(FrameWriter, "write", fill_up)
        patch.setattr(resume, "save_state", save_first)
        with pytest.raises(StudioError, match=r"\(50 frames\) is kept in .*o\.partial\.mov, and can be resumed"):
            run(clip, parts)
    report, _ = run(clip, parts, ClipOptions(resume=True))
    assert report.resumed == 50
    assert raw(parts[0].path) == raw(whole[0].path)
    assert names(folders[1]) == ["o.mov"]
