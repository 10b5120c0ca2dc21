"""The tests' own names: Python 3.10, say, writes the time into what gzip packs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_process_gives_the_tests_the_same_names():
    """pytest's processes share the tests out by their names: a time or a hash in one of them ends the whole run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    first, second = (
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for seed in ("1", "2")
    )
    assert len(first) > 1000
    assert [pair for pair in zip(first[:-1], second[:-1], strict=True) if pair[0] != pair[1]] == []
