"""The nodes that work on frames, with real weights: against the core alone, and what they tell while they work."""

import io

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from .decoded import alpha_of
from .graph import Graph


def matte_graph(
    schemas, name: str, count: int = 16, node: str = "RVMMatte", model_name: str | None = None, **options
) -> Graph:
    """The sample's first frames through one node; frames and mask are kept as NAME_frames and NAME_mask."""
    graph = Graph(schemas)
    frames = graph.frames(count)
    model = graph.add("RVMLoadModel", **({"model": model_name} if model_name else {}))
    matte = graph.add(node, model=model["model"], images=frames, **options)
    graph.add("AAAKeep", name=f"{name}_frames", images=frames)
    graph.add("AAAKeep", name=f"{name}_mask", mask=matte["mask"])
    return graph


def test_the_mask_is_the_cores(client, schemas, kept, core_alpha):
    assert client.run(matte_graph(schemas, "plain").prompt).status == "success"
    frames, mask = kept("plain_frames"), kept("plain_mask")
    assert frames.shape == (16, 360, 640, 3)
    assert mask.dtype == np.float32
    assert 0.1 < mask.mean() < 0.6  # a person, and a room
    np.testing.assert_allclose(mask, core_alpha(frames), atol=1e-5)


def test_foreground_and_rgba_belong_together(client, schemas, kept):
    graph = Graph(schemas)
    matte = graph.add("RVMMatte", model=graph.add("RVMLoadModel")["model"], images=graph.frames(3))
    graph.add("AAAKeep", name="rgba", images=matte["rgba"])
    graph.add("AAAKeep", name="foreground", images=matte["foreground"])
    graph.add("AAAKeep", name="mask", mask=matte["mask"])
    assert client.run(graph.prompt).status == "success"
    assert np.array_equal(kept("rgba")[..., :3], kept("foreground"))
    assert np.array_equal(kept("rgba")[..., 3], kept("mask"))


def test_frames_with_transparency_come_in(client, schemas, kept, core_alpha):
    """Four channels are cut to three: RVM Matte's rgba goes into another RVM Matte."""
    graph = Graph(schemas)
    model = graph.add("RVMLoadModel")["model"]
    first = graph.add("RVMMatte", model=model, images=graph.frames(3))
    again = graph.add("RVMMatte", model=model, images=first["rgba"])
    graph.add("AAAKeep", name="four_frames", images=first["foreground"])
    graph.add("AAAKeep", name="four_mask", mask=again["mask"])
    assert client.run(graph.prompt).status == "success"
    np.testing.assert_allclose(kept("four_mask"), core_alpha(kept("four_frames")), atol=1e-5)


def test_progress_and_live_preview(client, schemas):
    run = client.run(matte_graph(schemas, "progress", count=24).prompt)
    matting = next(
        node_id for node_id, node in matte_graph(schemas, "").prompt.items() if node["class_type"] == "RVMMatte"
    )
    steps = [message.data for message in run.of_kind("progress") if message.data["node"] == matting]
    counts = [step["value"] for step in steps]
    assert counts == sorted(counts)
    assert (counts[-1], steps[-1]["max"]) == (24, 24)
    assert len(set(counts)) >= 20  # frame by frame
    previews = run.of_kind("preview")
    assert previews
    shown = Image.open(io.BytesIO(previews[-1].data))
    assert (shown.format, max(shown.size)) == ("JPEG", 512)
    assert np.asarray(shown).std() > 20


def test_state_by_hand_and_through_a_file(client, schemas, kept):
    """Cut after 13 frames, which the warm-up of 12 needs to see."""
    whole = matte_graph(schemas, "whole", 18)
    assert client.run(whole.prompt).status == "success"
    first = Graph(schemas)
    half = first.add("RVMMatte", model=first.add("RVMLoadModel")["model"], images=first.frames(13))
    first.add("AAAKeep", name="first", mask=half["mask"])
    first.add("RVMSaveState", state=half["state"], name="half way")
    assert client.run(first.prompt).status == "success"

    schemas = client.object_info()  # as the editor does at a refresh
    second = Graph(schemas)
    state = second.add("RVMLoadState", name="half way.safetensors [output]")["state"]
    rest = second.add(
        "RVMMatte", model=second.add("RVMLoadModel")["model"], images=second.frames(5, first=13), state=state
    )
    second.add("AAAKeep", name="rest", mask=rest["mask"])
    assert client.run(second.prompt).status == "success"
    assert np.array_equal(np.concatenate([kept("first"), kept("rest")]), kept("whole_mask"))


def test_segmentation(client, model_file, reference_weights, kept, tmp_path):
    """The reference weights have no head of their own. One is made that says sigmoid(12 alpha - 6)."""
    tensors = load_file(reference_weights)
    matting = {part: tensors[f"project_mat.conv.{part}"][3:] for part in ("weight", "bias")}
    tensors |= {"project_seg.conv.weight": 12 * matting["weight"], "project_seg.conv.bias": 12 * matting["bias"] - 6}
    save_file(tensors, tmp_path / "with_head.safetensors")
    name = model_file("with_head.safetensors", tmp_path / "with_head.safetensors")
    graph = matte_graph(client.object_info(), "segment", 3, node="RVMSegment", model_name=name)
    assert client.run(graph.prompt).status == "success"
    mask = kept("segment_mask")
    assert mask.shape == (3, 360, 640)
    assert mask[:, 100:200, 280:360].mean() > 0.9  # the face
    assert mask[:, :60, :60].mean() < 0.1  # the room


@pytest.mark.parametrize("format", ["FFV1", "PNG sequence"])
def test_a_lossless_file_of_frames_holds_the_mask(client, schemas, kept, output, format):
    graph = Graph(schemas)
    matte = graph.add("RVMMatte", model=graph.add("RVMLoadModel")["model"], images=graph.frames(4))
    name = format.split()[0].lower()
    graph.add("AAAKeep", name=f"{name}_mask", mask=matte["mask"])
    graph.add("RVMSaveRGBA", images=matte["rgba"], fps=24.0, format=format, filename_prefix=f"lossless/{name}")
    assert client.run(graph.prompt).status == "success"
    alpha = alpha_of(output(f"lossless/{name}*"))
    np.testing.assert_allclose(alpha, kept(f"{name}_mask"), atol=0.51 / 255)
