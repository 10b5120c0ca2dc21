"""`rvm-studio matte` that is stopped or killed, or whose disk is full, in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE, wait_for
from PIL import Image
from rvm_studio.core.cli import matte as cli_matte
from rvm_studio.core.cli.stop_signals import stop_on_signal

from .matte_results import files, frames_of, posix

pytestmark = pytest.mark.usefixtures("in_folder")


DRIVER = """
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("core_conftest", os.environ["CONFTEST"])
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from rvm_studio.core.cli import main, matte

class Held(conftest.RedEngine):
    # Run number HOLD_AT (counted from 1) creates the file `held` and waits until there is a file `gate`.
    runs = 0

    def run(self, *args, **options):
        self.runs += 1
        open("runs", "w").write(str(self.runs))
        if self.runs == int(os.environ.get("HOLD_AT", 0)):
            open("held", "w").close()
            while not os.path.exists("gate"):
                time.sleep(0.002)
        return super().run(*args, **options)

if limit := int(os.environ.get("FILE_LIMIT", 0)):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
matte.load_engine = lambda arguments: Held()
matte.in_own_process = lambda jobs: False
sys.exit(main.main(sys.argv[1:]))
"""


class Driven(subprocess.Popen):
    """`rvm-studio matte` with the engine above. The test holds it through files."""

    def __init__(self, *arguments, **environment):
        conftest = str(Path(__file__).parent.with_name("conftest.py"))
        super().__init__(
            [sys.executable, "-c", DRIVER, "matte", *arguments],
            env={**os.environ, "CONFTEST": conftest, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_held(self) -> None:
        wait_for(lambda: Path("held").exists() or self.poll() is not None, "the engine's run")
        assert self.poll() is None, self.communicate()

    def stop(self, number: int) -> str:
        """Sends the signal while the engine runs; opens the gate when it was noticed. Returns the last line."""
        self.wait_until_held()
        self.send_signal(number)
        heeded = "rvm-studio: stopping, finishing the files (press Ctrl-C again to end at once)\n"
        assert self.stderr.readline() == heeded
        Path("gate").touch()
        out, err = self.communicate(timeout=PATIENCE)
        assert err == ""
        return out.splitlines()[-1]

    def finish(self) -> tuple[str, str]:
        return self.communicate(timeout=PATIENCE)


def runs_of_the_engine() -> int:
    """The number of runs so far. Removes the files that held the engine."""
    runs = int(Path("runs").read_text())
    for name in ("runs", "held", "gate"):
        Path(name).unlink(missing_ok=True)
    return runs


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_keeps_a_playable_partial_file(make_clip, name, code):
    """The job ends with the current frame: the engine does not run again."""
    make_clip("clip.mp4", size=(64, 48), frames=40, audio="aac")
    make_clip("next.mp4", frames=2)
    arguments = ("clip.mp4", "next.mp4", "-o", "out", "--alpha", "out", "--json", "--warm-up", "0")
    process = Driven(*arguments, HOLD_AT="20")
    stopped = json.loads(process.stop(getattr(signal, name)))
    assert process.returncode == code
    assert stopped["event"] == "stopped"
    assert runs_of_the_engine() == stopped["frames"] == 20
    assert stopped["outputs"] == ["out/clip.partial.mov", "out/clip_alpha.partial.mp4"]
    assert files() == ["clip.mp4", "next.mp4", "out/clip.partial.mov", "out/clip_alpha.partial.mp4"]
    for path in stopped["outputs"]:
        assert len(frames_of(path)) == stopped["frames"]


@posix
def test_a_second_ctrl_c_ends_at_once(clip):
    """Even while the network never returns. A second signal at once counts as the first one, a third does not."""
    process = Driven("clip.mp4", "-o", "out.mov", "--warm-up", "0", HOLD_AT="1")
    process.wait_until_held()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("rvm-studio: stopping")
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    out, err = process.finish()
    assert (process.returncode, out, err) == (130, "", "")
    assert runs_of_the_engine() == 1
    (partial,) = set(files()) - {"clip.mp4"}
    assert re.fullmatch(r"out\.[0-9a-f]{8}\.partial\.mov", partial)


@posix
def test_after_a_kill_no_final_name_and_a_new_run_works(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40)
    process = Driven("clip.mp4", "-o", "out.mov", "--json", "--warm-up", "0", HOLD_AT="20")
    process.wait_until_held()
    process.kill()
    process.finish()
    assert runs_of_the_engine() == 20
    assert "out.mov" not in files()
    assert red_studio("matte", "clip.mp4", "-o", "out.mov").code == 0
    assert files() == ["clip.mp4", "out.mov"]
    assert len(frames_of("out.mov")) == 40


@posix
def test_resume_after_a_signal(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40, audio="aac")
    arguments = ("clip.mp4", "-o", "out.mov", "--alpha", "alpha.png", "--json", "--warm-up", "0")
    process = Driven(*arguments, HOLD_AT="20")
    stopped = json.loads(process.stop(signal.SIGINT))
    assert runs_of_the_engine() == (done := stopped["frames"])
    assert stopped["notes"][0] == f"a resumed run will continue at frame {done}"
    assert "out.partial.mov.safetensors" in files()
    ran = red_studio("matte", *arguments, "--resume")
    assert ran.code == 0
    event = json.loads(ran.out.splitlines()[-1])
    assert (event["event"], event["frames"]) == ("done", 40)
    assert event["notes"][0] == f"resumed at frame {done}"
    pictures = [f"alpha/{number:05d}.png" for number in range(40)]
    assert files() == [*pictures, "alpha/timestamps.json", "clip.mp4", "out.mov"]
    whole = frames_of("clip.mp4")
    assert np.array_equal(Image.open("alpha/00039.png"), whole[39][..., 0])
    assert len(frames_of("out.mov")) == 40


@posix
def test_resume_after_a_kill_says_what_it_does(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40)
    process = Driven("clip.mp4", "-o", "out.png", "--json", "--warm-up", "0", HOLD_AT="20")
    process.wait_until_held()
    process.kill()
    process.finish()
    assert runs_of_the_engine() == 20
    ran = red_studio("matte", "clip.mp4", "-o", "out.png", "--resume", "--warm-up", "0")
    assert ran.code == 0
    assert re.search(r"  note: (resumed at frame \d+|started over: there is no record of how far it came)\n", ran.out)
    assert files() == ["clip.mp4", *(f"out/{number:05d}.png" for number in range(40)), "out/timestamps.json"]


def test_a_full_disk(make_clip):
    """Simulated by a limit on file sizes: the large clip fails with one line, the small clip after it is matted."""
    pytest.importorskip("resource")
    make_clip("large.mp4", size=(320, 240), frames=30)
    make_clip("small.mp4", size=(16, 16), frames=2)
    process = Driven("large.mp4", "small.mp4", "-o", "out", "--quiet", FILE_LIMIT="300000")
    out, err = process.finish()
    assert (process.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("rvm-studio: ")
    assert "large.mov cannot be written because the disk is full" in line
    assert "out/small.mov" in files()
    assert "out/large.mov" not in files()
    assert len(frames_of("out/small.mov")) == 2


def test_stopping_between_two_clips(red_studio, clip, make_clip, monkeypatch):
    """The signal comes while the first clip's report is printed: the second clip is not started."""
    make_clip("next.mp4", frames=2)
    events = []

    class Noticing:
        def __enter__(self):
            self.inner = stop_on_signal()
            stop, received = self.inner.__enter__()
            events.append((stop, received))
            return stop, received

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    def report(*_):
        stop, received = events[0]
        received.append(15)
        stop.set()

    monkeypatch.setattr(cli_matte, "stop_on_signal", Noticing)
    monkeypatch.setattr(cli_matte, "print_report", report)
    assert red_studio("matte", "clip.mp4", "next.mp4", "-o", "out").code == 143
    assert files() == ["clip.mp4", "next.mp4", "out/clip.mov"]
