"""The command line as a whole: help, usage errors, what errors look like, broken pipes, JSON."""

import json
import logging
import os
import subprocess
import sys

import pytest
from rvm_studio.core.cli import info as cli_info
from rvm_studio.core.errors import StudioError

CLI = [sys.executable, "-m", "rvm_studio.core.cli.main"]


@pytest.fixture
def failing(studio, monkeypatch):
    """`failing(error)` runs `info`, which raises that error."""

    def run(error: BaseException):
        def broken(_):
            raise error

        monkeypatch.setattr(cli_info, "run", broken)
        return studio("info")

    return run


@pytest.mark.parametrize("command", [[], ["matte"], ["demo"], ["weights"], ["weights", "fetch"], ["info"]])
def test_help_imports_nothing_large(command):
    """Help must come at once: torch alone takes seconds."""
    code = (
        "import sys\n"
        "from rvm_studio.core.cli.main import main\n"
        "try: main([*sys.argv[1:], '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "print('LARGE', sorted({'torch', 'torchvision', 'numpy', 'av', 'PIL', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("usage: rvm-studio")
    assert done.stdout.endswith("LARGE []\n")


def test_help_names_every_command(studio):
    code, out, _ = studio("--help")
    assert code == 0
    assert all(f"    {command} " in out for command in ("matte", "demo", "check", "eval", "weights", "info", "export"))


def test_no_command_shows_the_help_and_fails(studio):
    code, out, err = studio()
    assert (code, out) == (2, "")
    assert "matte" in err
    assert "demo" in err


def test_version(studio):
    code, out, _ = studio("--version")
    assert code == 0
    assert out.startswith("rvm-studio ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mate"], "'mate' is not a command. Did you mean `rvm-studio matte`?"),
        (["matte"], "required: INPUT"),
        (["matte", "a.mp4", "--wrong"], "unrecognized arguments: --wrong"),
        (["weights"], "required: COMMAND"),
        (["demo", "--refiner", "best"], "invalid choice: 'best'"),
    ],
)
def test_wrong_usage_is_one_line_that_points_to_the_help(studio, arguments, says):
    code, out, err = studio(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("rvm-studio")
    assert says in line
    assert line.endswith(" --help)")


def test_an_expected_error_is_its_text_alone(failing):
    assert failing(StudioError("The cable is out. Plug it in.")) == (
        1,
        "",
        "rvm-studio: The cable is out. Plug it in.\n",
    )


def test_an_unexpected_error_asks_for_a_report(failing):
    code, out, err = failing(ZeroDivisionError("by zero"))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "ZeroDivisionError: by zero" in line
    assert "RVM_DEBUG=1" in line


@pytest.mark.parametrize("error", [StudioError("The cable is out."), ZeroDivisionError("by zero")])
def test_debug_shows_the_traceback_before_the_line(failing, monkeypatch, error):
    monkeypatch.setenv("RVM_DEBUG", "1")
    code, _, err = failing(error)
    assert code == 1
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("rvm-studio: ")


def test_ctrl_c_before_anything_was_begun(failing):
    assert failing(KeyboardInterrupt()) == (130, "", "rvm-studio: stopped.\n")


def test_names_the_terminal_cannot_show_are_escaped(studio, monkeypatch):
    """A name that is no UTF-8, as Linux allows, or Japanese on a Western Windows console."""

    def surrogate(_):
        print("bad\udcff.mov")
        return 0

    monkeypatch.setattr(cli_info, "run", surrogate)
    assert studio("info") == (0, "bad\\udcff.mov\n", "")


def test_log_warnings_are_notes_and_quiet_hides_them(studio, monkeypatch):
    log = logging.getLogger("rvm_studio.core.anything")

    def run(_):
        log.warning("It is %s.", "dark")
        log.error("It burns.")
        return 0

    monkeypatch.setattr(cli_info, "run", run)
    assert studio("info").err == "note: It is dark.\nnote: It burns.\n"
    monkeypatch.setattr("rvm_studio.core.cli.matte.run", run)
    assert studio("matte", "x.mp4", "--quiet").err == "note: It burns.\n"


def test_errors_of_the_whole_command_are_json_too(studio):
    code, out, err = studio("matte", "x.mp4", "--json")
    assert code == 1
    assert json.loads(out) == {"event": "error", "input": None, "message": err.removeprefix("rvm-studio: ").strip()}


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_went_away_is_no_traceback():
    """As with `rvm-studio weights list | head -0`: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*CLI, "weights", "list"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


def test_the_process_ends_with_mains_exit_code_and_all_that_was_printed():
    def run(arguments, returns):
        code = (
            "import sys\nfrom rvm_studio.core.cli import info, start\n"
            f"def run(_):\n    print('x' * 100000)\n    print('last', end='', file=sys.stderr)\n    {returns}\n"
            "info.run = run\nstart.program()"
        )
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)

    for returns, code in (("return 0", 0), ("return 3", 3), ("raise KeyboardInterrupt", 130)):
        done = run(["info"], returns)
        assert (done.returncode, done.stdout) == (code, "x" * 100000 + "\n")
        assert done.stderr.startswith("last")
    assert run(["info", "--unknown"], "return 0").returncode == 2
    assert run([], "return 0").returncode == 2
    assert subprocess.run([*CLI, "matte", "nothing.mp4"], capture_output=True).returncode == 1
