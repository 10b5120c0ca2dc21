"""A saved workflow (what the editor draws) as the graph that ComfyUI runs (its API format), and what is wrong with it.

`schemas` are those of /object_info: node type -> {"input": {"required": {name: [type, options]}, "optional": ...},
"output": [types], "output_node": bool}. Of the editor's format this understands what the workflows in
example_workflows use: version 0.4, no subgraphs, no reroutes, nothing bypassed or muted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NOTES = ("Note", "MarkdownNote")  # known to the editor only
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
UPLOADS = ("image_upload", "video_upload", "audio_upload")  # the editor saves the button's value, too
AFTER_GENERATE = ("fixed", "increment", "decrement", "randomize")  # value of the widget it adds below a seed
TITLE_HEIGHT = 30  # pixels, above a node's position

Json = dict[str, Any]


class WorkflowError(ValueError):
    """The workflow cannot be run as it stands."""


def to_prompt(workflow: Json, schemas: Mapping[str, Json]) -> Json:
    """{node id: {"class_type", "inputs", "_meta": {"title"}}}, as the editor's "Export (API)" gives it.

    Raises WorkflowError for node types that are not in `schemas`, for widgets that are too many or too few, and for
    links that lead nowhere or join different types."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    prompt: Json = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        if node["type"] not in schemas:
            raise WorkflowError(f"{_name(node)}: there is no node type {node['type']}")
        if node.get("mode", 0) != 0:
            raise WorkflowError(f"{_name(node)} is muted or bypassed")
        inputs = widget_values(node, schemas[node["type"]])
        for slot, entry in enumerate(node.get("inputs", [])):
            if entry.get("link") is not None:
                inputs[entry["name"]] = _source(node, slot, entry, links, nodes, schemas)
        missing = [name for name in schemas[node["type"]]["input"].get("required", {}) if name not in inputs]
        if missing:
            raise WorkflowError(f"{_name(node)}: nothing is connected to {', '.join(missing)}")
        title = node.get("title") or schemas[node["type"]].get("display_name") or node["type"]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return prompt


def widget_inputs(schema: Json) -> Iterator[tuple[str, str | Sequence, Json]]:
    """(name, type, options) of the inputs that the editor shows as widgets, in its order."""
    for kind in ("required", "optional"):
        for name, definition in schema["input"].get(kind, {}).items():
            options = definition[1] if len(definition) > 1 else {}
            is_list = isinstance(definition[0], (list, tuple))  # a combo of older versions
            if (is_list or definition[0] in WIDGET_TYPES) and not options.get("forceInput"):
                yield name, definition[0], options


def choices(kind: str | Sequence, options: Json) -> Sequence | None:
    """What a combo may be set to; None for other widgets."""
    if isinstance(kind, (list, tuple)):
        return kind
    return options.get("options", []) if kind == "COMBO" else None


def widget_values(node: Json, schema: Json) -> Json:
    """The values of a node's widgets by name. Raises WorkflowError where they are too many or too few."""
    values = node.get("widgets_values") or []
    if isinstance(values, dict):
        return _named_values(values, schema)
    inputs, left = {}, list(values)
    for name, _, options in widget_inputs(schema):
        if not left and name in schema["input"].get("optional", {}):
            break  # newer than the workflow: it keeps its default
        if not left:
            raise WorkflowError(f"{_name(node)}: there are {len(values)} widget values, none for {name}")
        inputs[name] = left.pop(0)
        follows = left[0] if left else None
        is_number = isinstance(inputs[name], int) and not isinstance(inputs[name], bool)
        # Newer versions say control_after_generate, older ones know the names seed and noise_seed.
        controlled = options.get("control_after_generate") or name in ("seed", "noise_seed")
        is_control = is_number and controlled and follows in AFTER_GENERATE
        is_button = any(options.get(upload) for upload in UPLOADS) and follows in ("image", "video", "audio", "file")
        if is_control or is_button:
            left.pop(0)
    if left:
        raise WorkflowError(f"{_name(node)}: the widget values {left} are too many")
    return inputs


def _named_values(values: Json, schema: Json) -> Json:
    """VideoHelperSuite saves its widgets by name, among them some that come and go with the chosen format."""
    inputs = {}
    for name, _, options in widget_inputs(schema):
        if name not in values:
            continue  # optional, or reported as missing
        inputs[name] = values[name]
        more = options.get("formats", {}).get(values[name], [])
        if isinstance(more, list):
            inputs |= {extra[0]: values[extra[0]] for extra in more if extra[0] in values}
    return inputs


def _source(node: Json, slot: int, entry: Json, links: dict, nodes: dict, schemas: Mapping[str, Json]) -> list:
    """[node id, output number] that an input is linked to."""
    here = f"{_name(node)}, input {entry['name']}"
    definition = {
        **schemas[node["type"]]["input"].get("required", {}),
        **schemas[node["type"]]["input"].get("optional", {}),
    }
    if entry["name"] not in definition:
        raise WorkflowError(f"{here}: the node has no such input")
    link = links.get(entry["link"])
    if link is None or link[3:5] != [node["id"], slot]:
        raise WorkflowError(f"{here}: link {entry['link']} does not lead here ({link})")
    source = nodes.get(link[1])
    if source is None:
        raise WorkflowError(f"{here}: link {entry['link']} comes from a node that is not there")
    if link[0] not in (source["outputs"][link[2]].get("links") or []):
        raise WorkflowError(f"{here}: {_name(source)} does not know link {link[0]}")
    given = schemas[source["type"]]["output"][link[2]] if source["type"] in schemas else link[5]
    wanted = definition[entry["name"]][0]
    if not isinstance(wanted, (list, tuple)) and wanted != "*" and given != wanted:
        raise WorkflowError(f"{here}: is {wanted} but gets {given} from {_name(source)}")
    return [str(link[1]), link[2]]


def overlaps(workflow: Json) -> list[str]:
    """Pairs of nodes that lie over each other, titles included, as "this and that"."""
    boxes = [(node, _box(node)) for node in workflow["nodes"]]
    found = []
    for number, (first, a) in enumerate(boxes):
        for second, b in boxes[number + 1 :]:
            if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
                found.append(f"{_name(first)} and {_name(second)}")
    return found


def outside_groups(workflow: Json) -> list[str]:
    """Nodes that lie in no group, or stick out of one."""
    groups = [(x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in workflow["groups"])]
    return [
        _name(node)
        for node in workflow["nodes"]
        for x0, y0, x1, y1 in [_box(node)]
        if not any(g[0] <= x0 and g[1] <= y0 and x1 <= g[2] and y1 <= g[3] for g in groups)
    ]


def _box(node: Json) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    x, y = _pair(node["pos"])
    width, height = _pair(node["size"])
    return x, y - TITLE_HEIGHT, x + width, y + height


def _pair(value: Sequence[float] | Mapping[str, float]) -> tuple[float, float]:
    return (value["0"], value["1"]) if isinstance(value, Mapping) else (value[0], value[1])


def _name(node: Json) -> str:
    return f"node {node['id']} ({node.get('title') or node['type']})"
