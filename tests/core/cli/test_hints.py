"""Commands that do not run, and the ones that were meant."""

import shlex
from pathlib import Path

import pytest
from rvm_studio.core.cli import matte as cli_matte
from rvm_studio.core.cli.hints import matte_command
from rvm_studio.core.cli.main import make_parser


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch, make_clip):
    monkeypatch.chdir(tmp_path)
    make_clip("clip.mp4", size=(32, 24), frames=2)
    Path("face.jpg").touch()
    Path("holiday").mkdir()


def the_line(ran, code=2) -> str:
    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("clip.mp4", "rvm-studio matte clip.mp4 -o cut.mov"),
        ("missing.mp4", "rvm-studio matte missing.mp4 -o cut.mov"),
        ("face.jpg", "rvm-studio matte face.jpg -o cut.png"),
        ("holiday", "rvm-studio matte holiday -o cut.mov"),
        ("'shots/*.png'", "rvm-studio matte 'shots/*.png' -o cut.mov"),
        ("clip.mp4 new.webm", "rvm-studio matte clip.mp4 -o new.webm"),
        ("clip.mp4 -o new.webm", "rvm-studio matte clip.mp4 -o new.webm"),
        ("-o new.webm clip.mp4", "rvm-studio matte -o new.webm clip.mp4"),
        ("clip.mp4 --alpha=a.mp4", "rvm-studio matte clip.mp4 --alpha=a.mp4"),
        ("'a b.mp4' --quiet", "rvm-studio matte 'a b.mp4' --quiet -o cut.mov"),
    ],
)
def test_a_clip_without_the_command(studio, typed, meant):
    """The command that is shown is one that the parser takes."""
    line = the_line(studio(*shlex.split(typed)))
    assert line.endswith(f"is not a command. To matte it: {meant} (see rvm-studio --help)")
    assert make_parser().parse_args(shlex.split(meant)[1:]).run is cli_matte.run


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("matte clip.mp4 new.webm", "rvm-studio matte clip.mp4 -o new.webm"),
        ("matte clip.mp4 holiday new.webm", "rvm-studio matte clip.mp4 holiday -o new.webm"),
        ("matte clip.mp4", "rvm-studio matte clip.mp4 -o cut.mov"),
        ("matte clip.mp4 clip.mp4", "rvm-studio matte clip.mp4 clip.mp4 -o cut.mov"),
        ("matte new.webm", "rvm-studio matte new.webm -o cut.mov"),
    ],
)
def test_an_output_without_its_option(studio, typed, meant):
    line = the_line(studio(*shlex.split(typed)), code=1)
    assert line.startswith("rvm-studio: nothing to write: give -o OUTPUT")
    assert line.endswith(f"Did you mean `{meant}`?")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("mattte clip.mp4", "rvm-studio: 'mattte' is not a command. Did you mean `rvm-studio matte`?"),
        ("wieghts list", "rvm-studio: 'wieghts' is not a command. Did you mean `rvm-studio weights`?"),
        ("weights ftech", "rvm-studio weights: 'ftech' is not a command. Did you mean `rvm-studio weights fetch`?"),
        ("--quiet exprot", "rvm-studio: 'exprot' is not a command. Did you mean `rvm-studio export`?"),
        (
            "xyzzy",
            "rvm-studio: 'xyzzy' is not a command. Use matte, demo, check, eval, weights, info, export, completion.",
        ),
    ],
)
def test_a_typo_in_a_command(studio, typed, says):
    assert the_line(studio(*shlex.split(typed))).startswith(says)


def test_commands_are_never_clips(studio, monkeypatch):
    """A folder of a command's name does not hide the command."""
    Path("info").mkdir()
    monkeypatch.setattr("rvm_studio.core.cli.info.run", lambda _: 7)
    assert studio("info").code == 7


def test_a_url_without_the_command(studio):
    meant = "rvm-studio matte https://example.com/a.mp4 -o cut.mov"
    assert f"is not a command. To matte it: {meant} (" in the_line(studio("https://example.com/a.mp4"))
    assert "rtsp://camera/1 is a URL. Only the input of a clip may be one" in the_line(studio("rtsp://camera/1"))


def test_as_one_types_it_on_windows(monkeypatch):
    monkeypatch.setattr("rvm_studio.core.machine.install_advice.sys.platform", "win32")
    assert matte_command(["a b.mp4"]) == 'rvm-studio matte "a b.mp4" -o cut.mov'
