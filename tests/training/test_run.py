"""Whole runs of a recipe cut to seconds: output, killing and going on, several processes, the command line."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from patience import PATIENCE, wait_for
from rvm_studio.core import Stopped
from rvm_studio.core.errors import StudioError
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.core.weights.tensor_file import read_tensors
from rvm_studio.training import run_options
from rvm_studio.training.checkpoint import checkpoints
from rvm_studio.training.distributed import World
from rvm_studio.training.loop import Run
from rvm_studio.training.recipe import PRESETS
from rvm_studio.training.run_log import read_scalars
from rvm_studio.training.run_options import default_workers, main, make_parser, plan
from rvm_studio.training.run_settings import RunOptions, RunSettings
from rvm_studio.training.step import Trainer

SCRIPT = Path(__file__).resolve().parents[2] / "training" / "run.py"
SMALL = ["--frames", "2", "--size", "128", "--high-size", "256", "--high-frames", "1", "--segmentation-images", "1"]
MACHINE = ["--validation-clips", "1", "--clips", "2", "--workers", "1", "--device", "cpu"]
SMALL += [*MACHINE, "--seed", "3"]
EVERY_STEP = ["--checkpoint-minutes", "0"]


@pytest.fixture(autouse=True)
def one_thread():
    """Runs beside each other on few cores wait for each other otherwise; and sums come out alike everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# The script, which kills its process group a moment after a step was written down: at its end at the latest, so that
# it is killed however slowly it is watched.
KILLED = """
import os, runpy, signal, sys, threading, time
from pathlib import Path
from rvm_studio.training.run_log import read_scalars

script, folder, steps, moment, *words = sys.argv[1:]

def kill():
    while len(read_scalars(Path(folder))) <= int(steps):
        time.sleep(0.02)
    time.sleep(float(moment))
    os.killpg(0, signal.SIGKILL)

killer = threading.Thread(target=kill, daemon=True)
killer.start()
sys.argv = [script, *words]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
killer.join()
"""


def start(*words: str, processes: int = 1, killed: tuple = ()) -> subprocess.Popen:
    """The script as a user starts it, in a process group of its own. killed: the run's folder, and after how many steps
    and seconds."""
    command = [sys.executable, str(SCRIPT)]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command = [sys.executable, *launcher, str(SCRIPT)]
    if killed:
        command = [sys.executable, "-c", KILLED, str(SCRIPT), *map(str, killed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *map(str, words)],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    return out


def same_weights(one: Path, two: Path) -> bool:
    a, b = read_tensors(one)[0], read_tensors(two)[0]
    return a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    """A run of all four stages."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    finished(start("--output", folder, "--steps", "4,2,2,2", *SMALL))
    return folder


@pytest.mark.slow
def test_a_run_leaves_everything_it_promises(unbroken):
    for number in (1, 2, 3, 4):
        network = weights.load_network(unbroken / f"stage{number}.safetensors")
        assert network.refiner_name == "deep_guided_filter"
        metadata = weights.read(unbroken / f"stage{number}.safetensors").metadata
        assert metadata["training_stage"] == str(number)
        assert metadata["training_step"] == str((4, 6, 8, 10)[number - 1])
        assert "synthetic persons: made by this program" in metadata["training_data"]
        assert metadata["training_init"] == "from scratch"
        assert {"training_recipe", "training_metrics", "code_version", "licence"} <= metadata.keys()
        assert (unbroken / f"validation_stage{number}.json").is_file()
        assert (unbroken / f"validation_stage{number}.png").is_file()
    assert json.loads((unbroken / "validation_stage3.json").read_text())["high"]["mad"] > 0
    assert "report.md" in {path.name for path in unbroken.iterdir()}
    assert RunSettings.read(unbroken).preset.steps == (4, 2, 2, 2)
    assert len(checkpoints(unbroken)) == 3
    names = {path.name for path in unbroken.rglob("*")}
    assert not any("partial" in name for name in names), names


@pytest.mark.slow
def test_every_term_of_every_step_is_written_down(unbroken):
    lines = read_scalars(unbroken)
    assert [line["global_step"] for line in lines] == list(range(10))
    assert [(line["stage"], line["step"]) for line in lines[3:7]] == [(1, 3), (2, 0), (2, 1), (3, 0)]
    terms = {"pha_l1", "pha_laplacian", "pha_coherence", "fgr_l1", "fgr_coherence", "total"}
    for line in lines:
        passes = ["low"] if line["stage"] < 3 else ["low", "high"]
        assert {f"{name}/{term}" for name in passes for term in terms} <= line.keys()
        assert {"segmentation/total", "lr/backbone", "samples_per_s", "memory_mb", "skipped"} <= line.keys()
        assert ("high/total" in line) == ("lr/refiner" in line) == (line["stage"] >= 3)
    assert lines[0]["lr/backbone"] == pytest.approx(1e-4 * PRESETS["tiny"].rate_factor)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_killed_three_times_and_resumed_it_ends_bit_for_bit_the_same(unbroken, tmp_path):
    folder, dice = tmp_path / "run", random.Random(time.time_ns())
    words = ["--output", folder, *SMALL, "--steps", "4,2,2,2", *EVERY_STEP]
    going_on = ["--output", folder, "--resume", *MACHINE, *EVERY_STEP]
    kills = []
    for done in sorted(dice.sample(range(9), 3)):  # of ten steps: then at any moment of the next one, or a validation
        moment = dice.uniform(0, 0.5)
        process = start(*words, killed=(folder, done, moment))
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL, out
        kills.append((done, moment, len(read_scalars(folder))))
        words = going_on
    finished(start(*going_on))
    for number in (1, 2, 3, 4):
        assert same_weights(unbroken / f"stage{number}.safetensors", folder / f"stage{number}.safetensors"), kills
    strip = ("samples_per_s", "memory_mb")
    one, two = (
        [{k: v for k, v in line.items() if k not in strip} for line in read_scalars(f)] for f in (unbroken, folder)
    )
    assert one == two


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_two_processes_equal_one_with_accumulation(tmp_path):
    """Over 5 steps; float64 would hide nothing here, the sums are the same but for their order."""
    losses = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        out = finished(start("--output", folder, "--steps", "5,0,0,0", *SMALL, processes=processes))
        lines = read_scalars(folder)
        assert len(lines) == 5
        losses.append([(line["low/total"], line["segmentation/total"]) for line in lines])
    assert "Each process computes its own batch statistics" in out
    for one, two in zip(*losses, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    assert losses[0][0] != losses[0][4]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(tmp_path):
    folder = tmp_path / "run"
    process = start("--output", folder, "--steps", "30000,0,0,0", *SMALL)
    wait_for(lambda: read_scalars(folder) or process.poll() is not None, "the first step")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, out
    assert f"--output {folder} --resume" in out
    assert "Traceback" not in out
    (path,) = checkpoints(folder)
    assert int(path.stem.split("-")[1]) == len(read_scalars(folder))


def small_run(folder: Path, preset, words: tuple = (), **settings) -> Run:
    del words
    run_settings = RunSettings(preset, stages=settings.pop("stages", (1,)), **settings)
    return Run(run_settings, folder, World(), RunOptions(validation_clips=1, checkpoint_minutes=0, quiet=True))


@pytest.mark.slow
def test_a_broken_batch_costs_only_itself(tmp_path, small_preset, monkeypatch, caplog):
    """Step 1's low pass sees a NaN: it is told with its samples, skipped, counted, and the run goes on."""
    real, calls = Trainer.run_pass, []

    def run_pass(self, part, batches, count, ratio=1.0):
        calls.append(part)
        if len(calls) != 3:  # low, segmentation, low
            return real(self, part, batches, count, ratio)
        spoilt = []
        for batch, names in batches:
            batch.src[0, 0, 0, 0, 0] = float("nan")
            spoilt.append((batch, names))
        return real(self, part, spoilt, count, ratio)

    monkeypatch.setattr(Trainer, "run_pass", run_pass)
    run = small_run(tmp_path / "run", small_preset)
    run.train()
    lines = read_scalars(tmp_path / "run")
    assert [line["skipped"] for line in lines] == [0, 1, 1, 1]
    assert "A low batch was skipped (1 so far): its loss is nan. Its samples: synthetic/matting/" in caplog.text
    assert all(x.isfinite().all() for x in run.network.state_dict().values())


def test_training_that_broke_down_stops(tmp_path, small_preset, monkeypatch):
    monkeypatch.setattr("rvm_studio.training.loop.SKIPPED_AT_MOST", 2)
    run = small_run(tmp_path / "run", small_preset)
    with torch.no_grad():
        run.network.aspp.aspp1[0].weight.fill_(float("nan"))
    with pytest.raises(StudioError, match="2 batches in a row"):
        run.train()
    assert checkpoints(tmp_path / "run") == []


@pytest.mark.slow
def test_stopping_and_resuming_in_one_process(tmp_path, small_preset):
    run = small_run(tmp_path / "run", small_preset)
    run.stopping = lambda: run.state.step == 2
    with pytest.raises(Stopped):
        run.train()
    again = Run(run.settings, tmp_path / "run", World(), RunOptions(quiet=True), resume=True)
    assert again.state == run.state
    assert all(torch.equal(x, again.network.state_dict()[name]) for name, x in run.network.state_dict().items())


@pytest.mark.slow
def test_fine_tuning_keeps_the_portraits_matte(tmp_path, small_preset, reference, reference_weights):
    """A few steps from the 8-bit official weights, whose batch normalisation is folded, on synthetic persons."""
    from dataclasses import replace

    from PIL import Image
    from rvm_studio.core.pictures.pixel_format import to_float

    with Image.open(reference / "sample_person.png") as picture:
        pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
        src = to_float(pixels.view(picture.height, picture.width, 3).permute(2, 0, 1)[None, None])

    def matte(network) -> torch.Tensor:
        with torch.no_grad():
            return network.eval()(src).pha > 0.5

    before = matte(weights.load_network(reference_weights))
    preset = replace(small_preset, rate_factor=1.0, steps=(8, 0, 0, 0))
    run = small_run(tmp_path / "run", preset, init=str(reference_weights))
    assert run.fixed == ("backbone", "aspp", "decoder")
    run.train()
    after = matte(weights.load_network(tmp_path / "run" / "stage1.safetensors"))
    iou = (before & after).sum() / (before | after).sum()
    assert 0.2 < before.float().mean() < 0.8
    assert iou > 0.95, float(iou)
    changed = weights.read(tmp_path / "run" / "stage1.safetensors").state_dict["decoder.decode0.conv.0.weight"]
    assert not torch.equal(changed, weights.read(reference_weights).state_dict["decoder.decode0.conv.0.weight"])


def planned(*words: str):
    return plan(make_parser().parse_args([str(word) for word in words]))


def test_without_arguments_it_is_the_tiny_recipe_on_synthetic_data():
    settings, folder = planned()
    assert settings.preset == PRESETS["tiny"]
    assert settings.stages == (1, 2, 3, 4)
    assert settings.data.synthetic
    assert folder == Path("runs/tiny")


def test_options_change_the_preset_and_the_stages():
    settings, _ = planned(
        *("--steps", "30,20,0,5", "--frames", "3", "--rate-factor", "2", "--size", "160", "--stages", "2-4"),
        *("--init", "scratch"),
    )
    assert settings.preset.steps == (30, 20, 0, 5)
    assert settings.preset.frames == (3, 3, 3, 3)
    assert settings.stages == (2, 4)
    assert (settings.preset.rate_factor, settings.preset.size) == (2.0, 160)
    assert planned("--stage", "3", "--init", "w.pth")[0].stages == (3,)
    assert planned("--freeze", "backbone")[0].frozen == ("backbone",)
    assert not planned("--no-foreground-loss")[0].foreground


def test_what_a_run_starts_from():
    """The recipe begins with an encoder that knows pictures; the look at every stage needs no download."""
    assert planned()[0].init is None
    assert planned("--preset", "24gb")[0].init == "imagenet"
    assert planned("--preset", "24gb", "--init", "scratch")[0].init is None
    assert planned("--preset", "24gb", "--init", "official", "--stage", "3")[0].init == "official"


def test_a_run_goes_on_with_its_own_settings_and_no_others(tmp_path):
    settings, _ = planned("--seed", "7", "--steps", "5,0,0,0", "--init", "w.pth")
    settings.save(tmp_path)
    assert planned("--output", tmp_path, "--resume") == (settings, tmp_path)
    assert planned("--output", tmp_path, "--resume", "--seed", "7") == (settings, tmp_path)
    with pytest.raises(StudioError, match="started with different settings: seed"):
        planned("--output", tmp_path, "--resume", "--seed", "8")
    with pytest.raises(StudioError, match="already contains a run"):
        planned("--output", tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--stage", "1", "--stages", "1-2"], "Give only one of them"),
        (["--stages", "3-4"], "stage2.safetensors of an earlier run"),
        (["--size", "100"], "Expected 128 or more"),
        (["--steps", "0,0,0,0"], "No stage has any steps"),
        (["--rate-factor", "0"], "Expected more than 0"),
        (["--seed", "-1"], "Expected 0 or more"),
        (["--output", "nowhere", "--resume"], "Give the folder of an existing run as --output"),
        (["--init", "nowhere.pth"], "does not exist"),
        (["--device", "tpu9"], "Unknown device"),
        (["--precision", "fp16", "--device", "cpu"], "supported on GPUs only"),
        (
            ["--data", "nowhere.toml"],
            "cannot be read as TOML" if sys.version_info >= (3, 11) else "Use Python 3.11 or later",
        ),
    ],
)
def test_errors_are_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("training/run.py: ")
    assert says in err
    assert "Traceback" not in err


def test_data_that_is_not_there_is_told_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--videomatte", "nowhere", "--output", "run"]) == 1
    assert "nowhere/train has no folders fgr and pha" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--stages", "3-9"], ["--steps", "1,2"], ["--preset", "huge"], ["--stage", "5"]])
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_check_data_says_what_is_there(capsys, tmp_path):
    assert main(["--check-data"]) == 0
    assert "synthetic persons" in capsys.readouterr().out
    assert main(["--check-data", "--videomatte", str(tmp_path)]) == 1
    assert "not usable" in capsys.readouterr().out


def test_workers_leave_a_core_to_the_training(monkeypatch):
    monkeypatch.setattr(run_options.os, "sched_getaffinity", lambda _pid: set(range(12)), raising=False)
    assert [default_workers(n) for n in (1, 2, 12, 100)] == [8, 5, 1, 1]


def test_without_the_package_it_says_what_to_run(tmp_path):
    """Another Python environment: the package cannot be found."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert f'{sys.executable} "{SCRIPT.parent.parent / "install.py"}"' in done.stderr
    assert "Traceback" not in done.stderr
