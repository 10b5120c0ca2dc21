"""The time that is left: by the pace so far and by how much work the stages to come are."""

import pytest
from rvm_studio.training import run_progress
from rvm_studio.training.recipe import PRESETS, stages_for
from rvm_studio.training.run_progress import RunProgress, work_of_step


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now[0])
    return now


def progress_of(preset, steps=(10, 4, 0, 2), shown=False):
    stages = stages_for(preset)
    return stages, RunProgress(list(zip(stages, steps, strict=True)), preset, shown)


def test_the_time_left_is_the_work_left_at_the_pace_so_far(clock):
    preset = PRESETS["tiny"]
    stages, progress = progress_of(preset)
    progress.begin(stages[0], 0, 10)
    for done in (1, 2, 3):
        clock[0] += 2.0
        progress.step(stages[0], done, 1.0)
    left, left_of_all = progress.seconds_left(stages[0], 3)
    assert left == pytest.approx(7 * 2.0)
    work = [work_of_step(stage, preset) for stage in stages]
    assert left_of_all == pytest.approx(14 + 2.0 * (4 * work[1] + 2 * work[3]) / work[0])
    assert work[2] > work[0]  # it also trains at the high resolution


def test_lines_where_there_is_no_terminal(clock, capsys):
    stages, progress = progress_of(PRESETS["tiny"], shown=True)
    progress.begin(stages[0], 0, 10)
    for done in range(1, 11):
        clock[0] += 4.0
        progress.step(stages[0], done, 0.5)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" steps")[0] for line in lines] == [f"stage 1: {k}/10" for k in (1, 5, 9, 10)]
    assert "loss 0.500, 00:00 left" in lines[-1]


def test_other_processes_are_silent(clock, capsys):
    stages, progress = progress_of(PRESETS["tiny"])
    progress.begin(stages[0], 0, 10)
    clock[0] += 60
    progress.step(stages[0], 10, 0.5)
    assert capsys.readouterr().err == ""
