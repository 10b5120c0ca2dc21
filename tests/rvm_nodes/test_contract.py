"""What ComfyUI, its loader and its registry expect of a pack, and what of ours must agree with what."""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rvm_studio.rvm_nodes import node_texts

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"IMAGE", "MASK", "VIDEO", "AUDIO", "STRING", "INT", "FLOAT", "BOOLEAN", "RVM_MODEL", "RVM_STATE"}
# Saved graphs hold these: none may go, none may change its name.
NODES = [
    "RVMLoadModel",
    "RVMMatte",
    "RVMMatteVideo",
    "RVMSaveAlphaVideo",
    "RVMSaveRGBA",
    "RVMComposite",
    "RVMRefineMask",
    "RVMDecontaminate",
    "RVMSegment",
    "RVMSaveState",
    "RVMLoadState",
]


@pytest.fixture
def mappings(comfy):
    from rvm_studio import rvm_nodes

    return rvm_nodes.NODE_CLASS_MAPPINGS


def test_the_names_of_saved_graphs(mappings):
    assert list(mappings) == NODES


def test_display_names_are_unique_and_begin_alike(mappings):
    from rvm_studio import rvm_nodes

    names = rvm_nodes.NODE_DISPLAY_NAME_MAPPINGS
    assert names.keys() == mappings.keys()
    assert len(set(names.values())) == len(names)
    assert all(name.startswith("RVM ") for name in names.values())


@pytest.mark.parametrize("name", NODES)
def test_a_nodes_schema_is_whole(mappings, name):
    node = mappings[name]
    assert node.CATEGORY == "video/matting"
    assert len(node.DESCRIPTION) > 20
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    assert set(node.RETURN_TYPES) <= KINDS
    tooltips = getattr(node, "OUTPUT_TOOLTIPS", node.RETURN_TYPES)
    assert len(tooltips) == len(node.RETURN_TYPES)
    for key, (kind, options) in node_texts.widgets(node).items():
        assert isinstance(kind, list) or kind in KINDS, key
        assert len(options["tooltip"]) > 10, key
        if isinstance(kind, list):
            assert all(isinstance(choice, str) for choice in kind)
            assert options.get("default", kind[0] if kind else None) in [*kind, None]
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"], key
        if kind in ("STRING", "BOOLEAN"):
            assert "default" in options, key


@pytest.mark.parametrize("name", NODES)
def test_a_node_takes_what_its_schema_names(mappings, name):
    node = mappings[name]
    inputs = node.INPUT_TYPES()
    given = {**inputs["required"], **inputs.get("optional", {}), **inputs.get("hidden", {})}
    signature = inspect.signature(getattr(node, node.FUNCTION))
    signature.bind(None, **dict.fromkeys(given))
    signature.bind(None, **dict.fromkeys(inputs["required"]))  # optional and hidden ones may be missing


@pytest.mark.parametrize("name", NODES)
def test_the_function_of_a_node_is_thin(mappings, name):
    node = mappings[name]
    lines = inspect.getsource(inspect.unwrap(getattr(node, node.FUNCTION))).splitlines()
    assert len(lines) <= 40  # signature and imports included
    body = [line for line in lines if not re.match(r"\s*(from|import|#|$)", line)]
    assert len(body) <= 32


def test_saving_nodes_are_output_nodes(mappings):
    saving = {name for name, node in mappings.items() if getattr(node, "OUTPUT_NODE", False)}
    assert saving == {"RVMSaveAlphaVideo", "RVMSaveRGBA", "RVMSaveState"}


def test_the_nodes_load_without_comfyui_and_without_torch():
    code = (
        "import sys, rvm_studio; rvm_studio.NODE_CLASS_MAPPINGS; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()).isdisjoint({"torch", "torchvision", "av", "comfy", "folder_paths", "PIL"})


def test_comfyuis_loader_gets_the_nodes_from_a_folder_with_dashes(comfy, tmp_path):
    """ComfyUI imports the folder under a name made of its path; nothing in it may lean on another name."""
    link = tmp_path / "custom_nodes" / "ComfyUI-RVM-Studio"
    link.parent.mkdir()
    link.symlink_to(ROOT, target_is_directory=True)
    name = str(link).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, link / "__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        assert list(module.NODE_CLASS_MAPPINGS) == NODES
        assert module.NODE_CLASS_MAPPINGS["RVMMatte"].__module__ == f"{name}.rvm_nodes.matte"
        assert (link / module.WEB_DIRECTORY).is_dir()
        assert not hasattr(module, "comfy_entrypoint")
    finally:
        for key in [key for key in sys.modules if key.startswith(name)]:
            del sys.modules[key]


@pytest.mark.parametrize("name", NODES)
def test_every_node_has_a_help_page_that_names_its_inputs_and_outputs(mappings, name):
    text = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
    node = mappings[name]
    assert text.startswith(f"# {node.DISPLAY_NAME}\n")
    assert len(text.split(node_texts.TABLES)[0]) > 200  # something is written by hand
    assert text == node_texts.page(node), "run python -m rvm_studio.rvm_nodes.node_texts"
    for key in [*node_texts.widgets(node), *node.RETURN_NAMES]:
        assert f"| `{key}` |" in text, f"{name}.md does not mention {key}"


def test_no_help_page_without_a_node():
    assert {page.stem for page in (ROOT / "web" / "docs").glob("*.md")} == set(NODES)


def test_the_locale_says_what_the_nodes_say(mappings):
    stored = json.loads(node_texts.LOCALE.read_text(encoding="utf-8"))
    assert stored == node_texts.locale(), "run python -m rvm_studio.rvm_nodes.node_texts"
    assert list(stored) == NODES


def test_the_registrys_metadata(mappings):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    comfy = project["tool"]["comfy"]
    assert comfy["DisplayName"] == "RVM Studio"
    assert comfy["PublisherId"]
    assert comfy["requires-comfyui"] == ">=0.3.48"
    assert "comfyui" not in project["project"]["name"].lower()  # the registry's advice
    assert project["project"]["urls"]["Repository"].startswith("https://")
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])


def test_the_fake_takes_the_calls_it_stands_for(comfy, fake):
    for (module, name), (count, keywords) in fake.USES.items():
        found = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        inspect.signature(found).bind(*[None] * count, **dict.fromkeys(keywords))


def test_the_nodes_use_nothing_of_comfyui_that_the_fake_does_not_list(fake):
    used = {name.split(".")[0] for _, name in fake.USES} | {"models_dir", "InterruptProcessingException"}
    modules = r"\b(?:folder_paths|model_management|model_patcher|utils)\.(\w+)"
    for path in (ROOT / "rvm_nodes").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "import folder_paths" in text or "from comfy" in text:
            assert set(re.findall(modules, text)) <= used, path.name
