"""The report of hand-written runs: its numbers, what was cut off, what is missing, what is broken."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.training.loss_curves import LACKS_MATPLOTLIB
from rvm_studio.training.report import main, verdict, write_report
from rvm_studio.training.run_log import scan_scalars


def scalars(folder, records, tail=""):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "scalars.jsonl").write_text(lines + tail, encoding="utf-8")


def record(step, stage=1, **numbers):
    return {"stage": stage, "step": step, "global_step": step} | {k.replace("__", "/"): v for k, v in numbers.items()}


def validation(folder, stage=1, **changes):
    content = {
        "stage": stage,
        "low": {"mad": 30.0, "mse": 12.5, "grad": 1.0, "conn": 2.0, "dtssd": 3.0, "fgr_mad": 4.0, "fgr_mse": 5.0},
        "high": None,
        "constant": 0.25,
        "constant_mad": 210.0,
        "best_constant": 0.0,
        "best_constant_mad": 200.0,
        "clips": 3,
        "sizes": {"low": [4, 128]},
        "faults": [],
    }
    (folder / f"validation_stage{stage}.json").write_text(json.dumps(content | changes), encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


@pytest.fixture
def run(tmp_path):
    """Two stages of 20 steps in all: the total falls from 10 to about 0.5, and two validations."""
    numbers = [
        record(k, 1 if k < 10 else 2, low__total=10 - k / 2, lr__backbone=1e-4, samples_per_s=k) for k in range(20)
    ]
    scalars(tmp_path, numbers)
    validation(tmp_path, 1)
    high = {"mad": 41.0, "mse": 6.0, "grad": 7.0, "dtssd": 8.0, "fgr_mad": 9.0, "fgr_mse": 10.0}
    validation(tmp_path, 2, high=high, sizes={"low": [4, 128], "high": [2, 384]})
    Image.new("RGB", (4, 4)).save(tmp_path / "validation_stage2.png")
    return tmp_path


def test_the_whole_report(run):
    path = write_report(run)
    assert path == run / "report.md"
    text = path.read_text(encoding="utf-8")
    assert "20 steps in stages 1, 2, 10.00 clips per second." in text
    assert "After stage 2 the alpha is off by **3.0 %** on average (MAD 30.0)" in text
    assert "the best constant alpha is off by 20.0 %" in text
    found = rows(text)
    assert ["stage", "resolution", "mad", "mse", "grad", "conn", "dtssd", "fgr_mad", "fgr_mse"] in found
    assert ["1", "low, 128x128, 3 clips of 4", "30.00", "12.50", "1.00", "2.00", "3.00", "4.00", "5.00"] in found
    assert ["2", "high, 384x384, 3 clips of 2", "41.00", "6.00", "7.00", "–", "8.00", "9.00", "10.00"] in found
    assert ["–", "alpha 0.25 everywhere (the mean)", "210.00", *["–"] * 6] in found
    assert ["–", "alpha 0.00 everywhere (the best)", "200.00", *["–"] * 6] in found
    # a tenth of 20 is 2: the means of 10, 9.5 and of 1, 0.5
    assert ["low/total", "the sum, which is minimised", "9.75", "0.75"] in found
    assert ["VideoMatte240K, 1920x1080", "6.57", "1.93", "10.55", "–", "1.90"] in found
    assert "](validation_stage2.png)" in text
    assert "validation_stage1.png" not in text  # there is no such file
    assert "No faults were recorded." in text
    assert not list(run.glob("*partial*"))


def test_curves(run):
    pytest.importorskip("matplotlib")
    text = write_report(run).read_text(encoding="utf-8")
    assert sorted(path.name for path in run.glob("curves_*")) == ["curves_low.png", "curves_lr.png"]
    for name in ("curves_low.png", "curves_lr.png"):
        assert f"]({name})" in text
        Image.open(run / name).load()
    assert LACKS_MATPLOTLIB not in text


def test_without_matplotlib(run, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = write_report(run).read_text(encoding="utf-8")
    assert LACKS_MATPLOTLIB in text
    assert not list(run.glob("curves_*"))
    assert ["low/total", "the sum, which is minimised", "9.75", "0.75"] in rows(text)


def test_a_last_line_that_was_cut_off(run):
    whole = (run / "scalars.jsonl").read_text()
    (run / "scalars.jsonl").write_text(whole + '{"stage": 2, "global_st')
    records, cut = scan_scalars(run / "scalars.jsonl")
    assert (len(records), cut) == (20, 1)
    assert "that were ignored: 1." in write_report(run).read_text(encoding="utf-8")
    (run / "scalars.jsonl").write_text(whole + "\n[1, 2]\nnull\n")
    assert scan_scalars(run / "scalars.jsonl")[1] == 2


def test_steps_after_a_resume_count_once_and_the_last_counts(tmp_path):
    scalars(tmp_path, [record(k, low__total=100.0) for k in range(5)] + [record(k, low__total=k) for k in (3, 4, 5)])
    records, cut = scan_scalars(tmp_path / "scalars.jsonl")
    assert cut == 0
    assert [entry["global_step"] for entry in records] == [0, 1, 2, 3, 4, 5]
    assert [entry["low/total"] for entry in records] == [100, 100, 100, 3, 4, 5]
    assert "6 steps in stages 1" in write_report(tmp_path).read_text(encoding="utf-8")


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    """NaN is what json writes for it; a term may begin late."""
    scalars(
        tmp_path, [record(0, low__total=4.0), record(1, low__total=float("nan")), record(2, low__total=2, high__loss=1)]
    )
    found = rows(write_report(tmp_path).read_text(encoding="utf-8"))
    assert ["low/total", "the sum, which is minimised", "4", "2"] in found
    assert ["high/loss", "the sum, which is minimised", "1", "1"] in found


def test_pieces_that_are_missing_are_told(tmp_path):
    validation(tmp_path)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "No step was recorded." in text
    assert "MAD 30.0" in text
    (tmp_path / "validation_stage1.json").unlink()
    scalars(tmp_path, [record(0, low__total=1.0)])
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "No stage has been validated yet." in text
    assert "1 steps in stages 1." in text


def test_faults_and_ingredients(run):
    validation(run, 1, faults=["0002.jpg cannot be read."])
    content = {
        "faults": ["clip.mp4 is broken."],
        "skipped": [{"step": 7}],
        "recipe": {"preset": "tiny"},
        "licences": {"VideoMatte240K": "MIT"},
        "data": ["synthetic"],
    }
    (run / "run.json").write_text(json.dumps(content))
    text = write_report(run).read_text(encoding="utf-8")
    for line in ("- clip.mp4 is broken.", "- 0002.jpg cannot be read.", '- {"step": 7}'):
        assert line in text.splitlines()
    for line in ("## Recipe", "- preset: tiny", "- VideoMatte240K: MIT", "- synthetic"):
        assert line in text.splitlines()
    assert "No faults were recorded." not in text


@pytest.mark.parametrize(
    ("mad", "says"),
    [(210, "nothing has been learnt"), (150, "beginning"), (60, "roughly"), (15, "well"), (5, "very well")],
)
def test_verdicts(mad, says):
    assert says in verdict(mad, 200)


def test_a_verdict_where_nobody_is_there():
    assert "nothing has been learnt" in verdict(0.0, 0.0)


# What goes wrong


def test_an_empty_folder_and_none(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StudioError, match=r"neither scalars.jsonl nor validation_stage"):
            write_report(folder)


@pytest.mark.parametrize("name", ["validation_stage1.json", "run.json"])
@pytest.mark.parametrize("content", ["{", "", "[1]", "3", "\x00"])
def test_broken_files(run, name, content):
    (run / name).write_text(content)
    with pytest.raises(StudioError, match=name.replace(".", r"\.")):
        write_report(run)


def test_a_report_that_cannot_be_written_leaves_the_old_one(run, monkeypatch):
    (run / "report.md").write_text("old")

    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(StudioError, match="cannot be written"):
        write_report(run)
    assert (run / "report.md").read_text() == "old"


def test_the_command(run, tmp_path, capsys):
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.md'}\n"
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_the_command_as_a_module(run):
    done = subprocess.run(
        [sys.executable, "-m", "rvm_studio.training.report", str(run)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "report.md").exists()
