"""Every example workflow as the editor would queue it: the sample clip, real weights, and the pixels of what comes out.

The alpha is held against the core's own session. How near it must come depends on the file: lossless ones to the
rounding of their bits, H.264 to its own error, whose size is said where it is tested.
"""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import MattingSession
from rvm_studio.core.clips.background import cover
from rvm_studio.core.clips.batches import refine_masks
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.video.reader import open_reader

from ..workflow_graph import choices, to_prompt
from .comfy_server import ROOT
from .decoded import alpha_of, gray_of, pictures_of, sound_of
from .sample_inputs import CLIP, PICTURE

pytestmark = pytest.mark.slow
FOLDER = ROOT / "example_workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
COUNT, HEIGHT, WIDTH = 96, 360, 640


def load(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


class Ready:
    """A workflow's graph, to which nodes that keep tensors may be added before it is run."""

    def __init__(self, client, name: str):
        self._client, self._workflow = client, load(name)
        self.prompt = to_prompt(self._workflow, client.object_info())

    def node(self, class_type: str, number: int = 0) -> str:
        return [node_id for node_id, node in self.prompt.items() if node["class_type"] == class_type][number]

    def keep(self, name: str, **tensor: list) -> None:
        self._add("AAAKeep", name=name, **tensor)

    def save(self, video: list, prefix: str) -> None:
        self._add("SaveVideo", video=video, filename_prefix=prefix, format="auto", codec="auto")

    def run(self, count: int = 1) -> list:
        runs = self._client.run_to_idle(self.prompt, workflow=self._workflow)
        assert [run.status for run in runs] == ["success"] * count, [run.end.data for run in runs]
        return runs

    def _add(self, class_type: str, **inputs) -> None:
        self.prompt[str(max(map(int, self.prompt)) + 1)] = {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def workflow(client):
    return lambda name: Ready(client, name)


@pytest.fixture(scope="module")
def clip_images(server) -> np.ndarray:
    """The clip's frames by the core's reader, [T, H, W, 3] uint8."""
    with open_reader(server.base / "input" / CLIP) as reader:
        return np.stack([frame.image for frame in reader])


@pytest.fixture(scope="module")
def core_matte(engine, clip_images):
    """`core_matte(ratio)`: fgr [T, 3, H, W] and pha [T, 1, H, W] of the clip by one session, made when asked for."""
    made: dict = {}

    def matte(ratio: str = "auto"):
        if ratio not in made:
            made[ratio] = MattingSession(engine, warm_up=12, downsample_ratio=ratio).matte(clip_images)
        return made[ratio]

    return matte


def over(fgr: torch.Tensor, pha: torch.Tensor, bgr: torch.Tensor) -> np.ndarray:
    """[T, H, W, 3], worked out here."""
    return (fgr * pha + bgr * (1 - pha)).permute(0, 2, 3, 1).numpy()


# ---- what holds for all


@pytest.mark.parametrize("name", NAMES)
def test_values_are_among_the_choices(schemas, name):
    """Also where ComfyUI would let a wrong one pass: optional inputs, newer and older versions."""
    for node in to_prompt(load(name), schemas).values():
        inputs = schemas[node["class_type"]]["input"]
        for key, value in node["inputs"].items():
            kind, *options = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(key, ["?"])
            listed = choices(kind, options[0] if options else {})
            if listed is not None:
                assert value in listed, f"{node['class_type']}.{key}"


def test_every_workflow_is_tested_below():
    tests = {name.removeprefix("test_") for name in globals()}
    assert set(NAMES) <= tests


# ---- one by one


def test_portrait_cut_out_to_prores(workflow, output, core_matte):
    ready = workflow("portrait_cut_out_to_prores")
    (run,) = ready.run()
    shown = run.outputs[ready.node("RVMSaveAlphaVideo")]
    assert shown  # a preview in the editor
    path = output("video/portrait_*.mov")
    alpha = alpha_of(path)
    assert alpha.shape == (COUNT, HEIGHT, WIDTH)
    fgr, pha = core_matte("portrait")
    np.testing.assert_allclose(alpha, pha[:, 0].numpy(), atol=1 / 255)  # ProRes: alpha of 8 or more bits, not blurred
    inside = (pha > 0.99).expand_as(fgr).permute(0, 2, 3, 1).numpy()
    error = np.abs(pictures_of(path) - fgr.permute(0, 2, 3, 1).numpy())[inside]
    assert error.mean() < 2 / 255  # ProRes
    assert abs(sound_of(path).shape[1] - 4 * 48000) < 4800


def test_composite_over_new_background_with_audio(workflow, server, output, core_matte):
    ready = workflow("composite_over_new_background_with_audio")
    ready.save([ready.node("RVMMatteVideo"), 1], "video/alpha_of_composite")
    ready.run()
    fgr, pha = core_matte()
    gray = gray_of(output("video/alpha_of_composite_*.mp4"))
    error = np.abs(gray - pha[:, 0].numpy())
    assert error.mean() < 1 / 255  # H.264: ringing beside edges
    assert np.quantile(error, 0.999) < 12 / 255
    path = output("video/new_background_*.mp4")
    picture = torch.from_numpy(np.array(Image.open(server.base / "input" / PICTURE))).permute(2, 0, 1)[None] / 255
    expected = over(fgr, pha, cover(picture, HEIGHT, WIDTH))
    shown = pictures_of(path)
    assert shown.shape == (COUNT, HEIGHT, WIDTH, 3)
    assert np.abs(shown - expected).mean() < 2.5 / 255  # H.264 with halved colour
    tone = sound_of(path)[0]
    assert abs(len(tone) - 4 * 48000) < 4800
    spectrum = np.abs(np.fft.rfft(tone[48000 : 3 * 48000]))
    assert spectrum.argmax() / 2 == pytest.approx(330, abs=2)  # hertz: the clip's own tone


@pytest.mark.usefixtures("video_helper_suite")
def test_long_clip_in_meta_batches(workflow, kept, output, core_alpha):
    ready = workflow("long_clip_in_meta_batches")
    matte = ready.node("RVMMatte")
    ready.keep("meta_frames", images=[ready.node("VHS_LoadVideo"), 0])
    ready.keep("meta_mask", mask=[matte, 1])
    ready.keep("meta_foreground", images=[matte, 0])
    ready.run(count=3)
    mask = kept("meta_mask")
    assert mask.shape == (COUNT, HEIGHT, WIDTH)
    np.testing.assert_allclose(mask, core_alpha(kept("meta_frames")), atol=1e-5)
    green = np.array([0, 177, 64], np.float32) / 255
    expected = kept("meta_foreground") * mask[..., None] + green * (1 - mask[..., None])
    path = output("video/long_clip_*-audio.mp4")
    shown = pictures_of(path)
    assert shown.shape == (COUNT, HEIGHT, WIDTH, 3)
    assert np.abs(shown - expected).mean() < 4 / 255  # H.264 by VideoHelperSuite
    assert abs(sound_of(path).shape[1] - 4 * 48000) < 48000


def test_state_by_hand_between_two_matte_nodes(workflow, kept, output, core_alpha):
    ready = workflow("state_by_hand_between_two_matte_nodes")
    first, second = ready.node("RVMMatte"), ready.node("RVMMatte", 1)
    ready.keep("hand_frames", images=[ready.node("GetVideoComponents"), 0])
    ready.keep("hand_first", mask=[first, 1])
    ready.keep("hand_second", mask=[second, 1])
    ready.run()
    mask = np.concatenate([kept("hand_first"), kept("hand_second")])
    assert mask.shape == (COUNT, HEIGHT, WIDTH)
    np.testing.assert_allclose(mask, core_alpha(kept("hand_frames")), atol=1e-5)
    alpha = np.concatenate([alpha_of(output(f"video/part_{part}_*.mov")) for part in (1, 2)])
    np.testing.assert_allclose(alpha, mask, atol=1 / 255)


def test_three_nodes_frames(workflow, client, kept, core_alpha):
    ready = workflow("three_nodes_frames")
    ready.keep("three_frames", images=[ready.node("GetVideoComponents"), 0])
    ready.keep("three_mask", mask=[ready.node("RVMMatte"), 1])
    (run,) = ready.run()
    mask = kept("three_mask")
    np.testing.assert_allclose(mask, core_alpha(kept("three_frames")), atol=1e-5)
    pictures = run.outputs[ready.node("PreviewImage")]["images"]
    assert len(pictures) == COUNT
    for number in (0, COUNT // 2, COUNT - 1):
        shown = np.asarray(Image.open(io.BytesIO(client.view(pictures[number]))), np.float32) / 255
        np.testing.assert_allclose(shown[..., 3], mask[number], atol=1.01 / 255)  # PreviewImage cuts to 8 bits


def test_refine_edges_and_save_webm(workflow, kept, output):
    ready = workflow("refine_edges_and_save_webm")
    ready.keep("refine_mask", mask=[ready.node("RVMMatte"), 1])
    ready.run()
    options = EdgeOptions(grow=-0.5, feather=0.5, black_point=0.03, white_point=0.97)
    expected = refine_masks(torch.from_numpy(kept("refine_mask")), options).numpy()
    path = output("video/refined_*.webm")
    np.testing.assert_allclose(alpha_of(path), expected, atol=0.51 / 255)  # VP9, lossless
    assert abs(sound_of(path).shape[1] - 4 * 48000) < 4800
