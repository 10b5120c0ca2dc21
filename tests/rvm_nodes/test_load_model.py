"""RVM Load Model: which weights are offered, how they come, and into whose care the network goes."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from rvm_studio.core.engines import build, choose
from rvm_studio.core.errors import StudioError
from rvm_studio.core.network import MattingNetwork
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.weights import download as weights_download
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.rvm_nodes import comfy_host
from rvm_studio.rvm_nodes.load_model import RVMLoadModel
from rvm_studio.rvm_nodes.matte import RVMMatte, RVMSegment

OFFICIAL = ["rvm_mobilenetv3.safetensors", "rvm_resnet50.safetensors"]


def load(name="mine.safetensors", **changes):
    settings = {"precision": "auto", "device": "auto", "refiner": "auto"} | changes
    return RVMLoadModel().load(name, **settings)[0]


def test_the_official_weights_are_always_offered(comfy):
    assert RVMLoadModel.INPUT_TYPES()["required"]["model"][0] == OFFICIAL


def test_own_weights_are_offered_from_every_folder(comfy, weights_file, tmp_path):
    extra = tmp_path / "elsewhere"  # as extra_model_paths.yaml names one
    comfy.add_model_folder_path("rvm", str(extra))
    for path in (extra / "sub" / "theirs.pth", extra / "notes.txt", extra / "cut.safetensors.partial"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert comfy_host.weights_names() == [*OFFICIAL, "mine.safetensors", "sub/theirs.pth"]
    assert comfy_host.weights_path("sub/theirs.pth") == extra / "sub" / "theirs.pth"


def test_weights_that_the_installer_fetched_are_found(comfy, weights_file, monkeypatch):
    fetched = weights_download.models_dir() / OFFICIAL[0]
    fetched.parent.mkdir(parents=True)
    fetched.write_bytes(weights_file.read_bytes())
    assert comfy_host.weights_path(OFFICIAL[0]) == fetched


def test_official_weights_are_downloaded_once_and_verified(comfy, tmp_path, monkeypatch):
    official = MattingNetwork("mobilenetv3")
    server = tmp_path / "server"
    server.mkdir()
    torch.save(official.state_dict(), server / "rvm_mobilenetv3.pth")
    entry = weights_download.CATALOGUE["mobilenetv3"]
    digest = weights_download.sha256_of(server / "rvm_mobilenetv3.pth")
    monkeypatch.setitem(weights_download.CATALOGUE, "mobilenetv3", dataclasses.replace(entry, sha256=digest))
    monkeypatch.setenv("RVM_MIRROR", server.as_uri())
    model = load(OFFICIAL[0])
    assert Path(model.path) == comfy.root / "models" / "rvm" / OFFICIAL[0]
    assert model.network.refiner_name == weights.DEEP
    (server / "rvm_mobilenetv3.pth").unlink()
    assert load(OFFICIAL[0]).path == model.path


def test_a_download_that_is_something_else_is_refused(comfy, tmp_path, monkeypatch):
    (tmp_path / "rvm_mobilenetv3.pth").write_bytes(b"not the official file")
    monkeypatch.setenv("RVM_MIRROR", tmp_path.as_uri())
    with pytest.raises(StudioError, match=r"RVM Load Model: .* is not the expected file: its SHA-256"):
        load(OFFICIAL[0])
    assert not list((comfy.root / "models" / "rvm").glob("*.safetensors"))


def test_without_a_network_only_what_a_node_reads_is_advised(comfy, tmp_path, monkeypatch):
    """Each choice works; no option of the command line, and no variable that only it reads."""
    monkeypatch.setenv("RVM_MIRROR", "http://127.0.0.1:9")
    folder = comfy.root / "models" / "rvm"
    with pytest.raises(StudioError) as caught:
        load(OFFICIAL[0])
    message, *choices = str(caught.value).splitlines()
    assert message.startswith(
        "RVM Load Model: http://127.0.0.1:9/rvm_mobilenetv3.pth could not be downloaded: the server "
    )
    assert [choice[:5] for choice in choices] == ["  1. ", "  2. ", "  3. "]
    text = str(caught.value).replace(str(tmp_path), "")
    assert not re.search(r"--|RVM_WEIGHTS|RVM_MODELS_DIR|install\.py|rvm-studio |pip ", text)

    assert f"put rvm_mobilenetv3.pth into {folder}" in choices[1]
    torch.save(MattingNetwork("mobilenetv3").state_dict(), folder / "rvm_mobilenetv3.pth")
    entry = weights_download.CATALOGUE["mobilenetv3"]
    digest = weights_download.sha256_of(folder / "rvm_mobilenetv3.pth")
    monkeypatch.setitem(weights_download.CATALOGUE, "mobilenetv3", dataclasses.replace(entry, sha256=digest))
    assert load(OFFICIAL[0]).path == str(folder / OFFICIAL[0])

    starter = Path(choices[2].split("copy ")[1].split(" into ")[0])
    (folder / starter.name).write_bytes(starter.read_bytes())
    assert starter.name in comfy_host.weights_names()
    assert load(starter.name).path == str(folder / starter.name)


def test_a_disk_that_is_full_is_told_without_the_command_lines_folder(comfy):
    """RVM_MODELS_DIR does not move ComfyUI's folder."""
    (comfy.root / "models").mkdir(parents=True, exist_ok=True)
    (comfy.root / "models" / "rvm").write_bytes(b"no folder")
    with pytest.raises(StudioError, match="cannot be written") as caught:
        load(OFFICIAL[0])
    assert "RVM_MODELS_DIR" not in str(caught.value)


def test_weights_that_are_gone_are_named(comfy):
    with pytest.raises(StudioError, match=r"RVM Load Model: The weights gone.pth are in none of .*models/rvm"):
        load("gone.pth")


def test_the_network_goes_into_comfyuis_care(comfy, weights_file):
    model = load()
    assert model.patcher.model is model.network
    assert (model.patcher.load_device.type, model.patcher.offload_device.type) == ("cpu", "cpu")
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert not comfy.loaded  # only when it is used


def test_precision_follows_comfyui_and_the_device(comfy, weights_file, monkeypatch):
    assert load().dtype == torch.float32
    comfy.fp16 = True
    assert load().dtype == torch.float32  # never fp16 on a CPU
    with pytest.raises(StudioError, match="RVM Load Model: Precision fp16 is supported on GPUs only"):
        load(precision="fp16")


@pytest.mark.slow
def test_the_engine_is_chosen_as_on_the_command_line(comfy, weights_file, network, frames, caplog):
    """But for the precision, which ComfyUI decides: fp32 on a CPU."""
    caplog.set_level("INFO")
    model, images = load(), frames(5)
    choice = choose(torch.device("cpu"), precision="fp32")
    assert model.choice == choice
    assert f"RVM: mine.safetensors, engine {choice}" in caplog.text
    assert model.session(64, 80).engine is model.session(64, 80).engine  # compiled once
    assert model.session(64, 80).engine.name == f"{choice.engine} fp32"
    assert model.session(64, 80, segment=True).engine.name == "eager segmentation fp32"
    options = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 2, "scene_cut": 0.0, "chunk": 0}
    foreground, mask, _, state = RVMMatte().matte(model, images, carry="never", **options)
    fgr, pha = MattingSession(build(network, choice), warm_up=2).matte(images.permute(0, 3, 1, 2))
    assert torch.equal(foreground, fgr.permute(0, 2, 3, 1))
    assert torch.equal(mask, pha[:, 0])
    exact = MattingSession(network, device="cpu", warm_up=2).matte(images.permute(0, 3, 1, 2))[1]
    assert (pha - exact).abs().max() < 3 / 255  # the fast guided filter divides by small variances
    segment = RVMSegment().matte(model, images[:2], carry="never", state=state, **options)
    assert segment[0].shape == (2, 64, 80)


def test_the_choice_of_a_card(comfy, weights_file, monkeypatch):
    """With a card (here one that does nothing), auto takes ComfyUI's, and cpu leaves it alone."""
    comfy.device = torch.device("meta")
    assert load(precision="fp32").device.type == "meta"
    assert load(device="cpu").patcher.load_device.type == "cpu"


@pytest.mark.parametrize(("refiner", "expected"), [("auto", weights.FAST), ("fast", weights.FAST)])
def test_the_refiner(comfy, weights_file, refiner, expected):
    assert load(refiner=refiner).network.refiner_name == expected


def test_a_refiner_that_the_weights_lack_is_refused(comfy, weights_file):
    with pytest.raises(StudioError, match=r"RVM Load Model: .* contains no refiner"):
        load(refiner="deep")
