"""What goes wrong ends with a text that names the node, what was found and what to do; the server lives on."""

import re

import pytest
from safetensors.torch import load_file, save_file

from .comfy_client import PromptRejected
from .graph import Graph


def failing(client, graph: Graph, node_type: str, display_name: str) -> str:
    """The text that the editor shows for a run that ends with an error in this node."""
    run = client.run(graph.prompt)
    error = run.error
    assert error["node_type"] == node_type
    text = error["exception_message"].strip()
    assert text.startswith(f"{display_name}: "), text
    recorded = client.history(run.prompt_id)["status"]
    assert recorded["status_str"] == "error"
    assert text in str(recorded["messages"]).replace("\\n", "\n").replace("\\'", "'")
    return text


def matte(graph: Graph, model, images, **options):
    made = graph.add("RVMMatte", model=model, images=images, **options)
    graph.add("PreviewImage", images=made["foreground"])
    return made


def empty(graph: Graph, count: int, width: int = 64, height: int = 48):
    return graph.add("EmptyImage", width=width, height=height, batch_size=count, color=0)["IMAGE"]


def test_weights_that_cannot_be_fetched(client, schemas):
    graph = Graph(schemas)
    matte(graph, graph.add("RVMLoadModel", model="rvm_resnet50.safetensors")["model"], empty(graph, 1))
    text = failing(client, graph, "RVMLoadModel", "RVM Load Model")
    assert "rvm_resnet50" in text
    assert "models/rvm" in text.replace("\\", "/")  # where to put them by hand


def test_weights_that_are_none(client, model_file):
    name = model_file("not_weights.safetensors", b"certainly no tensors in here")
    schemas = client.object_info()
    assert name in str(schemas["RVMLoadModel"]["input"]["required"]["model"])
    graph = Graph(schemas)
    matte(graph, graph.add("RVMLoadModel", model=name)["model"], empty(graph, 1))
    assert name in failing(client, graph, "RVMLoadModel", "RVM Load Model")


def test_weights_that_are_gone(client, schemas, server, model_file, reference_weights):
    """Listed when the graph was made, and deleted since."""
    name = model_file("gone.safetensors", reference_weights)
    schemas = client.object_info()
    graph = Graph(schemas)
    matte(graph, graph.add("RVMLoadModel", model=name)["model"], empty(graph, 1))
    (server.base / "models" / "rvm" / name).unlink()
    with pytest.raises(PromptRejected, match=re.escape(name)):
        client.run(graph.prompt)


def test_weights_without_a_segmentation_head(client, model_file, reference_weights, tmp_path):
    tensors = {name: tensor for name, tensor in load_file(reference_weights).items() if "project_seg" not in name}
    save_file(tensors, tmp_path / "headless.safetensors")
    name = model_file("headless.safetensors", tmp_path / "headless.safetensors")
    graph = Graph(client.object_info())
    matted = graph.add("RVMSegment", model=graph.add("RVMLoadModel", model=name)["model"], images=empty(graph, 1))
    graph.add("AAAKeep", name="never", mask=matted["mask"])
    assert "segmentation head" in failing(client, graph, "RVMSegment", "RVM Segment")


def test_a_state_of_another_size(client, schemas):
    graph = Graph(schemas)
    model = graph.add("RVMLoadModel")["model"]
    first = graph.add("RVMMatte", model=model, images=empty(graph, 2))
    matte(graph, model, empty(graph, 2, width=128, height=72), state=first["state"])
    text = failing(client, graph, "RVMMatte", "RVM Matte")
    assert "128x72" in text
    assert "64x48" in text


def test_frames_without_transparency_to_a_transparent_file(client, schemas):
    graph = Graph(schemas)
    graph.add("RVMSaveRGBA", images=empty(graph, 2))
    assert "rgba output of RVM Matte" in failing(client, graph, "RVMSaveRGBA", "RVM Save RGBA")


def test_a_mask_that_does_not_fit(client, schemas):
    graph = Graph(schemas)
    model = graph.add("RVMLoadModel")["model"]
    other = graph.add("RVMMatte", model=model, images=empty(graph, 3))
    composite = graph.add("RVMComposite", foreground=empty(graph, 2, width=128), mask=other["mask"])
    graph.add("PreviewImage", images=composite["image"])
    text = failing(client, graph, "RVMComposite", "RVM Composite")
    assert "128x48" in text
    assert "64x48" in text


def test_a_place_outside_the_output_folder(client, schemas, server):
    graph = Graph(schemas)
    clip = graph.add("LoadVideo", file="rvm_sample.mp4")
    graph.add(
        "RVMSaveAlphaVideo",
        model=graph.add("RVMLoadModel")["model"],
        video=clip["VIDEO"],
        filename_prefix="../../outside",
    )
    assert "filename prefix" in failing(client, graph, "RVMSaveAlphaVideo", "RVM Save Alpha Video")
    assert not list(server.base.parent.glob("outside*"))


def test_a_saved_state_that_is_not_there(client, schemas):
    graph = Graph(schemas)
    state = graph.add("RVMLoadState", name="never saved.safetensors [output]")["state"]
    matte(graph, graph.add("RVMLoadModel")["model"], empty(graph, 1), state=state)
    with pytest.raises(PromptRejected, match="never saved"):
        client.run(graph.prompt)
