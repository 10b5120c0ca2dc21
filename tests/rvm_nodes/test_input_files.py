"""The nodes read files of ComfyUI's input folder only, and say nothing about others."""

import os

import pytest
import torch
from PIL import Image
from rvm_studio.core import StudioError
from rvm_studio.core.video.reader import open_reader
from rvm_studio.rvm_nodes import comfy_host, input_files, state_files
from rvm_studio.rvm_nodes.matte_video import RVMMatteVideo


@pytest.fixture
def folder(comfy):
    """The input folder, with one picture in it, one in a folder in it, and one beside it."""
    folder = comfy.root / "input"
    (folder / "rooms").mkdir()
    for path in (folder / "room.png", folder / "rooms" / "red.png", comfy.root / "secret.png"):
        Image.new("RGB", (8, 8), "red").save(path)
    return folder


@pytest.mark.parametrize("name", ["room.png", "room.png [input]", "rooms/red.png", "rooms/../room.png"])
def test_a_file_of_the_input_folder(folder, name):
    found = input_files.background(name)
    assert os.path.samefile(found, folder / name.removesuffix(" [input]"))


def test_a_complete_path_into_the_input_folder(folder):
    assert os.path.samefile(input_files.background(str(folder / "room.png")), folder / "room.png")


@pytest.mark.parametrize("text", ["white", "#00b140", "rgb(0,177,64)", "blur"])
def test_colours_and_blur_stay_what_they_are(folder, text):
    assert input_files.background(text) == text


def refused(text: str) -> str:
    with pytest.raises(StudioError) as caught:
        input_files.background(text)
    assert text[:200] in str(caught.value) or "\0" in text or "\\" in text
    return str(caught.value).replace(repr(text[:200]), "NAME")


def test_every_other_file_is_refused_in_the_same_words(folder):
    secret, missing = folder.parent / "secret.png", folder.parent / "missing.png"
    (folder.parent / "output" / "clip.mp4").write_bytes(b"x")
    said = {
        refused(text)
        for text in (
            str(secret),
            str(missing),
            "../secret.png",
            "../missing.png",
            "rooms/../../secret.png",
            "secret.png",
            "clip.mp4 [output]",
            "/etc/passwd",
            "/etc",
            "/",
            "",
            ".",
            "..",
            "rooms",
            str(folder),
            "file:///etc/passwd",
            "http://127.0.0.1:1/x.png",
            r"\\server\share\x.png",
            "C:x.png",
            "room.png\0.mp4",
            "n" * 5000,
            "~/x.png",
        )
    }
    assert len(said) == 1


def test_links_that_lead_out(folder):
    try:
        (folder / "link.png").symlink_to(folder.parent / "secret.png")
        (folder / "away").symlink_to(folder.parent, target_is_directory=True)
        (folder / "loop.png").symlink_to(folder / "loop.png")
        (folder / "inside.png").symlink_to(folder / "room.png")
    except OSError:
        pytest.skip("links need a privilege here")
    assert len({refused(text) for text in ("link.png", "away/secret.png", "away/missing.png", "loop.png")}) == 1
    assert os.path.samefile(input_files.background("inside.png"), folder / "room.png")


def test_an_input_folder_that_is_a_link_itself(folder, monkeypatch, tmp_path):
    import folder_paths

    try:
        (tmp_path / "other").symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links need a privilege here")
    monkeypatch.setattr(folder_paths, "get_input_directory", lambda: str(tmp_path / "other"))
    assert os.path.samefile(input_files.background("room.png"), folder / "room.png")


def test_the_node_uses_the_file_and_no_other(folder, comfy, fake, model, frames):
    parts = fake.components(frames(2))
    options = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 0, "scene_cut": 0.0, "chunk": 0}

    def run(background: str):
        video = fake.VideoFromComponents(parts)
        return RVMMatteVideo().matte(model, video, "composite", background, **options)[0].get_stream_source()

    def first(path) -> torch.Tensor:
        with open_reader(path) as reader:
            return torch.as_tensor(next(iter(reader)).image[..., :3]).float()

    over_file, over_colour = first(run("room.png")), first(run("red"))
    assert (over_file - over_colour).abs().mean() < 2
    with pytest.raises(StudioError, match=r"RVM Matte Video: The background '\.\./secret\.png' is neither a colour"):
        run("../secret.png")


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile other.mp4\n", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"])
def test_a_file_that_names_others_is_no_video(tmp_path, text):
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(StudioError, match="is a list of other files"):
        open_reader(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a\0b"])
def test_weights_and_states_are_in_their_folders(comfy, name):
    with pytest.raises(StudioError, match="Choose one from the list"):
        comfy_host.weights_path(name)
    with pytest.raises(StudioError, match="Choose one from the list"):
        state_files.state_path(name)
