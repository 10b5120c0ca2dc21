"""`rvm-studio check`: says that the machine mattes, or what does not work; downloads nothing."""

import json

import pytest
from rvm_studio.core.clips import self_check


@pytest.fixture(autouse=True)
def no_models(monkeypatch, tmp_path):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RVM_MIRROR", "http://127.0.0.1:9")
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)


@pytest.mark.slow
def test_without_weights_the_bundled_ones_do(studio):
    code, out, err = studio("check", "--device", "cpu", "--engine", "eager")
    assert code == 0
    assert out == (
        "Decoding, the network (eager fp32, mobilenetv3 on cpu) and encoding work, with the weights starter.\n"
    )
    assert "downloaded" not in err


@pytest.mark.slow
def test_the_weights_that_matte_would_take(studio, reference_weights, monkeypatch, tmp_path):
    arguments = ("check", "--json", "--device", "cpu", "--engine", "eager")
    monkeypatch.setenv("RVM_WEIGHTS", str(reference_weights))
    assert json.loads(studio(*arguments).out) == {
        "event": "works",
        "engine": "eager fp32, mobilenetv3 on cpu",
        "weights": str(reference_weights),
    }
    monkeypatch.delenv("RVM_WEIGHTS")
    installed = tmp_path / "models" / "rvm_mobilenetv3.safetensors"
    installed.parent.mkdir()
    installed.write_bytes(reference_weights.read_bytes())
    assert json.loads(studio(*arguments).out)["weights"] == str(installed)


@pytest.mark.parametrize("as_json", [False, True])
def test_what_fails_is_said(studio, monkeypatch, as_json):
    def fail(load):
        raise self_check.CheckError("encoding", "the disk is full")

    monkeypatch.setattr(self_check, "matte_two_frames", fail)
    code, out, err = studio("check", *(["--json"] if as_json else []))
    assert code == 1
    if as_json:
        assert json.loads(out) == {"event": "failed", "step": "encoding", "reason": "the disk is full"}
    else:
        assert (out, err) == ("", "rvm-studio: encoding does not work: the disk is full\n")


def test_weights_that_are_broken_are_found_out(studio, monkeypatch, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "weights.safetensors"))
    code, out, _ = studio("check", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["step"] == "loading the network"
    assert "weights.safetensors" in found["reason"]
