"""The names of all jobs of a run against all of its inputs. (Those of one job: test_job.)"""

from pathlib import Path

import pytest
from rvm_studio.core.clips.name_check import JobNames, refuse_overlap
from rvm_studio.core.errors import StudioError


def said(*jobs: JobNames) -> str:
    try:
        refuse_overlap(jobs)
    except StudioError as error:
        return str(error)
    return ""


@pytest.fixture
def clips(tmp_path):
    for name in ("a.mp4", "b.mp4", "b_alpha.mp4", "a.partial.mov", "room.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def job(folder: Path, source: str, *files: str, sheet=None, background=None) -> JobNames:
    sheet, background = (name and folder / name for name in (sheet, background))
    return JobNames(folder / source, tuple(folder / name for name in files), sheet, background)


def test_one_jobs_output_is_the_next_ones_input(clips):
    jobs = [job(clips, "a.mp4", "b.mp4"), job(clips, "b.mp4", "c.mov")]
    assert f"{clips / 'b.mp4'} is the input {clips / 'b.mp4'}" in said(*jobs)
    assert said(*reversed(jobs)) == said(*jobs)
    (clips / "link.mp4").hardlink_to(clips / "b.mp4")
    assert "is the input" in said(job(clips, "a.mp4", "link.mp4"), jobs[1])


def test_one_jobs_output_is_the_background_of_all(clips):
    jobs = [job(clips, "a.mp4", "x.mp4", background="room.mp4"), job(clips, "b.mp4", "room.mp4", background="room.mp4")]
    assert "is the background" in said(*jobs)


def test_two_jobs_write_one_file_or_one_sheet(clips):
    assert "a.mp4 and" in said(job(clips, "a.mp4", "x.mov"), job(clips, "b.mp4", "./x.mov"))
    assert "a.mp4 and" in said(job(clips, "a.mp4", "x.mov", sheet="s.png"), job(clips, "b.mp4", "y.mov", sheet="s.png"))
    assert "a.mp4 and" in said(job(clips, "a.mp4", "x.mov", sheet="s.mov"), job(clips, "b.mp4", "s.mov"))


def test_the_unfinished_output_of_one_job_is_the_input_of_another(clips):
    jobs = [job(clips, "a.mp4", "a.mov"), job(clips, "a.partial.mov", "c.mov")]
    assert "would be called like the input" in said(*jobs)
    assert said(job(clips, "a.partial.mov", "a.mov")) == "", "a job of its own keeps its input"


def test_other_names_pass(clips):
    jobs = [job(clips, "a.mp4", "a.mov", "a.mkv", sheet="a.png", background="room.mp4"), job(clips, "b.mp4", "b.mov")]
    assert said(*jobs) == ""


def test_a_percent_sign_in_a_name_is_no_number(tmp_path):
    """The pictures of 100%.png lie in a folder of that name, not beside it."""
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "1.png").touch()
    assert said(JobNames(shots, (shots / "100%.png",), None, None)) == ""
    assert "among the pictures" in said(JobNames(shots, (shots / "%d.png",), None, None))
