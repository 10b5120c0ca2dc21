"""Graphs in ComfyUI's API format, written down as one would draw them: widgets not named keep their default."""

from typing import Any, NamedTuple

from ..workflow_graph import choices, widget_inputs


class Node(NamedTuple):
    """A node in a graph; `node["mask"]` is the link from its output of that name."""

    id: str
    outputs: list[str]

    def __getitem__(self, output: str) -> list:  # type: ignore[override]
        return [self.id, self.outputs.index(output)]


class Graph:
    """`schemas`: of /object_info. `prompt`: what ComfyClient.run takes."""

    def __init__(self, schemas: dict[str, dict]):
        self.prompt: dict[str, dict] = {}
        self._schemas = schemas

    def add(self, class_type: str, **inputs: Any) -> Node:
        schema = self._schemas[class_type]
        known = {**schema["input"].get("required", {}), **schema["input"].get("optional", {})}
        assert set(inputs) <= set(known), f"{class_type} has no {set(inputs) - set(known)}"
        defaults = {}
        for name, kind, options in widget_inputs(schema):
            listed = choices(kind, options)
            if "default" in options or listed:
                defaults[name] = options.get("default", listed[0] if listed else None)
        node_id = str(len(self.prompt) + 1)
        self.prompt[node_id] = {"class_type": class_type, "inputs": {**defaults, **inputs}}
        return Node(node_id, schema["output_name"])

    def frames(self, count: int, first: int = 0) -> list:
        """The link to frames of the sample clip, as IMAGE."""
        clip = self.add("LoadVideo", file="rvm_sample.mp4")
        parts = self.add("GetVideoComponents", video=clip["VIDEO"])
        return self.add("ImageFromBatch", image=parts["images"], batch_index=first, length=count)["IMAGE"]
