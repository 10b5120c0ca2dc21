"""The `weights` commands, parsed and run as the command line does."""

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.cli import weights as cli_weights
from rvm_studio.core.errors import DownloadError, StudioError
from rvm_studio.core.weights import http_download
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.core.weights.download import CATALOGUE

pytestmark = pytest.mark.usefixtures("one_thread")


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli_weights.add_parser(parser.add_subparsers())
    namespace = parser.parse_args(["weights", *arguments])
    return namespace.run(namespace)


@pytest.fixture(autouse=True)
def models(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    for name in ("RVM_MIRROR", "RVM_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "models"


@pytest.fixture
def mirror(monkeypatch, tmp_path) -> Path:
    """A folder that holds the catalogue's two files, which are both MobileNetV3 here."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    torch.save(MattingNetwork().state_dict(), folder / "rvm_mobilenetv3.pth")
    content = (folder / "rvm_mobilenetv3.pth").read_bytes()
    (folder / "rvm_resnet50.pth").write_bytes(content)
    for name, entry in list(CATALOGUE.items()):
        monkeypatch.setitem(CATALOGUE, name, replace(entry, sha256=hashlib.sha256(content).hexdigest()))
    return folder


def test_list(models, capsys):
    assert _run("list") == 0
    header, mobile, resnet, place, starter = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "VARIANT", "SIZE", "LICENCE", "STATE"]
    assert mobile.split()[:5] == ["mobilenetv3", "mobilenetv3", "15", "MB", "GPL-3.0"]
    assert resnet.split()[:5] == ["resnet50", "resnet50", "108", "MB", "GPL-3.0"]
    assert "not installed (rvm-studio weights fetch mobilenetv3)" in mobile
    assert str(models) in place
    assert "--weights starter" in starter
    assert not models.exists()

    models.mkdir()
    (models / "rvm_mobilenetv3.safetensors").write_bytes(b"x" * 2_000_000)
    assert _run("list") == 0
    mobile = capsys.readouterr().out.splitlines()[1]
    assert mobile.split()[2:4] == ["2", "MB"]
    assert f"installed: {models / 'rvm_mobilenetv3.safetensors'}" in mobile


@pytest.mark.slow
def test_fetch_takes_the_default_the_named_or_all(models, mirror, capsys):
    mobile, resnet = models / "rvm_mobilenetv3.safetensors", models / "rvm_resnet50.safetensors"
    assert _run("fetch", "--mirror", mirror.as_uri()) == 0
    assert capsys.readouterr().out == f"mobilenetv3: {mobile}\n"
    assert mobile.is_file()
    assert not resnet.exists()
    mobile.unlink()
    assert _run("fetch", "resnet50", "--mirror", mirror.as_uri()) == 0
    assert capsys.readouterr().out == f"resnet50: {resnet}\n"
    assert not mobile.exists()
    assert _run("fetch", "--all", "--mirror", mirror.as_uri()) == 0
    assert capsys.readouterr().out == f"mobilenetv3: {mobile}\nresnet50: {resnet}\n"


def test_fetch_of_an_unknown_name_fetches_nothing(models, mirror):
    with pytest.raises(StudioError, match=r"no weights named vgg. Use mobilenetv3 or resnet50"):
        _run("fetch", "mobilenetv3", "vgg", "--mirror", mirror.as_uri())
    assert not models.exists()


def test_without_a_network_the_choices_of_the_command(models, monkeypatch):
    monkeypatch.setattr(http_download, "RETRY_PAUSES", ())
    with pytest.raises(DownloadError) as caught:
        _run("fetch", "resnet50", "--mirror", "http://127.0.0.1:9")
    message, *choices = str(caught.value).splitlines()
    assert message.startswith(
        "http://127.0.0.1:9/rvm_resnet50.pth could not be downloaded: the server cannot be reached ("
    )
    assert choices == [
        "  1. download it from another address: rvm-studio weights fetch resnet50 --mirror URL",
        f"  2. put rvm_resnet50.pth (from {CATALOGUE['resnet50'].url}) into {models}",
        "  3. for a rough matte, use the bundled mobilenetv3 weights: rvm-studio matte ... --weights starter",
    ]


def test_convert(mirror, tmp_path, capsys):
    dst = tmp_path / "x.safetensors"
    assert _run("convert", str(mirror / "rvm_mobilenetv3.pth"), str(dst)) == 0
    assert weights.read(dst).variant == "mobilenetv3"
    assert capsys.readouterr().out.startswith(f"{dst}: intact\n")
    with pytest.raises(StudioError, match="does not exist or is not a file"):
        _run("convert", str(tmp_path / "none.pth"), str(dst))


def test_check_goes_on_after_a_broken_file(mirror, tmp_path, capsys):
    good, empty, missing = mirror / "rvm_mobilenetv3.pth", tmp_path / "empty.pth", tmp_path / "none.pth"
    empty.touch()
    with pytest.raises(StudioError) as caught:
        _run("check", str(empty), str(missing), str(good))
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{empty} is empty")
    assert second.startswith(f"{missing} does not exist or is not a file")
    assert capsys.readouterr().out.startswith(f"{good}: intact\n")
    assert _run("check", str(good)) == 0


@pytest.mark.parametrize("arguments", [(), ("fetch", "--speed"), ("convert", "one"), ("check",), ("remove",)])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        _run(*arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
