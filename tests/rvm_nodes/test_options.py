"""The widgets of the nodes against the table of options: names, defaults and ranges."""

import pytest
from rvm_studio.core import OPTIONS
from rvm_studio.core.clips.option_form import SAME

# Widgets that only nodes have, or that are arguments of a node about pictures in memory.
OWN = {
    *("custom_ratio", "carry", "filename_prefix", "output", "temporal", "invert", "invert_mask", "mode", "color"),
    *("blur", "linear_light", "strength", "spill_color", "spill_strength", "path", "name", "file"),
}
TYPES = {"number": "FLOAT", "count": "INT", "flag": "BOOLEAN", "rate": "FLOAT", "threshold": "FLOAT"}


@pytest.fixture
def widgets(comfy):
    """(widget, [(node, type, settings)]) of all widgets, sockets aside."""
    from rvm_studio import rvm_nodes
    from rvm_studio.rvm_nodes.node_texts import widgets

    found = {}
    for node in rvm_nodes.NODE_CLASS_MAPPINGS.values():
        for name, (kind, settings) in widgets(node).items():
            if isinstance(kind, list) or kind in ("STRING", "INT", "FLOAT", "BOOLEAN"):
                found.setdefault(name, []).append((node.__name__, kind, settings))
    return found


def test_every_promised_widget_is_there_and_as_promised(widgets):
    for option in OPTIONS:
        door = option.nodes
        if door is None:
            continue
        assert door.name in widgets, f"no node has {door.name}"
        default = option.default if door.default is SAME else door.default
        low, high = (a if b is SAME else b for a, b in ((option.low, door.low), (option.high, door.high)))
        for node, kind, settings in widgets[door.name]:
            where = f"{door.name} of {node}"
            assert settings.get("default") == default, where
            if kind in ("INT", "FLOAT"):
                assert kind == TYPES[option.kind], where
                assert (settings["min"], settings["max"]) == (low, high), where
            elif isinstance(kind, list) and option.choices and door.name != "model":
                assert set(option.choices) <= set(kind), where


def test_no_widget_is_unknown_to_the_table(widgets):
    promised = {option.nodes.name for option in OPTIONS if option.nodes}
    assert set(widgets) - promised <= OWN
