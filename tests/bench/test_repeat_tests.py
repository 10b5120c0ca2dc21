"""The command that repeats the tests tells what failed how often, and fails with them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "repeat_tests.py"
TESTS = """
import os
from pathlib import Path

import pytest

def test_good():
    pass

def test_bad():
    assert not "always"

def test_flaky():
    counted = Path(__file__).with_name("counted")
    count = int(counted.read_text()) if counted.exists() else 0
    counted.write_text(str(count + 1))
    assert count != 1, "the second time"

@pytest.fixture
def broken():
    raise OSError("no fixture")

def test_of_the_fixture(broken):
    pass

def test_niceness():
    Path(__file__).with_name("niceness").open("a").write(f"{os.nice(0)} ")
"""


def repeat(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def named(out: str, kind: str) -> list[str]:
    """The tests that are called so."""
    return [line.rsplit("::", 1)[1] for line in out.splitlines() if line.startswith(kind)]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "test_some.py"
    path.write_text(TESTS)
    return path


@pytest.mark.slow
def test_what_failed_and_how_often(file, tmp_path):
    done = repeat("--times", 3, "--loaded", 1, file, "-p", "no:cacheprovider", "-q")
    assert done.returncode == 1, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line[:4].strip().isdigit()]
    assert [[row[0], row[-3], row[-2]] for row in rows] == [["1", "5", "2"], ["2", "5", "3"], ["3", "5", "2"]]
    assert [row[1] for row in rows] == ["as", "as", "loaded"]
    assert named(done.stdout, "always fails") == ["test_bad", "test_of_the_fixture"]
    assert named(done.stdout, "flaky, failed 1 of 3 times") == ["test_flaky"]
    assert "the second time" in done.stdout
    assert "no fixture" in done.stdout
    usual, again, loaded = map(int, (tmp_path / "niceness").read_text().split())
    assert usual == again
    assert loaded == min(19, usual + 5) or sys.platform == "win32"


@pytest.mark.slow
def test_nothing_failed(file):
    done = repeat("--times", 2, "--loaded", 0, file, "-p", "no:cacheprovider", "-q", "-k", "good")
    assert done.returncode == 0, done.stdout
    assert "flaky" not in done.stdout
    assert "always" not in done.stdout


def test_a_pytest_that_does_not_even_begin(file):
    done = repeat("--times", 1, "--loaded", 0, file, "--no-such-option")
    assert done.returncode == 1
    assert "pytest itself, exit code 4" in done.stdout


def test_wrong_use(file):
    done = repeat("--times", 1, "--loaded", 2, file)
    assert done.returncode == 2
    assert "no more loaded" in done.stderr
