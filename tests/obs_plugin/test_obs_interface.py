"""What the script and the filter show to the user, and what they use of OBS."""

import ast
from pathlib import Path

from headless_obs import color, matte

STUB = Path(__file__).resolve().parent.parent.parent / "obs_plugin" / "typings" / "obspython.pyi"

# Walks the properties of a filter or of the script, through libobs.
WALK = """
import ctypes
P = ctypes.c_void_p
def function(name, result, *arguments):
    f = getattr(libobs, name)
    f.restype, f.argtypes = result, arguments
    return f
first = function("obs_properties_first", P, P)
following = function("obs_property_next", ctypes.c_bool, ctypes.POINTER(P))
title = function("obs_property_description", ctypes.c_char_p, P)
name_of = function("obs_property_name", ctypes.c_char_p, P)
tip = function("obs_property_long_description", ctypes.c_char_p, P)
kind = function("obs_property_get_type", ctypes.c_int, P)
visible = function("obs_property_visible", ctypes.c_bool, P)
content = function("obs_property_group_content", P, P)
destroy = function("obs_properties_destroy", None, P)

def walk(properties):
    found, item = [], P(first(properties))
    while item.value:
        entry = dict(name=name_of(item).decode(), title=(title(item) or b"").decode(), tip=(tip(item) or b"").decode())
        entry.update(kind=kind(item), visible=visible(item))
        found.append(entry)
        if entry["kind"] == 12:  # a group
            entry["items"] = walk(P(content(item)))
        if not following(ctypes.byref(item)):
            break
    return found
"""
FILTER = (
    WALK
    + """
source = function("obs_get_source_by_name", P, ctypes.c_char_p)(b"cam")
found = function("obs_source_get_filter_by_name", P, P, ctypes.c_char_p)(source, b"matte")
def look():
    properties = function("obs_source_properties", P, P)(found)
    settings = function("obs_source_get_settings", P, P)(found)
    function("obs_properties_apply_settings", None, P, P)(properties, settings)
    function("obs_data_release", None, P)(settings)
    seen = walk(properties)
    destroy(properties)
    return seen
result = in_window(look)
for held in (found, source):
    function("obs_source_release", None, P)(held)
"""
)
SCRIPT = (
    WALK
    + """
def look():
    properties = function_of_scripting(P(loaded[path]))
    seen = walk(properties)
    destroy(properties)
    return seen
function_of_scripting = scripting.obs_script_get_properties
function_of_scripting.restype, function_of_scripting.argtypes = P, (P,)
"""
)


def declared_names() -> list[str]:
    tree = ast.parse(STUB.read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return functions + [
        n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    ]


def test_obs_has_what_the_stub_declares(start_obs):
    names = declared_names()
    assert len(names) > 5
    obs = start_obs([], 128, control=True)
    assert obs.control(f"result = [name for name in {names!r} if not hasattr(obs, name)]") == []
    constants = [name for name in names if name.isupper()]
    assert obs.control(f"result = [type(getattr(obs, name)).__name__ for name in {constants!r}]") == ["int"] * len(
        constants
    )


def test_properties_of_the_filter(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], 128, control=True)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())
    top = obs.control(FILTER)
    groups = {entry["name"]: entry["items"] for entry in top if "items" in entry}
    assert list(groups) == ["picture", "edge", "network", "timing", "safety"]
    assert next(entry for entry in top if entry["name"] == "status")["title"].startswith("Delay: ")
    entries = [entry for items in groups.values() for entry in items]
    assert all(entry["title"] and entry["tip"] for entry in entries)
    assert {entry["name"] for entry in entries if not entry["visible"]} == {"key_color", "blur", "image_file"}
    changes = {"output": "color_key", "sync": "soon", "late": "hide"}
    obs.request("SetSourceFilterSettings", sourceName="cam", filterName="matte", filterSettings=changes)
    entries = [entry for group in obs.control(FILTER) for entry in group.get("items", ())]
    hidden = {entry["name"] for entry in entries if not entry["visible"]}
    assert hidden == {"blur", "image_file", "fixed_delay", "freeze"}


def test_reload_reads_every_file_again(start_obs):
    """Reload runs the files as they are now. If one is missing, the script's panel and the log say so."""
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], 128, control=True)
    part = obs.script.with_name("rvm_filter_settings.lua")
    text = part.read_text(encoding="utf-8")

    def tips():
        return [entry["tip"] for group in obs.control(FILTER) for entry in group.get("items", ())]

    assert "Softens the edge." in tips()
    part.write_text(text.replace("Softens the edge.", "Feathers it: ü."), encoding="utf-8")
    obs.control(f"in_window(lambda: reload({str(obs.script)!r}))")
    assert "Softens the edge." not in tips()
    assert "Feathers it: ü." in tips()
    part.unlink()
    obs.control(f"in_window(lambda: reload({str(obs.script)!r}))")
    panel = obs.control(f"path = {str(obs.script)!r}\n{SCRIPT}\nresult = in_window(look)")
    assert [entry["name"] for entry in panel if entry["visible"]] == ["error", "refresh", "restart"]
    assert "OBS rejected rvm_filter.lua" in panel[0]["title"]
    assert f"{part} is missing or cannot be read" in obs.log_text()
    part.write_text(text, encoding="utf-8")
    obs.control(f"in_window(lambda: reload({str(obs.script)!r}))")
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())
    obs.log.write_text(obs.log_text().replace("[Lua: rvm_filter.lua] Error running file", "as it should:"))


def test_defaults(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], 128, control=True)
    defaults = obs.request("GetSourceFilterDefaultSettings", filterKind="rvm_matte_filter")["defaultFilterSettings"]
    assert defaults["late"] == "freeze"
    assert defaults["sync"] == "steady"
    assert defaults["output"] == "transparent"
    listed = obs.control(FILTER_NAMES)
    assert set(listed) == set(defaults)


FILTER_NAMES = (
    FILTER.replace('b"cam"', 'b"cam"') + "\nresult = sorted(e['name'] for g in result for e in g.get('items', ()))"
)


def test_settings_reach_the_worker(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte(edge_feather=2.5)])], 128)

    def settings():
        read = obs.report()["settings"]
        return read[0][1] if read and read[0] else {}

    obs.wait_until(lambda: settings().get("edge_feather") == 2.5)
    expected = {"model": "mobilenetv3", "downsample": "auto", "edge_shift": 0, "scene_cuts": True}
    assert settings().items() >= expected.items()
    changes = {
        "model": "resnet50",
        "downsample": "full_body",
        "edge_shift": -3.5,
        "decontaminate": 80,
        "scene_cuts": False,
    }
    obs.request("SetSourceFilterSettings", sourceName="cam", filterName="matte", filterSettings=changes)
    obs.wait_until(lambda: settings().get("model") == "resnet50")
    assert settings() == {**changes, "decontaminate": 0.8, "edge_feather": 2.5}


def test_panel(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], 128, control=True)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())
    code = f"path = {str(obs.script)!r}\n{SCRIPT}\nresult = in_window(look)"
    rows = {entry["name"]: entry["title"] for entry in obs.control(code)}
    assert rows["state"] == "Worker: ready"
    assert rows["device"] == "Device: none"
    assert rows["engine"] == "Engine: known mattes"
    assert rows["slot0"].startswith("cam: 64x36, ")
    assert rows["slot1"] == ""
    assert rows["error"] == "Last error: none"
    code = f"path = {str(obs.script)!r}\n" + PRESS.replace("restart", "refresh")
    rows = {entry["name"] for entry in obs.control(code) if entry["visible"]}
    assert rows == {"state", "device", "engine", "model", "slot0", "error", "refresh", "restart"}
    before = obs.report()["pid"]
    obs.control(f"path = {str(obs.script)!r}\n" + PRESS)
    obs.wait_until(lambda: obs.report()["pid"] != before)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())


PRESS = (
    SCRIPT
    + """
def press():
    properties = function_of_scripting(P(loaded[path]))
    button = function("obs_properties_get", P, P, ctypes.c_char_p)(properties, b"restart")
    pressed = function("obs_property_button_clicked", ctypes.c_bool, P, P)(button, None)
    assert pressed  # the panel is to be drawn again
    seen = walk(properties)
    destroy(properties)
    return seen
result = in_window(press)
"""
)


def test_the_panel_says_why_there_is_no_worker(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], "neither number nor pattern", control=True)
    code = f"path = {str(obs.script)!r}\n{SCRIPT}\nresult = in_window(look)"
    obs.wait_until(lambda: "ValueError: invalid literal" in str(obs.control(code)))
    for _ in range(10):
        assert not obs.screenshot("cam").any()
