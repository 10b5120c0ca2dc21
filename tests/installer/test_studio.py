"""Weights and the demo."""

import re
import sys

import pytest
from rvm_studio.installer import console, program, studio


@pytest.mark.parametrize(
    ("arguments", "variable", "called"),
    [
        ([], None, ["weights", "fetch", "mobilenetv3"]),
        (["--mirror", "http://127.0.0.1/x"], None, ["weights", "fetch", "mobilenetv3", "--mirror", "http://127.0.0.1/x"]),
        (["--no-weights"], None, None),
        ([], "some.safetensors", None),
    ],
)  # fmt: skip
def test_weights_are_fetched_unless_given(theirs, monkeypatch, capsys, arguments, variable, called):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    if variable:
        monkeypatch.setenv("RVM_WEIGHTS", variable)
    calls = []
    monkeypatch.setattr(studio, "run_studio", lambda target, *words: calls.append(list(words)) or 0)
    warnings = []
    studio.fetch_weights(theirs, program.parse(arguments), "rvm-studio", warnings)
    assert calls == ([called] if called else [])
    assert ("skipped" in capsys.readouterr().out) is (called is None)
    assert warnings == []


def test_failing_weights_are_a_warning(theirs, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setattr(studio, "run_studio", lambda target, *words: 1)
    warnings = []
    studio.fetch_weights(theirs, program.parse([]), ".venv/bin/rvm-studio weights fetch", warnings)
    assert warnings == ["The weights could not be downloaded. Try again later: .venv/bin/rvm-studio weights fetch"]


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ('note\n{"event": "works", "engine": "folded fp32, mobilenetv3 on cpu", "weights": "starter"}\n', None),
        ('{"event": "failed", "step": "decoding", "reason": "no codec"}\n', "decoding does not work: no codec"),
        ("Traceback\nImportError: No module named 'av'\n", "starting does not work: ImportError: No mod"),
        ("", "starting does not work: it ended with exit code 0"),
    ],
)
def test_what_the_check_says_is_passed_on(theirs, monkeypatch, capsys, printed, problem):
    command = [sys.executable, "-c", f"print({printed!r}, end='')"]
    monkeypatch.setattr(studio, "studio_process", lambda target, *words: command)
    if problem is None:
        assert studio.matte_two_frames(theirs).weights == "starter"
        assert "engine folded fp32, mobilenetv3 on cpu" in capsys.readouterr().out
    else:
        with pytest.raises(console.InstallError, match=re.escape(f"everything is installed, but {problem}")):
            studio.matte_two_frames(theirs)
