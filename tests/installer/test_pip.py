"""pip that fails."""

import sys
from pathlib import Path

import pytest
from rvm_studio.installer import console, pip


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Failed to establish a new connection\nERROR: No matching distribution found", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "64-bit Python 3.10-3.13"),
        ("error: externally-managed-environment", "belongs to the system"),
        ("[WinError 5] Access is denied: 'c10.dll'", "in use"),
    ],
)
def test_pips_failures_get_advice(output, reason):
    assert reason in pip.hint(output.splitlines())


def test_a_failing_pip_ends_the_run_with_its_last_lines(monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(console.InstallError, match=r"64-bit Python 3.10-3.13.*Then run install.py again"):
        pip.pip_install(Path(sys.executable), "no-such-thing-as-this==1.0")
    assert "no-such-thing-as-this" in capsys.readouterr().err
