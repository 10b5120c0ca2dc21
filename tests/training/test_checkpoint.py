"""Checkpoints: whole or not there, damage noticed, the last few kept."""

import logging
import os

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.training.checkpoint import checkpoints, load_newest, read_checkpoint, save_checkpoint


def content(step: int) -> dict:
    return {
        "state": {"step": step, "metrics": {"1": {"low": {"mad": 0.1 + step}}}},
        "network": {"a": torch.full((3,), float(step)), "n": torch.tensor(step)},
        "usual": {"low": (3, 1 / 3)},
    }


def test_what_is_saved_comes_back_exactly(tmp_path):
    path = save_checkpoint(tmp_path, 7, content(7), keep=3)
    back = read_checkpoint(path)
    assert torch.equal(back["network"]["a"], content(7)["network"]["a"])
    assert back["state"] == content(7)["state"]
    assert tuple(back["usual"]["low"]) == (3, 1 / 3)


def test_the_last_few_are_kept(tmp_path):
    for step in (5, 9, 10, 100):
        save_checkpoint(tmp_path, step, content(step), keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010.pt", "step-00000100.pt"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.suffix != ".pt"] == []


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "head", "text"])
def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path, caplog, damage):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, content(step), keep=3)
    newest = checkpoints(tmp_path)[-1]
    data = bytearray(newest.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "empty":
        data.clear()
    elif damage == "bit":
        data[len(data) // 2] ^= 4
    elif damage == "head":
        data[20] ^= 1
    else:
        data[:] = b"not a checkpoint at all" * 10
    newest.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        path, back = load_newest(tmp_path)
    assert path.name == "step-00000001.pt"
    assert back["state"]["step"] == 1
    assert "step-00000002.pt is damaged or truncated" in caplog.text


def test_none_intact_and_none_at_all(tmp_path):
    with pytest.raises(StudioError, match="no checkpoint"):
        load_newest(tmp_path)
    save_checkpoint(tmp_path, 1, content(1), keep=1).write_bytes(b"")
    with pytest.raises(StudioError, match="None of the 1 checkpoints"):
        load_newest(tmp_path)


def test_a_half_written_one_is_never_seen(tmp_path, monkeypatch):
    """The power goes before the renaming."""
    save_checkpoint(tmp_path, 1, content(1), keep=3)

    def gone(_from, _to):
        raise OSError("no power")

    monkeypatch.setattr(os, "replace", gone)
    with pytest.raises(StudioError, match="cannot be written"):
        save_checkpoint(tmp_path, 2, content(2), keep=3)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001.pt"]
    assert load_newest(tmp_path)[1]["state"]["step"] == 1
