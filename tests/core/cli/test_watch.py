"""Files of a watched folder: when they count as complete, and the command that mattes them until Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import known_engines
import pytest
from patience import PATIENCE, wait_for
from PIL import Image
from rvm_studio.core.cli.watch import QUIET, QUIET_UNFINISHED, FolderWatch, is_being_written, is_whole_movie

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def inbox(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def watch(inbox):
    return FolderWatch(inbox, lambda path: path.suffix in (".mp4", ".mkv"), recursive=False, without=[])


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_a_file_is_given_once_it_is_quiet(watch, inbox, make_clip):
    make_clip(inbox / "b.mkv", size=(32, 24), frames=2)
    make_clip(inbox / "a.mp4", size=(32, 24), frames=2)
    (inbox / "notes.txt").write_text("mine")
    assert watch.look(100.0) == []
    assert watch.look(100.0 + QUIET - 0.1) == []
    assert names(watch.look(100.0 + QUIET)) == ["a.mp4", "b.mkv"]
    assert watch.look(1000.0) == []


def test_a_growing_file_waits(watch, inbox, make_clip):
    data = Path(make_clip("whole.mkv", size=(32, 24), frames=8)).read_bytes()
    for step in range(1, 5):
        (inbox / "a.mkv").write_bytes(data[: step * len(data) // 4])
        assert watch.look(step * QUIET * 0.9) == []
    assert names(watch.look(5 * QUIET)) == ["a.mkv"]


@pytest.mark.parametrize("filled", [False, True])
def test_a_stalled_copy_of_a_movie_waits_longer(watch, inbox, make_clip, filled):
    """filled: the copying program has made the file as long as it will be, as Windows' does."""
    data = Path(make_clip("whole.mp4", size=(32, 24), frames=8)).read_bytes()
    part = data[: len(data) // 2]
    (inbox / "a.mp4").write_bytes(part + bytes(len(data) - len(part)) * filled)
    watch.look(0.0)
    assert watch.look(10 * QUIET) == []
    (inbox / "a.mp4").write_bytes(data)
    os.utime(inbox / "a.mp4", (1, 1))
    watch.look(20 * QUIET)
    assert names(watch.look(21 * QUIET)) == ["a.mp4"]


def test_what_never_becomes_whole_is_given_in_the_end(watch, inbox):
    (inbox / "a.mp4").write_bytes(b"no movie at all")
    watch.look(0.0)
    assert watch.look(QUIET_UNFINISHED - 1) == []
    assert names(watch.look(QUIET_UNFINISHED)) == ["a.mp4"]


def test_a_changed_file_is_given_again_and_a_gone_one_forgotten(watch, inbox, make_clip):
    make_clip(inbox / "a.mkv", size=(32, 24), frames=2)
    watch.look(0.0)
    assert names(watch.look(QUIET)) == ["a.mkv"]
    make_clip(inbox / "a.mkv", size=(32, 24), frames=5)
    watch.look(2 * QUIET)
    assert names(watch.look(3 * QUIET)) == ["a.mkv"]
    shutil.rmtree(inbox)
    assert watch.look(4 * QUIET) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases of Linux")
def test_a_file_that_is_open_for_writing_waits(watch, inbox, make_clip):
    make_clip(inbox / "a.mkv", size=(32, 24), frames=2)
    with (inbox / "a.mkv").open("ab"):
        if not is_being_written(inbox / "a.mkv"):
            pytest.skip("this file system has no leases")
        watch.look(0.0)
        assert watch.look(100 * QUIET) == []
    assert not is_being_written(inbox / "a.mkv")
    assert names(watch.look(101 * QUIET)) == ["a.mkv"]


def test_whole_movies(make_clip):
    for name in ("a.mp4", "a.mov"):
        path = Path(make_clip(name, size=(32, 24), frames=2))
        size = path.stat().st_size
        assert is_whole_movie(path, size)
        path.write_bytes(path.read_bytes()[:-1])
        assert not is_whole_movie(path, size - 1)
    Path("a.avi").touch()
    assert is_whole_movie(Path("a.avi"), 0)


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--watch", "gone", "-o", "out"], "The folder to watch, gone, does not exist", 1),
        (["--watch", "in", "-o", "cut.mov"], "Several inputs cannot all become cut.mov", 1),
        (["--watch", "in", "-o", "./in/"], "The outputs would lie in the watched folder", 1),
        (["--watch", "in"], "nothing to write", 1),
        (["in", "--watch", "in", "-o", "out"], "--watch takes the place of INPUT", 1),
        (["-o", "out"], "the following arguments are required: INPUT", 2),
    ],
)
def test_what_cannot_be_watched(red_studio, arguments, says, code):
    ran = red_studio("matte", *arguments)
    assert ran.code == code
    (line,) = ran.err.splitlines()
    assert says in line


DRIVER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import known_engines
from rvm_studio.core.cli import main, matte, watch
matte.load_engine = known_engines.load
watch.QUIET, watch.LOOK = 0.1, 0.02
sys.exit(main.main(sys.argv[1:]))
"""


@posix
def test_new_clips_are_matted_until_ctrl_c(inbox, make_clip):
    """One that is there, one whose output is there, a picture, one that crashes, and one that comes."""
    (inbox / "day").mkdir()
    make_clip("late.mp4", size=(32, 24), frames=3)
    for name in ("in/first.mp4", "in/day/segfault.mp4", "in/done.mp4"):
        make_clip(name, size=(32, 24), frames=2)
    Image.new("RGB", (8, 8)).save("in/picture.png")
    Path("in/out").mkdir()
    Path("in/out/done.mov").write_text("mine")
    command = [sys.executable, "-c", DRIVER, str(Path(known_engines.__file__).parent)]
    process = subprocess.Popen(
        [*command, "matte", "--watch", "in", "--recursive", "-o", "in/out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ended() -> bool:
        return process.poll() is not None

    wait_for(lambda: Path("in/out/first.mov").exists() or ended(), "the clip that was there")
    shutil.copy("late.mp4", "in/day/late.mp4")
    wait_for(lambda: Path("in/out/day/late.mov").exists() or ended(), "the clip that came")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "in/first.mp4: matted 2 frames" in out
    assert "The decoder crashed on in/day/segfault.mp4 (SIGSEGV" in err
    assert "note: in/done.mp4 is skipped: its output exists already" in err
    assert Path("in/out/done.mov").read_text() == "mine"
    made = sorted(path.relative_to("in/out").as_posix() for path in Path("in/out").rglob("*.mov"))
    assert made == ["day/late.mov", "done.mov", "first.mov"]
