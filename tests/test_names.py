"""The tests' own names: Python 3.10, say, writes the time into what gzip packs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_process_gives_the_tests_the_same_names(request):
    """pytest's processes share the tests out by their names: a time or a hash in one of them ends the whole run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    collected = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert {item.nodeid for item in request.session.items} <= set(collected.splitlines())
