"""What a run writes down: read back as TensorBoard and as the report do."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from rvm_studio.training.run_log import SCALARS, RunLog, read_scalars


def written(folder, steps, first: int = 0) -> None:
    log = RunLog(folder, first)
    for step in steps:
        log.scalars(1, step, step, {"low/total": 1 / (step + 1), "lr/decoder": 2e-4})
    log.close()


def test_a_line_a_step(tmp_path):
    written(tmp_path, range(3))
    assert read_scalars(tmp_path) == [
        {"stage": 1, "step": k, "global_step": k, "low/total": 1 / (k + 1), "lr/decoder": 2e-4} for k in range(3)
    ]


def test_steps_that_are_run_again_are_written_once(tmp_path):
    written(tmp_path, range(5))
    with (tmp_path / SCALARS).open("a") as file:
        file.write('{"stage": 1, "st')  # killed in the middle of a line
    assert len(read_scalars(tmp_path)) == 5
    written(tmp_path, range(2, 4), first=2)
    assert [line["global_step"] for line in read_scalars(tmp_path)] == [0, 1, 2, 3]
    assert all(json.loads(line) for line in (tmp_path / SCALARS).read_text().splitlines())


def test_nothing_was_written_yet(tmp_path):
    assert read_scalars(tmp_path) == []


def test_tensorboard_shows_scalars_and_pictures(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    image = pytest.importorskip("PIL.Image")
    log = RunLog(tmp_path, 0)
    assert log.wants_pictures
    picture = torch.zeros(3, 6, 8)
    picture[0, :, 4:] = 1
    for step in range(3):
        log.scalars(1, step, step, {"low/total": 1 / (step + 1)})
    log.picture("low", 2, picture)
    log.close()
    events = accumulators.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = events.Scalars("low/total")
    assert [event.step for event in scalars] == [0, 1, 2]
    assert [event.value for event in scalars] == pytest.approx([1, 1 / 2, 1 / 3])
    (shown,) = events.Images("low")
    assert shown.step == 2
    pixels = np.asarray(image.open(io.BytesIO(shown.encoded_image_string)))
    assert np.array_equal(pixels, (picture * 255).byte().permute(1, 2, 0).numpy())


def test_without_tensorboard_the_lines_are_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = RunLog(tmp_path, 0)
    assert not log.wants_pictures
    log.picture("low", 0, torch.zeros(3, 4, 4))
    log.close()
    written(tmp_path, range(1))
    assert len(read_scalars(tmp_path)) == 1
