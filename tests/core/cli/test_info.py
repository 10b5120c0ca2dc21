"""`rvm-studio info` tells what is there, and never fails."""

import dataclasses
import re

import av
import pytest
import torch
from rvm_studio.core.cli import info as cli_info
from rvm_studio.core.clips import self_check
from rvm_studio.core.machine import device
from rvm_studio.core.video import hardware_decoding, output_formats
from rvm_studio.core.video import writer as video_writer


@pytest.fixture(autouse=True)
def no_models(monkeypatch, tmp_path):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)


@pytest.mark.slow
def test_versions_devices_formats_and_weights(studio, tmp_path):
    code, out, err = studio("info")
    assert (code, err) == (0, "")
    assert f"torch        {torch.__version__}\n" in out
    assert f"av           {av.__version__}" in out
    assert "cpu: CPU, " in out
    assert "\n  --engine compile: " in out
    for suffix in (".mov", ".webm", ".mkv", ".png", ".apng", ".webp", ".mp4"):
        assert any(line.startswith(f"  {suffix} ") and line.endswith(": works") for line in out.splitlines()), suffix
    assert "decoders: h264, " in out
    assert re.search(r"^  cpu: engine .*: works$", out, re.MULTILINE)
    assert f"models folder: {tmp_path / 'models'}" in out
    assert "mobilenetv3: not installed (rvm-studio weights fetch mobilenetv3)" in out
    assert "RVM_WEIGHTS" not in out


@pytest.mark.slow
def test_weights_that_are_there(studio, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rvm_resnet50.safetensors").touch()
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "models"))
    out = studio("info").out
    assert "  resnet50: installed\n" in out
    assert f"  used instead: RVM_WEIGHTS={tmp_path / 'models'}\n" in out
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "nowhere"))
    assert f"RVM_WEIGHTS={tmp_path / 'nowhere'} (which does not exist)\n" in studio("info").out


def test_works_is_said_only_of_what_was_tried(studio, monkeypatch):
    """Each part fails when it is run, though all of them are there."""

    def broken(*_):
        raise RuntimeError("it is broken")

    monkeypatch.setattr(self_check, "run_engine", broken)
    monkeypatch.setattr(video_writer.FrameWriter, "_write", broken)
    monkeypatch.setattr(hardware_decoding, "built_in", lambda: ["cuda"])
    monkeypatch.setattr(hardware_decoding, "open_on_device", broken)
    code, out, err = studio("info")
    assert (code, err) == (0, "")
    assert ": works" not in out
    assert re.search(r"^  cpu: engine .*: unavailable: RuntimeError: it is broken$", out, re.MULTILINE)
    assert ".mov   ProRes (prores_ks): unavailable: RuntimeError: it is broken\n" in out
    assert "  cuda: unavailable: RuntimeError: it is broken\n" in out


@pytest.mark.slow
def test_an_encoder_that_is_missing_is_reported(studio, monkeypatch):
    (mp4,) = (row for row in output_formats.FORMATS if row.suffix == ".mp4")
    encodings = {content: dataclasses.replace(e, codec="no_such_codec") for content, e in mp4.encodings.items()}
    broken = dataclasses.replace(mp4, encodings=encodings)
    without = tuple(broken if row is mp4 else row for row in output_formats.FORMATS)
    monkeypatch.setattr(output_formats, "FORMATS", without)
    monkeypatch.setattr(cli_info, "_has_decoder", lambda name: name != "av1")
    out = studio("info").out
    assert re.search(r"^  \.mp4   MP4 \(no_such_codec\): unavailable: .*no_such_codec", out, re.MULTILINE)
    assert "decoders: h264, hevc, vp9, " in out
    assert ".mov   ProRes (prores_ks): works\n" in out
    assert "  --codec hevc (.mov, .mkv, .mp4): works\n" in out


def test_decoders_are_really_asked_for():
    assert cli_info._has_decoder("h264")
    assert not cli_info._has_decoder("prores_ks")  # an encoder only
    assert not cli_info._has_decoder("nonsense")


def test_a_broken_part_does_not_hide_the_others(studio, monkeypatch):
    def broken(_):
        raise RuntimeError("no driver")

    monkeypatch.setattr(device, "describe", broken)
    monkeypatch.setattr(cli_info, "version", lambda package: (_ for _ in ()).throw(cli_info.PackageNotFoundError()))
    code, out, err = studio("info")
    assert (code, err) == (0, "")
    assert "unavailable: RuntimeError: no driver" in out
    assert "torch        not installed" in out
    assert ".mov   ProRes" in out
    assert "interpreter  " in out
