"""Batches in a process of their own: a crash costs one clip, the others are matted; signals, JSON, notes, errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import known_engines
import pytest
from patience import PATIENCE, wait_for
from rvm_studio.core.cli import clip_process
from rvm_studio.core.cli import matte as cli_matte
from rvm_studio.core.cli.clip_process import _cause

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
HERE = Path(known_engines.__file__).parent


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    return tmp_path


@pytest.fixture
def batch(studio, monkeypatch):
    """`rvm-studio matte` with a batch in a real process, with the engine of known_engines."""
    monkeypatch.setattr(cli_matte, "load_engine", known_engines.load)
    return lambda *arguments: studio("matte", *arguments)


def files() -> list[str]:
    found = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    return [path for path in found if path.startswith("out/") and "/." not in path]


def frames_in(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@posix
def test_a_crash_costs_one_clip(batch, make_clip):
    names = ["a.mp4", "text.mp4", "segfault.mp4", "b.mp4", "killed.mp4"]
    for name in names:
        make_clip(name, size=(32, 24), frames=3, audio="aac")
    Path("text.mp4").write_text("no video")
    ran = batch(*names, "-o", "out", "--json", "--format", "webm", "--shift", "1", "--start", "1f")
    assert ran.code == 1
    events = [json.loads(line) for line in ran.out.splitlines()]
    ends = [(event["event"], event["input"]) for event in events if event["event"] != "progress"]
    wrong = {"text.mp4", "segfault.mp4", "killed.mp4"}
    assert ends == [("error" if name in wrong else "done", name) for name in names]
    assert {event["input"] for event in events if event["event"] == "progress"} == {"a.mp4", "b.mp4"}
    messages = {event["input"]: event["message"] for event in events if event["event"] == "error"}
    assert messages["segfault.mp4"].startswith(
        "The decoder crashed on segfault.mp4 (SIGSEGV, before its first frame). The file may be damaged"
    )
    assert messages["killed.mp4"].startswith("The process that matted killed.mp4 was killed after 0 frames (SIGKILL)")
    assert "text.mp4 cannot be opened as a video" in messages["text.mp4"]
    assert "a library's greeting" not in ran.out
    lines = [line for line in ran.err.splitlines() if line.startswith("rvm-studio: ")]
    assert lines == [f"rvm-studio: {messages[name]}" for name in names if name in wrong]
    assert files() == ["out/a.webm", "out/b.webm"]
    assert [frames_in(path) for path in files()] == [2, 2]
    notes = [note for event in events if event["event"] == "done" for note in event["notes"]]
    assert sum("re-encoded as opus" in note for note in notes) == 2
    loads = Path("loads").read_text().split()
    assert len(loads) == len(set(loads)) == 2  # one process until the first crash, one after it
    assert str(os.getpid()) not in loads


def test_nothing_can_be_matted_without_the_engine(batch, make_clip, monkeypatch):
    monkeypatch.setenv("DIES_LOADING", "1")
    for name in ("a.mp4", "b.mp4"):
        make_clip(name, size=(32, 24), frames=2)
    ran = batch("a.mp4", "b.mp4", "-o", "out")
    assert ran.code == 1
    (line,) = [line for line in ran.err.splitlines() if line.startswith("rvm-studio")]
    assert line.startswith("rvm-studio: The process that loads the network died (")


DRIVER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import known_engines
from rvm_studio.core.cli import main, matte
matte.load_engine = known_engines.load
sys.exit(main.main(sys.argv[1:]))
"""


def driven(*arguments: str, **environment: str) -> subprocess.Popen:
    """A batch in a process of its own, which is the head of a group, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(HERE), "matte", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@posix
def test_ctrl_c_finishes_the_partial_file(make_clip):
    """A terminal sends it to both processes; only this one heeds it."""
    make_clip("a.mp4", size=(64, 48), frames=40)
    make_clip("b.mp4", size=(64, 48), frames=2)
    process = driven("a.mp4", "b.mp4", "-o", "out", "--json", "--warm-up", "0", HOLD_AT="20")
    wait_for(lambda: Path("held").exists() or process.poll() is not None, "the engine's run")
    os.killpg(process.pid, signal.SIGINT)
    wait_for(lambda: "stopping" in process.stderr.readline(), "the signal to be heeded")
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the frame that is at work
        process.wait(2 * clip_process._LOOK)
    Path("gate").touch()
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["event"], stopped["frames"], stopped["input"]) == ("stopped", 20, "a.mp4")
    assert files() == ["out/a.partial.mov", "out/a.partial.mov.safetensors"]
    assert frames_in("out/a.partial.mov") == 20


@posix
def test_the_other_process_ends_with_this_one(make_clip):
    """Also if this one is killed, or ended by a second Ctrl-C, while the other one is at work."""
    for name in ("a.mp4", "b.mp4"):
        make_clip(name, size=(64, 48), frames=4)
    process = driven("a.mp4", "b.mp4", "-o", "out", "--warm-up", "0", HOLD_AT="1")
    wait_for(lambda: Path("held").exists() or process.poll() is not None, "the engine's run")
    worker = int(Path("loads").read_text())
    process.kill()
    process.communicate(timeout=PATIENCE)

    def is_gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(is_gone, "the other process to end")


def test_exit_codes_in_words():
    assert _cause(3) == "exit code 3"
    assert _cause(0xC0000005) == _cause(0xC0000005 - (1 << 32)) == "access violation"
    if os.name == "posix":
        assert _cause(-11) == "SIGSEGV"
        assert _cause(-99) == "exit code -99"
