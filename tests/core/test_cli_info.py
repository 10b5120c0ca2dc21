"""`rvm-studio info` tells what is there, and never fails."""

import av
import pytest
import torch
from rvm_studio.core import cli_info, device


@pytest.fixture(autouse=True)
def no_models(monkeypatch, tmp_path):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)


def test_versions_devices_formats_and_weights(studio, tmp_path):
    code, out, err = studio("info")
    assert (code, err) == (0, "")
    assert f"torch        {torch.__version__}" in out
    assert f"av           {av.__version__}" in out
    assert "cpu: CPU, " in out
    assert "\n  --engine compile: " in out
    for suffix in (".mov", ".webm", ".mkv", ".png", ".apng", ".webp", ".mp4"):
        assert any(line.startswith(f"  {suffix} ") and line.endswith(": works") for line in out.splitlines()), suffix
    assert "read:  h264, " in out
    assert f"models folder: {tmp_path / 'models'}" in out
    assert "mobilenetv3: not there (rvm-studio weights fetch mobilenetv3)" in out
    assert "RVM_WEIGHTS" not in out


def test_weights_that_are_there(studio, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rvm_resnet50.safetensors").touch()
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "models"))
    out = studio("info").out
    assert "  resnet50: there\n" in out
    assert f"  used instead: RVM_WEIGHTS={tmp_path / 'models'}\n" in out
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "nowhere"))
    assert f"RVM_WEIGHTS={tmp_path / 'nowhere'} (which does not exist)\n" in studio("info").out


def test_a_missing_encoder_is_told(studio, monkeypatch):
    monkeypatch.setattr(cli_info, "_has_codec", lambda name, mode: name not in ("libx264", "av1"))
    out = studio("info").out
    assert ".mp4   MP4 (libx264): NOT available: this PyAV lacks libx264\n" in out
    assert "read:  h264, hevc, vp9, " in out
    assert ".mov   ProRes (prores_ks): works\n" in out


def test_codecs_are_really_asked_for():
    assert cli_info._has_codec("prores_ks", "w")
    assert not cli_info._has_codec("prores_ks", "r")  # an encoder only
    assert not cli_info._has_codec("nonsense", "w")


def test_a_broken_part_does_not_hide_the_others(studio, monkeypatch):
    def broken(_):
        raise RuntimeError("no driver")

    monkeypatch.setattr(device, "describe", broken)
    monkeypatch.setattr(cli_info, "version", lambda package: (_ for _ in ()).throw(cli_info.PackageNotFoundError()))
    code, out, err = studio("info")
    assert (code, err) == (0, "")
    assert "cannot be told: RuntimeError: no driver" in out
    assert "torch        not installed" in out
    assert ".mov   ProRes" in out
    assert "interpreter  " in out
