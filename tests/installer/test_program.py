"""Options and exit codes."""

import pytest
from rvm_studio.installer import processes, program


def test_a_venv_that_cannot_be_made_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(processes, "run_quietly", lambda command, env: (1, ["first", "the reason"]))
    assert program.main(["--venv", str(tmp_path / "env")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("install.py: could not make")
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
