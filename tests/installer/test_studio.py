"""Weights and the demo."""

import pytest
from rvm_studio.installer import program, studio


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
    assert studio.fetch_weights(theirs, program.parse(arguments), "rvm-studio", warnings)
    assert calls == ([called] if called else [])
    assert ("skipped" in capsys.readouterr().out) is (called is None)
    assert warnings == []


def test_failing_weights_are_a_warning(theirs, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setattr(studio, "run_studio", lambda target, *words: 1)
    warnings = []
    assert not studio.fetch_weights(theirs, program.parse([]), ".venv/bin/rvm-studio", warnings)
    assert ".venv/bin/rvm-studio weights fetch mobilenetv3" in warnings[0]


@pytest.mark.parametrize("fetched", [True, False])
def test_the_demo_goes_on_with_starter_weights(theirs, monkeypatch, fetched):
    """It would try the same download again, and fail again, before it took them by itself."""
    calls = []
    monkeypatch.setattr(program, "set_up", lambda options: (theirs, fetched))
    monkeypatch.setattr(studio, "run_studio", lambda target, *words: calls.append(list(words)) or 0)
    assert program.main(["--demo"]) == 0
    assert calls == [["demo"] if fetched else ["demo", "--weights", "starter"]]
