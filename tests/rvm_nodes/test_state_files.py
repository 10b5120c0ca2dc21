"""RVM Save State and RVM Load State."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.rvm_nodes.matte import RVMMatte
from rvm_studio.rvm_nodes.state_files import RVMLoadState, RVMSaveState

SETTINGS = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 0, "scene_cut": 0.0, "chunk": 0}


@pytest.fixture
def state(model, frames):
    return RVMMatte().matte(model, frames(3), **SETTINGS)[3]


def test_a_state_goes_on_after_a_file_as_if_nothing_had_been(comfy, model, frames, state):
    answer = RVMSaveState().save(state, "shot 1")
    assert answer["result"] == (state,)
    assert (comfy.root / "output" / "rvm_states" / "shot 1.safetensors").is_file()
    (loaded,) = RVMLoadState().load("shot 1.safetensors [output]")
    images = frames(6)[3:]
    expected = RVMMatte().matte(model, images, **SETTINGS, state=state)[2]
    assert torch.equal(RVMMatte().matte(model, images, **SETTINGS, state=loaded)[2], expected)


def test_the_list_has_both_folders(comfy, state):
    assert RVMLoadState.INPUT_TYPES()["required"]["name"][0] == []
    RVMSaveState().save(state, "b")
    RVMSaveState().save(state, "a.safetensors")
    there = comfy.root / "input" / "rvm_states"
    there.mkdir()
    (comfy.root / "output" / "rvm_states" / "a.safetensors").rename(there / "c.safetensors")
    assert RVMLoadState.INPUT_TYPES()["required"]["name"][0] == ["b.safetensors [output]", "c.safetensors [input]"]
    assert RVMLoadState().load("c.safetensors [input]")[0]["frame_count"] == 3


@pytest.mark.parametrize("name", ["", "  ", "../shot", "a/b", "a\\b", "/etc/x", "what?", ".hidden", "C:x"])
def test_names_that_lead_elsewhere_are_refused(comfy, state, name):
    with pytest.raises(StudioError, match=r"RVM Save State: The name .* is not a valid file name"):
        RVMSaveState().save(state, name)
    assert not list(comfy.root.rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/passwd [output]", "a/b [input]", ""])
def test_loading_stays_inside_the_folders(comfy, name):
    with pytest.raises(StudioError, match="is not the name of a saved state"):
        RVMLoadState().load(name)
    assert "is not the name of a saved state" in RVMLoadState.VALIDATE_INPUTS(name)


def test_validation_looks_at_the_disk(comfy, state):
    assert "does not exist" in RVMLoadState.VALIDATE_INPUTS("new.safetensors [output]")
    RVMSaveState().save(state, "new")
    assert RVMLoadState.VALIDATE_INPUTS("new.safetensors [output]") is True
    before = RVMLoadState.IS_CHANGED("new.safetensors [output]")
    RVMSaveState().save({**state, "frame_count": 9}, "new")
    assert RVMLoadState.IS_CHANGED("new.safetensors [output]") != before


def test_no_state_and_something_else_are_refused(comfy):
    with pytest.raises(StudioError, match="There is no state to save"):
        RVMSaveState().save(None, "a")
    with pytest.raises(StudioError, match="RVM Save State: This is not the state of a matting stream"):
        RVMSaveState().save({"samples": 1}, "a")


def test_a_damaged_file_says_so(comfy):
    path = comfy.root / "output" / "rvm_states" / "bad.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"garbage")
    with pytest.raises(StudioError, match=r"RVM Load State: The state .* cannot be read"):
        RVMLoadState().load("bad.safetensors [output]")
