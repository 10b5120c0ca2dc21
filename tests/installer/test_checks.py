"""`--test` runs every check."""

import os
import subprocess
from types import SimpleNamespace

import pytest
from rvm_studio.installer import checkout, checks


@pytest.mark.parametrize("failing", ["", "ruff", "basedpyright", "pytest"])
def test_all_checks_run_and_any_failure_counts(theirs, monkeypatch, capfd, failing):
    ran = []

    def run(command, **_):
        ran.append(command[2:])
        return SimpleNamespace(returncode=int(command[2] == failing))

    monkeypatch.setattr(subprocess, "run", run)
    assert checks.run_checks(theirs, ["-k", "x"]) == int(bool(failing))
    assert [command[0] for command in ran] == ["ruff", "ruff", "basedpyright", "pytest"]
    assert ran[-1] == ["pytest", "-k", "x"]
    out = capfd.readouterr().out
    assert ("Failed: " in out) is bool(failing)
    assert failing in out


def test_without_arguments_every_test_runs_once(theirs, monkeypatch):
    ran = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: ran.append(command[2:]) or SimpleNamespace(returncode=0)
    )
    assert checks.run_checks(theirs, []) == 0
    assert ran[-2] == ["pytest", "-m", "alone"]
    assert ran[-1][:3] == ["pytest", "-m", "not alone"]


def test_reference_data_beside_the_checkout_is_a_default_only(monkeypatch, tmp_path):
    monkeypatch.setattr(checkout, "HERE", tmp_path / "checkout")
    monkeypatch.setenv("RVM_REFERENCE", "")  # so that it is as before afterwards
    monkeypatch.delenv("RVM_REFERENCE")
    monkeypatch.setenv("RVM_WEIGHTS", "mine")
    checks.use_reference_data()
    assert "RVM_REFERENCE" not in os.environ
    (tmp_path / "shared" / "reference").mkdir(parents=True)
    checks.use_reference_data()
    assert os.environ["RVM_REFERENCE"] == str(tmp_path / "shared" / "reference")
    assert os.environ["RVM_WEIGHTS"] == "mine"
