"""Whatever is connected to a node: a result, or one sentence that names the node. Never another exception."""

import pytest
import torch
from rvm_studio.core import StudioError
from rvm_studio.rvm_nodes import comfy_host
from rvm_studio.rvm_nodes.compositing import RVMComposite, RVMDecontaminate, RVMRefineMask
from rvm_studio.rvm_nodes.matte import RVMMatte
from rvm_studio.rvm_nodes.save_video import RVMSaveRGBA

REFINE = {
    "grow": 0.0,
    "feather": 0.0,
    "black_point": 0.0,
    "white_point": 1.0,
    "gamma": 1.0,
    "temporal": 0.0,
    "invert": False,
}
COMPOSITE = {"mode": "color", "color": "#808080", "blur": 1.0, "linear_light": False, "invert_mask": False}
MATTE = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 0, "scene_cut": 0.0, "chunk": 0}
SAVE = {"fps": 25.0, "filename_prefix": "a", "format": "FFV1", "alpha": "straight"}


@pytest.mark.parametrize("shape", [(8, 10), (1, 1, 8, 10), (1, 8, 10)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bool])
def test_masks_that_other_nodes_make(comfy, shape, dtype):
    mask = torch.zeros(8, 10)
    mask[2:5, 3:7] = 1
    given = mask.reshape(shape).to(dtype)
    assert torch.equal(RVMRefineMask().refine(given, **REFINE)[0], mask[None])
    composed = RVMComposite().composite(torch.ones(1, 8, 10, 3), given, **COMPOSITE)[0]
    assert torch.equal(composed[..., 0] == 1, mask[None] == 1)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (torch.zeros(1, 8, 10, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(1, 8, 10, dtype=torch.int64), "torch.int64"),
        (torch.zeros(1, 8, 10, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(1, 8, 10).to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (torch.zeros(8, 10).to_sparse(), "sparse"),
        (torch.full((1, 8, 10), torch.nan), "NaN"),
        (torch.full((1, 8, 10), torch.inf), "NaN"),
        (torch.zeros(1, 0, 10), "10x0 pixels"),
        (torch.zeros(1, 3, 8, 10), r"the shape \[1, 3, 8, 10\]"),
        (torch.zeros(10), r"the shape \[10\]"),
        (torch.zeros(()), r"the shape \[\]"),
        (None, "NoneType"),
        ([[0.0]], "a list"),
        ("mask", "'mask'"),
    ],
)
def test_masks_that_are_none(comfy, mask, says):
    with pytest.raises(StudioError, match=rf"^RVM Refine Mask: .*{says}"):
        RVMRefineMask().refine(mask, **REFINE)
    with pytest.raises(StudioError, match=rf"^RVM Composite: .*{says}"):
        RVMComposite().composite(torch.ones(1, 8, 10, 3), mask, **COMPOSITE)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(8, 10, 3),
        torch.zeros(1, 8, 10, 2),
        torch.zeros(1, 3, 8, 10),
        torch.zeros(1, 8, 0, 3),
        torch.zeros(1, 8, 10, 3, dtype=torch.uint8),
        torch.zeros(1, 8, 10, 3, device="meta"),
        torch.full((2, 64, 80, 3), torch.nan),
        None,
        {"samples": torch.zeros(1, 4, 8, 8)},
    ],
)
def test_images_that_are_none(comfy, model, images):
    with pytest.raises(StudioError, match=r"^RVM Matte: The "):
        RVMMatte().matte(model, images, **MATTE)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"grow": float("nan")}, "grow is nan"),
        ({"grow": 1e300}, r"grow is 1e\+300"),
        ({"grow": 10**400}, "grow is 1000"),
        ({"feather": "2"}, "feather is '2'"),
        ({"gamma": None}, "gamma is a NoneType"),
        ({"invert": "yes"}, "invert is 'yes'"),
    ],
)
def test_numbers_that_came_through_a_link(comfy, changed, says):
    with pytest.raises(StudioError, match=rf"^RVM Refine Mask: {says}"):
        RVMRefineMask().refine(torch.zeros(1, 8, 10), **{**REFINE, **changed})


@pytest.mark.parametrize("changed", [{"downsample": "tiny"}, {"chunk": 1.5}, {"warm_up": -1}, {"state": [1]}])
def test_other_values_that_came_through_a_link(comfy, model, changed):
    with pytest.raises(StudioError, match=r"^RVM Matte: (The )?\w+ (is|input is) "):
        RVMMatte().matte(model, torch.zeros(1, 64, 80, 3), **{**MATTE, **changed})


def test_a_state_that_fits_no_network(comfy, model, frames):
    *_, state = RVMMatte().matte(model, frames(1), **MATTE)
    for name in ("r1", "r4"):
        broken = {**state, name: state[name][:, :1]}
        with pytest.raises(StudioError, match=r"^RVM Matte: "):
            RVMMatte().matte(model, frames(1), **MATTE, state=broken)


@pytest.mark.parametrize(
    "audio",
    [
        {"waveform": torch.zeros(1, 0, 100), "sample_rate": 8000},
        {"waveform": torch.zeros(0, 2, 100), "sample_rate": 8000},
        {"waveform": torch.zeros(1, 2, 100), "sample_rate": 0},
        {"waveform": torch.zeros(1, 2, 100), "sample_rate": 10**30},
        {"waveform": torch.zeros(1, 200, 100), "sample_rate": 8000},
        {"waveform": "loud", "sample_rate": 8000},
        {"waveform": torch.zeros(1, 2, 100), "sample_rate": "often"},
        [],
    ],
)
def test_sound_that_is_none(comfy, audio):
    with pytest.raises(StudioError, match=r"^RVM Save RGBA: The (sound|audio) "):
        RVMSaveRGBA().save(torch.zeros(2, 8, 10, 4), **SAVE, audio=audio)
    assert not list((comfy.root / "output").rglob("*partial*"))


def test_a_fault_that_nobody_foresaw_is_one_sentence(comfy, monkeypatch):
    def fault(*arguments, **named):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("rvm_studio.core.clips.batches.decontaminate", fault)
    options = {"strength": 1.0, "spill_color": "", "spill_strength": 1.0}
    with pytest.raises(StudioError, match=r"^RVM Decontaminate: The node failed \(ZeroDivisionError: division") as said:
        RVMDecontaminate().decontaminate(torch.zeros(1, 8, 10, 3), torch.zeros(1, 8, 10), **options)
    assert isinstance(said.value.__cause__, StudioError)


@pytest.mark.parametrize("lack", [MemoryError, torch.OutOfMemoryError if hasattr(torch, "OutOfMemoryError") else None])
def test_a_lack_of_memory_reaches_comfyui(comfy, monkeypatch, lack):
    def fault(*arguments, **named):
        raise lack

    monkeypatch.setattr("rvm_studio.core.clips.batches.refine_edges", fault)
    with pytest.raises(lack):
        RVMRefineMask().refine(torch.zeros(1, 8, 10), **REFINE)


@pytest.mark.parametrize("base", [Exception, BaseException])
def test_a_cancel_stays_comfyuis_own(comfy, monkeypatch, base):
    import comfy.model_management as management

    cancel = type("InterruptProcessingException", (base,), {})

    def pressed(*arguments, **named):
        raise cancel

    monkeypatch.setattr(management, "InterruptProcessingException", cancel)
    monkeypatch.setattr(comfy_host, "end_if_cancelled", pressed)
    with pytest.raises(cancel):
        RVMRefineMask().refine(torch.zeros(1, 8, 10), **REFINE)
