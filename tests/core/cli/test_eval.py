"""`rvm-studio eval` as people use it and as it goes wrong. The engine's matte is known: alpha is red."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from PIL import Image
from rvm_studio.core.cli import eval as cli_eval

CLI = [sys.executable, "-m", "rvm_studio.core.cli.main", "eval"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, value: int, frames=2, mode="L"):
    """Flat pictures of 8x6."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        Image.new(mode, (8, 6), value if mode == "L" else (value,) * 3).save(folder / f"{t:04d}.png")


@pytest.fixture
def clips():
    """Three clips in two data sets whose MAD is 200, 400 and 600."""
    for name, pred in (("one/a", 102), ("one/b", 153), ("two/a", 204)):
        write(f"true/{name}/pha", 51)
        write(f"pred/{name}/pha", pred)
    return "pred", "true"


def table(out: str) -> dict[str, list[str]]:
    lines = [line.rsplit(maxsplit=6) for line in out.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_help_imports_nothing_large():
    code = (
        "import sys\n"
        "from rvm_studio.core.cli.main import main\n"
        "try: main(['eval', '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "print('LARGE', sorted({'torch', 'torchvision', 'numpy', 'av', 'PIL', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("usage: rvm-studio eval [PREDICTED] TRUE")
    assert "fgr_mad" in done.stdout
    assert done.stdout.endswith("LARGE []\n")


def test_the_printed_table(studio, clips):
    code, out, err = studio("eval", *clips)
    assert code == 0
    rows = table(out)
    assert rows["clip"] == ["frames", "mad", "mse", "grad", "conn", "dtssd"]
    assert [rows[name][1] for name in ("one/a", "one/b", "two/a")] == ["200.00", "400.00", "600.00"]
    assert rows["one: mean of 2 clips"][1] == "300.00"
    assert rows["two: mean of 1 clip"][1] == "600.00"
    assert rows["mean of 3 clips"][:2] == ["6", "400.00"]
    assert "one/a: 2/2 frames" in err


def test_high_resolution_has_no_conn(studio, clips):
    code, out, _ = studio("eval", *clips, "--resolution", "high")
    assert code == 0
    assert out.splitlines()[0].split() == ["clip", "frames", "mad", "mse", "grad", "dtssd"]


def test_formats_and_output(studio, clips, tmp_path):
    code, text, _ = studio("eval", *clips, "--quiet")
    assert code == 0
    _, markdown, _ = studio("eval", *clips, "--quiet", "--format", "markdown")
    _, comma, _ = studio("eval", *clips, "--quiet", "--format", "csv")
    assert markdown.startswith("| clip | frames | mad |")
    assert float(list(csv.DictReader(comma.splitlines()))[-1]["mad"]) == pytest.approx(400)
    for name, content in (("a.csv", comma), ("a.md", markdown), ("a.txt", text)):
        code, out, err = studio("eval", *clips, "--quiet", "--output", name)
        assert (code, out, err) == (0, text, "")
        assert (tmp_path / name).read_text(encoding="utf-8") == content
    studio("eval", *clips, "--output", "b.txt", "--format", "csv")
    assert (tmp_path / "b.txt").read_text() == comma
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_the_network_mattes_com(studio, monkeypatch, red_engine):
    monkeypatch.setattr(cli_eval, "load_engine", lambda arguments: red_engine)
    for name, red in (("a", 51), ("b", 102)):
        write(f"true/{name}/pha", 51)
        write(f"true/{name}/com", red, mode="RGB")
    code, out, _ = studio("eval", "true")
    assert code == 0
    rows = table(out)
    assert (rows["a"][1], rows["b"][1], rows["mean of 2 clips"][1]) == ("0.00", "200.00", "100.00")


@pytest.mark.slow
def test_real_weights_equal_what_matte_writes_and_eval_compares(studio, reference, reference_weights, tmp_path):
    """Both ways to the same figures: eval TRUE, and matte into pictures with eval PRED TRUE."""
    portrait = Image.open(reference / "sample_person.png").convert("RGB").resize((96, 96))
    for t in range(3):
        for part, picture in (("com", portrait), ("pha", portrait.convert("L"))):
            (tmp_path / f"true/{part}").mkdir(parents=True, exist_ok=True)
            picture.rotate(2 * t).save(tmp_path / f"true/{part}/{t:04d}.png")
    code, out, _ = studio("eval", "true", "--weights", reference_weights, "--format", "csv", "--device", "cpu")
    assert code == 0
    options = ("--weights", reference_weights, "--warm-up", 0, "--device", "cpu")
    assert studio("matte", "true/com", "--alpha", "pred/pha/%04d.png", *options).code == 0
    compared = studio("eval", "pred", "true", "--format", "csv")
    first, second = (list(csv.DictReader(text.splitlines()))[-1] for text in (out, compared.out))
    assert float(first["mad"]) > 0
    assert {k: float(v) for k, v in first.items() if k != "clip"} == pytest.approx(
        {k: float(v) for k, v in second.items() if k != "clip"}, rel=1e-12
    )


# What goes wrong


def test_faulty_clips_do_not_cost_the_others(studio, clips, tmp_path):
    (tmp_path / "pred/one/a/pha/0001.png").write_bytes(b"no picture")
    (tmp_path / "pred/two/a").rename(tmp_path / "elsewhere")
    code, out, err = studio("eval", *clips, "--quiet", "--output", "t.csv")
    assert code == 1
    rows = table(out)
    assert set(rows) == {"clip", "one/b", "mean of 1 of 3 clips"}
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("rvm-studio: one/a: ")
    assert "0001.png" in lines[0]
    assert lines[1].startswith("rvm-studio: two/a: ")
    assert "one/b" in (tmp_path / "t.csv").read_text()


def test_where_no_clip_can_be_evaluated_an_old_file_stays(studio, clips, tmp_path):
    (tmp_path / "pred").rename(tmp_path / "gone")
    (tmp_path / "pred").mkdir()
    (tmp_path / "t.csv").write_text("old")
    code, out, err = studio("eval", *clips, "--output", "t.csv")
    assert (code, out, len(err.splitlines())) == (1, "", 3)
    assert (tmp_path / "t.csv").read_text() == "old"


def test_clips_without_a_truth_are_told(studio, clips):
    write("pred/three/a/pha", 3)
    code, _, err = studio("eval", *clips)
    assert code == 0
    assert "note: true lacks 1 clips of pred, which are ignored: three/a" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "true"], "nowhere does not exist"),
        (["pred", "nowhere"], "nowhere does not exist"),
        (["true/one/a/pha"], "contains no clip"),
        (["a", "b", "c"], "3 folders"),
        (["pred", "true", "--weights", "w"], "contains finished mattes"),
        (["pred", "true", "--output", "pred"], "is a folder"),
        (["pred", "true", "--output", "no/t.csv"], "does not exist"),
        (["true", "--downsample", "huge"], "downsample ratio 'huge'"),
        (["true", "--weights", "w.safetensors"], "w.safetensors"),
    ],
)
def test_wrong_use_is_one_line(studio, clips, arguments, says):
    code, out, err = studio("eval", *arguments)
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert says in line


def test_a_full_disk_does_not_cost_the_table(studio, clips, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (tmp_path / "pred/one/a/pha/0001.png").unlink()
    code, out, err = studio("eval", *clips, "--quiet", "--output", "t.csv")
    assert code == 1
    assert "mean of 2 of 3 clips" in table(out)
    assert [line.split(":")[1] for line in err.splitlines()] == [
        " one/a",
        " The table cannot be written to t.csv ([Errno 28] No space left on device). Check the folder.",
    ]
    assert not list(tmp_path.glob("t.*"))


HELD = """
import os, sys, time
from rvm_studio.core.cli import main, progress
from rvm_studio.core.evaluation import clips
clips._CHUNK_PIXELS["cpu"] = 1  # a frame at once
call = progress.Progress.__call__

def held(self, done, total):
    call(self, done, total)
    if self.name == "b":
        print("b:", done, file=sys.stderr, flush=True)
        while not os.path.exists("gate"):
            time.sleep(0.002)

progress.Progress.__call__ = held
sys.exit(main.main(["eval", "pred", "true"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_shows_what_was_done(tmp_path):
    """It comes within the second clip, of which no further frame is scored."""
    for name in ("a", "b"):
        write(f"true/{name}/pha", 51, frames=3)
        write(f"pred/{name}/pha", 102, frames=3)
    process = subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("a: 3/3")
    assert process.stderr.readline() == "b: 1\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("rvm-studio: stopping")
    (tmp_path / "gate").touch()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "b: 2" not in err
    assert set(table(out)) == {"clip", "a", "mean of 1 of 2 clips"}
