"""The settings of the filter (rvm_filter_settings.lua) without OBS: a stand-in notes what is asked of OBS's data and
properties. And what holds for all the Lua files."""

import functools
import json
import re
import types

import pytest
import rvm_frame_protocol as protocol
import rvm_slots
from rvm_studio.core.errors import StudioError
from rvm_studio.core.weights.download import CATALOGUE

lua_parts = pytest.importorskip("lua_parts", reason="lupa is not installed")

KINDS = {"list": str, "image": str, "bool": bool, "color": int, "slider": int, "int": int, "float_slider": (int, float)}


class FakeObs:
    """names: what obslua has. Data are dicts, properties are namespaces."""

    OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING, OBS_PATH_FILE, OBS_TEXT_INFO, OBS_GROUP_NORMAL = range(5)

    def __init__(self):
        self.held = 0  # data that is not released
        for kind, python in {"string": str, "bool": bool, "int": int, "double": (int, float)}.items():
            for way in ("get", "set", "set_default"):
                setattr(self, f"obs_data_{way}_{kind}", functools.partial(self._use, way == "get", python))
        for kind in ("text", "group", "list", "color", "int_slider", "float_slider", "int", "bool", "path"):
            setattr(self, f"obs_properties_add_{kind}", functools.partial(self._add, kind))
        self.names = {name: getattr(self, name) for name in dir(self) if name.startswith(("obs_", "OBS_"))}

    @staticmethod
    def _use(gets, python, data, key, *value):
        if gets:
            value = (data[key],)
        assert isinstance(value[0], python), (key, value)
        data[key] = value[0]
        return value[0]

    @staticmethod
    def _add(kind, properties, key, label, *rest):
        assert key not in properties
        made = types.SimpleNamespace(kind=kind, label=label, rest=rest, choices=[], tip="", visible=True, modified=None)
        properties[key] = made
        return made

    def obs_data_create(self):
        self.held += 1
        return {}

    def obs_data_release(self, data):
        self.held -= 1

    @staticmethod
    def obs_data_get_json(data):
        return json.dumps(data)

    @staticmethod
    def obs_properties_create():
        return {}

    @staticmethod
    def obs_properties_get(properties, key):
        """As OBS: in the groups too."""
        for name, entry in properties.items():
            if name == key:
                return entry
            if entry.kind == "group" and key in entry.rest[1]:
                return entry.rest[1][key]
        raise AssertionError(f"no property {key}")

    @staticmethod
    def obs_property_list_add_string(entry, text, value):
        entry.choices.append((value, text))

    @staticmethod
    def obs_property_set_long_description(entry, tip):
        entry.tip = tip

    @staticmethod
    def obs_property_set_visible(entry, visible):
        entry.visible = visible

    @staticmethod
    def obs_property_set_modified_callback(entry, callback):
        entry.modified = callback


@pytest.fixture
def obs():
    return FakeObs()


@pytest.fixture
def part(obs):
    return lua_parts.Part("rvm_filter_settings.lua", obs.names)


@pytest.fixture
def settings(part):
    """{name: what the file says of the setting}"""
    return {s["name"]: s for group in lua_parts.plain(part.module.groups) for s in group["settings"]}


@pytest.fixture
def defaults(part):
    data = {}
    part.module.get_defaults(data)
    return data


def read(part, data):
    """The filter's fields, and what the worker is given."""
    fields = part.table({})
    text = part.module.read(fields, data)
    assert len(text.encode()) <= protocol.Control.settings.size
    return lua_parts.plain(fields), json.loads(text)


def dialog(part, settings_data, **fields):
    """{name: property} of the dialog after OBS has applied the settings, and its line of text."""
    d = part.table({"now": 0, **fields})
    properties = part.module.get_properties(d)
    entries = {}
    for entry in properties.values():
        entries.update(entry.rest[1] if entry.kind == "group" else {})
    for name, entry in list(entries.items()):
        if entry.modified:
            assert entry.modified(properties, name, settings_data) is True
    return entries, properties["status"].label


def test_every_setting_is_complete(settings):
    for name, s in settings.items():
        assert isinstance(s["default"], KINDS[s["kind"]]), name
        assert s["label"].strip(), name
        assert re.fullmatch(r"[A-Z0-9].*\.", s["tip"]), name
        if s["kind"] == "list":
            values, texts = zip(*s["choices"], strict=True)
            assert s["default"] in values, name
            assert len(set(values)) == len(values) == len(set(texts)), name
            assert all(texts), name
        if "range" in s:
            lowest, highest, step = s["range"]
            assert lowest <= s["default"] <= highest, name
            assert (highest - lowest) / step >= 10, name
            assert (s["default"] - lowest) % step in (0, step - 1), name  # blur begins at 1
        if "shown" in s:
            other = settings[s["shown"]["setting"]]
            (value,) = (s["shown"][key] for key in ("is", "is_not") if key in s["shown"])
            assert value in dict(other["choices"]), name


def test_defaults_dialog_and_reading_are_of_the_same_settings(part, settings, defaults):
    assert defaults == {name: s["default"] for name, s in settings.items()}
    entries, _ = dialog(part, defaults)
    assert list(entries) == list(settings)
    for name, s in settings.items():
        entry = entries[name]
        assert (entry.label, entry.tip) == (s["label"], s["tip"])
        if s["kind"] == "list":
            assert entry.choices == [tuple(choice) for choice in s["choices"]]
        if "range" in s:
            assert list(entry.rest) == s["range"]
    fields, _ = read(part, defaults)
    assert set(fields) == set(settings)
    assert fields["freeze"] == defaults["freeze"] * 1e6


def test_every_setting_has_an_effect(settings):
    """Some part of the filter uses the field."""
    code = "\n".join(lua_parts.text_of(name) for name in lua_parts.FILES)
    for name in settings:
        assert re.search(rf"\bd\.{name}\b", code), name


def test_the_worker_takes_every_choice_and_range(part, settings, defaults):
    """As the worker reads them, with the limits of the core."""
    for name, s in settings.items():
        for value in [choice[0] for choice in s.get("choices", ())] + s.get("range", [])[:2]:
            _, sent = read(part, {**defaults, name: value})
            found = rvm_slots.settings_of(sent)
            expected = {
                "model": found.model,
                "downsample": found.downsample,
                "edge_shift": found.edges.grow,
                "edge_feather": found.edges.feather,
                "decontaminate": found.decontaminate * 100,
            }
            assert expected.get(name, value) == value
    with pytest.raises(StudioError):
        rvm_slots.settings_of({**sent, "downsample": "whole_body"})
    assert {choice[0] for choice in settings["model"]["choices"]} <= set(CATALOGUE)


def test_what_the_worker_is_given(part, obs, defaults):
    _, sent = read(part, defaults)
    assert sent == {
        "model": "mobilenetv3",
        "downsample": "auto",
        "edge_shift": 0,
        "edge_feather": 0,
        "decontaminate": 0.5,
        "scene_cuts": True,
    }
    _, sent = read(part, {**defaults, "output": "alpha"})
    assert sent["decontaminate"] == 0
    assert obs.held == 0


@pytest.mark.parametrize(
    ("changes", "hidden"),
    [
        ({}, {"key_color", "blur", "image_file"}),
        ({"output": "color_key"}, {"blur", "image_file"}),
        ({"output": "blur"}, {"key_color", "image_file"}),
        ({"output": "image"}, {"key_color", "blur"}),
        ({"output": "alpha"}, {"key_color", "blur", "image_file", "decontaminate"}),
        ({"sync": "newest", "late": "raw"}, {"key_color", "blur", "image_file", "fixed_delay", "freeze"}),
    ],
)
def test_what_is_hidden(part, defaults, changes, hidden):
    entries, _ = dialog(part, {**defaults, **changes})
    assert {name for name, entry in entries.items() if not entry.visible} == hidden


def test_status(part, defaults):
    assert dialog(part, defaults)[1] == "OBS has not shown this source yet."
    full = dialog(part, defaults, now=1)[1]
    assert full == "All 8 slots are in use. Remove the filter from another source."
    control = {"delay_ns": 51_600_000, "rate_milli": 29_940}
    part.numbers.header = part.table({"worker_state": protocol.STARTING})
    assert dialog(part, defaults, now=1, control=control)[1].startswith("The worker is not ready.")
    part.numbers.header = part.table({"worker_state": protocol.READY})
    text = dialog(part, defaults, now=1, control=control)[1]
    assert text.startswith("Delay: 52 ms.")
    assert text.endswith("Mattes per second: 29.9.")


def test_every_file_compiles_and_is_loaded():
    main = lua_parts.text_of("rvm_filter.lua")
    loaded = re.findall(r'^local \w+ = part\("(.*?)"', main, re.M)
    assert sorted(["rvm_filter.lua", *loaded]) == lua_parts.FILES
    for name in lua_parts.FILES:
        text = lua_parts.text_of(name)
        lua_parts.compile_only(text, name)
        code = re.sub("--.*", "", text)
        # on Windows these cannot open a path with letters outside the system's code page
        assert set(re.findall(r'\brequire\("(\w+)"', code)) <= {"ffi", "bit"}, name
        assert not re.findall(r"\b(?:dofile|loadfile|io\.\w+)\b", code), name
        assert "error(" not in code, name  # OBS's own writes to the log and returns
