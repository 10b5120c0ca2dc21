"""Options and exit codes."""

import pytest
from rvm_studio.installer import checkout, console, environment, packages, processes, program, pytorch, space, studio


def test_a_venv_that_cannot_be_made_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(processes, "run_quietly", lambda command, env: (1, ["first", "the reason"]))
    assert program.main(["--venv", str(tmp_path / "env")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"install.py: {tmp_path / 'env'} could not be created (")
    assert printed.err.endswith("the reason\n")
    assert printed.err.count("\n") == 1


def test_what_follows_test_goes_to_pytest():
    assert program.parse(["--cpu", "--test", "-k", "weights", "--cuda"]).test == ["-k", "weights", "--cuda"]
    assert program.parse(["--test"]).test == []
    assert program.parse([]).test is None


@pytest.mark.parametrize("arguments", [["--cuda", "12.6"], ["--cpu", "--cuda", "cu126"], ["--unknown"]])
def test_wrong_usage_is_refused(arguments):
    with pytest.raises(SystemExit, match="2"):
        program.parse(arguments)


def test_check_alone_is_refused():
    with pytest.raises(SystemExit, match="2"):
        program.parse(["--check"])


@pytest.mark.parametrize("weights", [[], ["--weights", "starter"]])
def test_the_demo_takes_the_weights_that_are_there(theirs, monkeypatch, weights):
    """It would try the same download again, and fail again, before it took the bundled ones by itself."""
    calls = []
    monkeypatch.setattr(program, "set_up", lambda options: (theirs, weights))
    monkeypatch.setattr(studio, "run_studio", lambda target, *words: calls.append(list(words)) or 0)
    assert program.main(["--demo"]) == 0
    assert calls == [["demo", *weights]]


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        ([], []),
        (["--export"], ["export"]),
        (["--train", "--export"], ["export", "train"]),
        (["--train", "--test"], ["test", "export", "train"]),
    ],
)
def test_options_stand_for_extras(arguments, extras):
    assert program.extras_of(program.parse(arguments)) == extras


def test_the_next_command_can_be_run_as_it_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "WINDOWS", False)
    command = program.what_next("/env/bin", ["--weights", "starter"])
    sample = checkout.HERE / "assets" / "sample.mp4"
    assert sample.is_file()
    assert command == f"/env/bin/rvm-studio matte {sample} -o matte.mov --weights starter"


# ---- before anything is installed


@pytest.fixture
def large_plan(theirs, found, monkeypatch):
    """A run of confirm_size with a question to ask; takes the command's arguments, returns for what room was sought."""
    monkeypatch.setattr(packages, "fast_is_lacking", lambda state: True)
    monkeypatch.setattr(space, "require_space", lambda python, environment, size: rooms.append(size))
    monkeypatch.delenv("CI", raising=False)
    rooms = []
    plan = pytorch.Plan("text", ["torch"], space.TORCH_CUDA, question="Far too large.")
    state = found(dict.fromkeys(name for name, _ in checkout.core_requirements() + checkout.all_extras()))

    def run(*arguments: str) -> list:
        options = program.parse(list(arguments))
        program.confirm_size(theirs, state, program.extras_of(options), plan, options)
        return rooms

    return run


def test_the_size_is_said_before_and_room_is_looked_for(large_plan, capsys):
    (size,) = large_plan("--yes", "--export")
    parts = (space.TORCH_CUDA, space.CORE, space.FAST, space.EXTRAS["export"])
    assert size == (sum(part.download for part in parts), sum(part.installed for part in parts))
    printed = capsys.readouterr().out
    assert f"needed: {size.download:.1f} GB to download, {size.installed:.1f} GB on the disk, about " in printed
    assert printed.index("needed: ") < printed.index("Far too large.")


def test_where_all_is_in_place_nothing_is_asked(theirs, found, monkeypatch, capsys):
    monkeypatch.setattr(packages, "unmet", lambda state, requirements: [])
    monkeypatch.setattr(packages, "fast_is_lacking", lambda state: False)
    program.confirm_size(theirs, found({}), ["export"], pytorch.Plan("in place", []), program.parse([]))
    assert capsys.readouterr().out == ""


def test_without_a_terminal(large_plan, monkeypatch):
    """stdin closed, a pipe, a service: nothing hangs, and nothing large is taken unasked."""
    monkeypatch.setattr(console, "can_ask", lambda: False)
    with pytest.raises(console.InstallError, match=r"To install it: .*install\.py --yes --export --test -k x$"):
        large_plan("--export", "--test", "-k", "x")


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_ci_is_asked_nothing(large_plan, monkeypatch, capsys, value):
    monkeypatch.setattr(console, "can_ask", lambda: False)
    monkeypatch.setenv("CI", value)
    large_plan()
    assert "continuing because CI is set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y", True), (" Yes ", True), ("", False), ("no", False), (None, False)]
)
def test_the_answer_counts(large_plan, monkeypatch, answer, goes_on):
    def reply(_):
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr(console, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", reply)
    if goes_on:
        large_plan()
    else:
        with pytest.raises(console.InstallError, match="nothing was installed"):
            large_plan()


def test_a_python_of_tomorrow_is_a_note(theirs, monkeypatch):
    monkeypatch.setattr(environment, "choose_target", lambda venv: theirs)
    monkeypatch.setattr(environment, "identify", lambda python: {"version": [3, 15, 1]})
    warnings = []
    program.choose_python(program.parse([]), warnings)
    assert warnings == [
        "Python 3.15.1 is newer than the versions that RVM Studio is tested with (Python 3.10 to 3.14)."
    ]
    monkeypatch.setattr(environment, "identify", lambda python: {"version": [3, 9, 18]})
    with pytest.raises(console.InstallError, match=r"needs Python 3\.10 to 3\.14, but the active environment has "):
        program.choose_python(program.parse([]), warnings)
