"""The converter against graphs worked out by hand, and what it must refuse; then the example workflows themselves."""

import copy
import json
from pathlib import Path

import pytest
from rvm_studio.rvm_nodes import NODE_CLASS_MAPPINGS

from .workflow_graph import WorkflowError, choices, outside_groups, overlaps, to_prompt, widget_inputs, widget_values

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / "example_workflows").glob("*.json"))

SCHEMAS = {
    "Load": {
        "input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}]}},
        "output": ["IMAGE", "MASK"],
    },
    "LoadNew": {
        "input": {"required": {"file": ["COMBO", {"options": ["a.mp4"], "video_upload": True}]}},
        "output": ["VIDEO"],
    },
    "Noise": {
        "input": {
            "required": {
                "seed": ["INT", {"control_after_generate": True}],
                "images": ["IMAGE"],
                "strength": ["FLOAT", {"default": 1.0}],
            },
            "optional": {
                "mask": ["MASK", {}],
                "label": ["STRING", {"default": ""}],
                "count": ["INT", {"forceInput": True}],
            },
        },
        "output": ["IMAGE"],
        "display_name": "Add Noise",
    },
    "Save": {
        "input": {
            "required": {
                "images": ["IMAGE"],
                "format": [["video/mkv", "image/gif"], {"formats": {"video/mkv": [["pix_fmt", ["bgra", "gray"]]]}}],
                "prefix": ["STRING", {}],
            },
            "optional": {"meta_batch": ["BATCH"], "anything": ["*", {}]},
            "hidden": {"prompt": "PROMPT"},
        },
        "output": [],
    },
}


def workflow() -> dict:
    """Load -> Noise (mask too, strength by a converted widget) -> Save."""
    return {
        "nodes": [
            {"id": 7, "type": "Load", "pos": [0, 0], "size": [200, 100], "title": "My picture",
             "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]},
                         {"name": "MASK", "type": "MASK", "links": [2]}],
             "widgets_values": ["b.png", "image"]},
            {"id": 3, "type": "Noise", "pos": [250, 0], "size": [200, 100],
             "inputs": [{"name": "images", "type": "IMAGE", "link": 1},
                        {"name": "mask", "type": "MASK", "link": 2},
                        {"name": "label", "type": "STRING", "widget": {"name": "label"}, "link": None}],
             "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [5]}],
             "widgets_values": [42, "randomize", 0.5, "hello"]},
            {"id": 4, "type": "Save", "pos": [500, 0], "size": {"0": 200, "1": 100},
             "inputs": [{"name": "images", "type": "IMAGE", "link": 5}],
             "widgets_values": {"format": "video/mkv", "pix_fmt": "gray", "prefix": "out", "videopreview": {"x": 1}}},
            {"id": 9, "type": "Note", "pos": [0, 200], "size": [300, 80], "widgets_values": ["Read me"]},
        ],
        "links": [[1, 7, 0, 3, 0, "IMAGE"], [2, 7, 1, 3, 1, "MASK"], [5, 3, 0, 4, 0, "IMAGE"]],
        "groups": [{"title": "All", "bounding": [-20, -60, 760, 380]}],
    }  # fmt: skip


def test_a_whole_graph():
    assert to_prompt(workflow(), SCHEMAS) == {
        "7": {"class_type": "Load", "inputs": {"image": "b.png"}, "_meta": {"title": "My picture"}},
        "3": {
            "class_type": "Noise",
            "inputs": {"seed": 42, "images": ["7", 0], "strength": 0.5, "mask": ["7", 1], "label": "hello"},
            "_meta": {"title": "Add Noise"},
        },
        "4": {
            "class_type": "Save",
            "inputs": {"images": ["3", 0], "format": "video/mkv", "pix_fmt": "gray", "prefix": "out"},
            "_meta": {"title": "Save"},
        },
    }


def test_a_link_wins_over_a_converted_widgets_value():
    graph = workflow()
    graph["nodes"][1]["inputs"][2]["link"] = 6
    graph["nodes"].append({"id": 8, "type": "Text", "pos": [0, 0], "size": [1, 1], "widgets_values": [],
                           "outputs": [{"name": "STRING", "type": "STRING", "links": [6]}]})  # fmt: skip
    graph["links"].append([6, 8, 0, 3, 2, "STRING"])
    text = {"input": {"required": {}}, "output": ["STRING"]}
    assert to_prompt(graph, {**SCHEMAS, "Text": text})["3"]["inputs"]["label"] == ["8", 0]


@pytest.mark.parametrize("values", [["a.mp4", "image"], ["a.mp4"]])
def test_upload_buttons_may_be_saved_or_not(values):
    node = {"id": 1, "type": "LoadNew", "pos": [0, 0], "size": [1, 1], "outputs": [], "widgets_values": values}
    prompt = to_prompt({"nodes": [node], "links": []}, SCHEMAS)
    assert prompt["1"]["inputs"] == {"file": "a.mp4"}


def test_a_word_after_a_seed_that_belongs_to_the_next_widget_stays():
    schema = {"input": {"required": {"seed": ["INT", {}], "text": ["STRING", {}]}}, "output": []}
    node = {"id": 1, "type": "T", "pos": [0, 0], "size": [1, 1], "widgets_values": [1, "fixed", "fixed"]}
    assert to_prompt({"nodes": [node], "links": []}, {"T": schema})["1"]["inputs"] == {"seed": 1, "text": "fixed"}


def test_optional_widgets_that_a_workflow_is_too_old_to_know():
    graph = workflow()
    graph["nodes"][1]["widgets_values"].pop()
    assert "label" not in to_prompt(graph, SCHEMAS)["3"]["inputs"]


def broken(change) -> dict:
    graph = copy.deepcopy(workflow())
    change(graph)
    return graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["nodes"][0].update(type="Gone"), "no node type Gone"),
        (lambda g: g["nodes"][1].update(mode=4), "bypassed"),
        (lambda g: g["nodes"][1]["widgets_values"].append(3), r"\[3\] are too many"),
        (lambda g: g["nodes"][1].update(widgets_values=[42, "fixed"]), "2 widget values, none for strength"),
        (lambda g: g["nodes"][2]["widgets_values"].pop("prefix"), "nothing is connected to prefix"),
        (lambda g: g["nodes"][1]["inputs"][0].update(link=None), "nothing is connected to images"),
        (lambda g: g["nodes"][1]["inputs"][0].update(link=77), "does not lead here"),
        (lambda g: g["links"][0].__setitem__(4, 1), "does not lead here"),
        (lambda g: g["links"][0].__setitem__(1, 99), "not there"),
        (lambda g: g["nodes"][0]["outputs"][0].update(links=[]), "does not know link 1"),
        (lambda g: g["links"][0].__setitem__(2, 1), "does not know link 1"),
        (lambda g: g["nodes"][1]["inputs"][0].update(name="pictures"), "no such input"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(WorkflowError, match=message):
        to_prompt(broken(change), SCHEMAS)


def test_types_must_fit_but_for_the_star():
    graph = workflow()
    graph["nodes"][0]["outputs"][1]["links"] = [2, 9]
    graph["nodes"][2]["inputs"].append({"name": "anything", "type": "*", "link": 9})
    graph["links"].append([9, 7, 1, 4, 1, "MASK"])
    assert to_prompt(graph, SCHEMAS)["4"]["inputs"]["anything"] == ["7", 1]
    graph["nodes"][2]["inputs"][1]["name"] = "meta_batch"
    with pytest.raises(WorkflowError, match="is BATCH but gets MASK from node 7"):
        to_prompt(graph, SCHEMAS)


def test_layout():
    graph = workflow()
    assert overlaps(graph) == []
    assert outside_groups(graph) == []
    graph["nodes"][3]["pos"] = [230, 120]  # its title reaches into the two above it
    assert len(overlaps(graph)) == 2
    graph["nodes"][3]["pos"] = [730, 10]
    assert outside_groups(graph) == ["node 9 (Note)"]


# ---- the example workflows; tests/rvm_nodes/real runs them


def test_there_are_examples():
    assert len(WORKFLOWS) >= 5


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_is_tidy_and_explained(path):
    example = json.loads(path.read_text(encoding="utf-8"))
    assert overlaps(example) == []
    assert outside_groups(example) == []
    notes = [node for node in example["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1
    assert "### What to change" in notes[0]["widgets_values"][0]
    assert "rvm_sample.mp4" in notes[0]["widgets_values"][0]
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.read_bytes().startswith(b"\xff\xd8")
    assert thumbnail.stat().st_size < 300_000


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_examples_nodes_are_as_ours(comfy, path):
    example = json.loads(path.read_text(encoding="utf-8"))
    ours = [node for node in example["nodes"] if node["type"].startswith("RVM")]
    assert ours
    for node in ours:
        node_class = NODE_CLASS_MAPPINGS[node["type"]]
        schema = {"input": node_class.INPUT_TYPES(), "output": node_class.RETURN_TYPES}
        values = widget_values(node, schema)
        for name, kind, options in widget_inputs(schema):
            listed = choices(kind, options)
            assert listed is None or values[name] in listed
            if isinstance(values[name], (int, float)) and "min" in options:
                assert options["min"] <= values[name] <= options["max"]
        inputs = {**schema["input"]["required"], **schema["input"].get("optional", {})}
        assert sorted(entry["name"] for entry in node["inputs"]) == sorted(inputs)
        assert tuple(output["name"] for output in node["outputs"]) == node_class.RETURN_NAMES
        assert tuple(output["type"] for output in node["outputs"]) == node_class.RETURN_TYPES
