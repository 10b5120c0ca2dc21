"""The pack in ComfyUI's eyes: nodes and sockets, help pages, texts, templates; and a neighbour that is in the way."""

import json
import urllib.error
from pathlib import Path

import pytest

from .comfy_server import OTHER_PACK, PACK, ROOT
from .graph import Graph

MATTING = {"downsample": "COMBO", "custom_ratio": "FLOAT", "warm_up": "INT", "scene_cut": "FLOAT", "chunk": "INT"}
FRAMES = {"model": "RVM_MODEL", "images": "IMAGE", **MATTING, "carry": "COMBO"}
EDGES = {"grow": "FLOAT", "feather": "FLOAT", "black_point": "FLOAT", "white_point": "FLOAT"}
FILE = {"filename_prefix": "STRING", "format": "COMBO", "alpha": "COMBO"}
STATE = {"state": "RVM_STATE"}
# id: (display name, required inputs, optional inputs, outputs, is an output node). Saved graphs rely on all of it.
NODES = {
    "RVMLoadModel": (
        "RVM Load Model",
        {"model": "COMBO", "precision": "COMBO", "device": "COMBO", "refiner": "COMBO"},
        {},
        {"model": "RVM_MODEL"},
        False,
    ),
    "RVMMatte": (
        "RVM Matte",
        FRAMES,
        STATE,
        {"foreground": "IMAGE", "mask": "MASK", "rgba": "IMAGE", "state": "RVM_STATE"},
        False,
    ),
    "RVMSegment": ("RVM Segment", FRAMES, STATE, {"mask": "MASK", "state": "RVM_STATE"}, False),
    "RVMMatteVideo": (
        "RVM Matte Video",
        {"model": "RVM_MODEL", "video": "VIDEO", "output": "COMBO", "background": "STRING", **MATTING},
        {"background_image": "IMAGE", "background_video": "VIDEO", **STATE},
        {"video": "VIDEO", "alpha": "VIDEO", "state": "RVM_STATE", "frame_count": "INT", "fps": "FLOAT"},
        False,
    ),
    "RVMSaveAlphaVideo": (
        "RVM Save Alpha Video",
        {"model": "RVM_MODEL", "video": "VIDEO", **FILE, "keep_audio": "BOOLEAN", "resume": "BOOLEAN"}
        | {**EDGES, "decontaminate": "FLOAT", **MATTING},
        STATE,
        {"path": "STRING", "state": "RVM_STATE"},
        True,
    ),
    "RVMSaveRGBA": (
        "RVM Save RGBA",
        {"images": "IMAGE", "fps": "FLOAT", **FILE},
        {"audio": "AUDIO"},
        {"path": "STRING"},
        True,
    ),
    "RVMComposite": (
        "RVM Composite",
        {"foreground": "IMAGE", "mask": "MASK", "mode": "COMBO", "color": "STRING", "blur": "FLOAT"}
        | {"linear_light": "BOOLEAN", "invert_mask": "BOOLEAN"},
        {"background": "IMAGE"},
        {"image": "IMAGE"},
        False,
    ),
    "RVMRefineMask": (
        "RVM Refine Mask",
        {"mask": "MASK", **EDGES, "gamma": "FLOAT", "temporal": "FLOAT", "invert": "BOOLEAN"},
        {},
        {"mask": "MASK"},
        False,
    ),
    "RVMDecontaminate": (
        "RVM Decontaminate",
        {"images": "IMAGE", "mask": "MASK", "strength": "FLOAT", "spill_color": "STRING", "spill_strength": "FLOAT"},
        {"foreground": "IMAGE"},
        {"foreground": "IMAGE", "rgba": "IMAGE"},
        False,
    ),
    "RVMSaveState": ("RVM Save State", {**STATE, "name": "STRING"}, {}, STATE, True),
    "RVMLoadState": ("RVM Load State", {"name": "COMBO"}, {}, STATE, False),
}
WORKFLOWS = sorted(path.stem for path in (ROOT / "example_workflows").glob("*.json"))


def kinds(inputs: dict) -> dict[str, str]:
    return {name: entry[0] if isinstance(entry[0], str) else "COMBO" for name, entry in inputs.items()}


@pytest.mark.parametrize("node_id", NODES)
def test_node(schemas, node_id):
    display_name, required, optional, outputs, is_output = NODES[node_id]
    schema = schemas[node_id]
    assert schema["display_name"] == display_name
    assert schema["category"] == "video/matting"
    assert list(kinds(schema["input"]["required"]).items()) == list(required.items())  # in this order
    assert list(kinds(schema["input"].get("optional", {})).items()) == list(optional.items())
    assert dict(zip(schema["output_name"], schema["output"], strict=True)) == outputs
    assert schema["output_node"] == is_output
    assert schema["description"]
    for name, entry in {**schema["input"]["required"], **schema["input"].get("optional", {})}.items():
        assert entry[1]["tooltip"], f"{node_id}.{name} has no tooltip"


def test_no_other_nodes_and_no_failed_import(server, schemas):
    ours = [name for name, schema in schemas.items() if PACK in schema["python_module"]]
    assert sorted(ours) == sorted(NODES)
    assert "IMPORT FAILED" not in server.log_path.read_text(encoding="utf-8", errors="replace")


def test_each_pack_keeps_its_own_core(client, schemas):
    graph = Graph(schemas)
    model, picture = graph.add("RVMLoadModel"), graph.add("EmptyImage", width=64, height=48)
    matte = graph.add("RVMMatte", model=model["model"], images=picture["IMAGE"], warm_up=0)
    graph.add("PreviewImage", images=matte["foreground"])
    assert client.run(graph.prompt).status == "success"
    question = Graph(schemas)
    asked = question.add("AAAWhoseCore")
    told = client.run(question.prompt).outputs[asked.id]["text"]
    assert told[0] == OTHER_PACK
    assert len(told) == 2
    assert told[1].endswith(f"{PACK}.core.stream.session")


@pytest.mark.parametrize("node_id", NODES)
def test_help_page(client, node_id):
    """Where the editor looks once there is no page in the user's language at docs/NODE/LANGUAGE.md."""
    page = client.read(f"/extensions/{PACK}/docs/{node_id}.md").decode()
    assert page.startswith("# ")
    with pytest.raises(urllib.error.HTTPError):
        client.read(f"/extensions/{PACK}/docs/{node_id}/en.md")


def test_texts(client):
    texts = client.json("/i18n")["en"]["nodeDefs"]
    assert {node_id: texts[node_id]["display_name"] for node_id in NODES} == {k: v[0] for k, v in NODES.items()}


def test_templates(client):
    assert sorted(client.json("/workflow_templates")[PACK]) == WORKFLOWS
    for name in WORKFLOWS:
        served = client.json(f"/api/workflow_templates/{PACK}/{name}.json")
        assert served == json.loads(Path(ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
        thumbnail = client.read(f"/api/workflow_templates/{PACK}/{name}.jpg")
        assert thumbnail.startswith(b"\xff\xd8")
        assert len(thumbnail) < 300_000
