"""The core's face: its three lists agree, its names work and hide nothing, and the doors use it."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import rvm_studio
from rvm_studio import core

ROOT = Path(core.__file__).parent.parent

# What only makes sense with the inside of the core in view.
INNER = {
    "bench/kill_runs.py": {"clips"},  # saves records more often
    "bench/data_throughput.py": {"network.torchvision_import"},
    "bench/engine_floor.py": {
        "engines.full_size",
        "engines.full_size.row_threads",
        "engines.small_network.small_network",
    },
    "bench/gpu_speed.py": {"engines.cuda_graph", "engines.full_size", "engines.small_network.inductor"},
    "training/recomputation.py": {"network.backbone", "network.recurrent_decoder"},
}


def typed_names() -> dict[str, tuple[str, str]]:
    """Of the imports for type checkers: public name -> (module, inner name)."""
    tree = ast.parse(Path(core.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (f".{node.module}", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_lists_agree():
    assert typed_names() == core._HOMES
    assert sorted(core.__all__) == sorted(core._HOMES)


def test_every_name_is_there():
    for name, (home, inner) in core._HOMES.items():
        assert getattr(core, name) is getattr(importlib.import_module(home, "rvm_studio.core"), inner)
    assert set(core.__all__) <= set(dir(core))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        core.nothing  # noqa: B018


def test_no_name_is_hidden_by_a_module():
    """Once a submodule is loaded it is an attribute of its package, and the lazy name would never be asked for."""
    modules = {path.stem for path in (ROOT / "core").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules.isdisjoint(core.__all__)
    assert {path.stem for path in ROOT.iterdir()}.isdisjoint(rvm_studio.__all__)


def test_the_root_gives_the_cores():
    assert all(getattr(rvm_studio, name) is getattr(core, name) for name in rvm_studio.__all__)
    assert {"matte", "load", "Session", "open_reader", "StudioError"} <= set(rvm_studio.__all__) <= set(dir(rvm_studio))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rvm_studio.nothing  # noqa: B018
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "core"]
    assert sorted(alias.name for alias in typed.names) == sorted(rvm_studio.__all__)


def test_under_comfyuis_name_for_it():
    """ComfyUI gives the package a name made of its path: the names come from there, not from an installed rvm_studio,
    and importing it loads nothing."""
    code = f"""
import importlib.util, sys
name = {str(ROOT)!r}.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, {str(ROOT / "__init__.py")!r})
module = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(sorted(m for m in sys.modules if m.startswith(name)) == [name])
print(module.StudioError.__module__ == name + ".core.errors", hasattr(module, "comfy_entrypoint"))
print("RVMMatte" in module.NODE_CLASS_MAPPINGS, any(m.split(".")[0] == "rvm_studio" for m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "False", "True", "False"], done.stderr


def test_what_users_call_has_types_and_words():
    for name in ("matte", "load", "open_reader", "find_network", "tune_process", "Session"):
        thing = getattr(core, name)
        assert ">>>" in thing.__doc__
        signature = inspect.signature(thing)
        assert all(parameter.annotation is not parameter.empty for parameter in signature.parameters.values())


def inner_imports(path: Path) -> set[str]:
    """The core's modules that a file outside imports from, its face aside."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            before, core_, inner = name.partition("core.")
            if core_ and before in ("", "rvm_studio."):
                found.add(inner)
    return found


def test_the_doors_import_from_the_face():
    files = [ROOT / "hubconf.py", ROOT / "__init__.py", ROOT / "__main__.py"]
    for folder in ("rvm_nodes", "obs_plugin", "training", "bench", "assets"):
        files += (ROOT / folder).rglob("*.py")
    used = {path.relative_to(ROOT).as_posix(): inner_imports(path) for path in files}
    assert {path: inner for path, inner in used.items() if inner} == INNER


def test_the_package_is_a_program():
    done = subprocess.run([sys.executable, "-m", "rvm_studio", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("rvm-studio ")
    done = subprocess.run([sys.executable, "-m", "rvm_studio", "mate"], capture_output=True, text=True)
    assert done.returncode == 2


def test_the_folder_run_as_a_program_says_what_to_run():
    done = subprocess.run([sys.executable, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "python -m rvm_studio" in done.stderr
    assert "Traceback" not in done.stderr


USER = """
from pathlib import Path
import numpy as np
import rvm_studio
from rvm_studio.core import Choice, EdgeOptions, choose_device, choose_engine, find_weights

report = rvm_studio.matte(Path("a.mp4"), ["cut.mov", "green.mp4"], background="blur", progress=lambda done, total: None)
reveal_type(report)
engine = rvm_studio.load(device="cpu")
session = rvm_studio.Session(engine, downsample_ratio="auto")
fgr, pha = session.matte([np.zeros((4, 4, 3), np.uint8)])
reveal_type(pha)
with rvm_studio.open_reader("a.mp4") as reader:
    for frame in reader:
        reveal_type(frame.image.shape)
choice: Choice = choose_engine(choose_device("cpu"))
rvm_studio.matte("a.mp4", "b.mov", edges=EdgeOptions(grow=1), overwite=True)
try:
    find_weights("mobilenetv3")
except rvm_studio.StudioError as error:
    reveal_type(error)
"""


@pytest.mark.slow
def test_type_checkers_see_the_names(tmp_path):
    pytest.importorskip("basedpyright")
    (tmp_path / "site").mkdir()
    try:
        (tmp_path / "site" / "rvm_studio").symlink_to(ROOT)
    except OSError:
        pytest.skip("no symbolic links here")
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "pyrightconfig.json").write_text(
        '{"include": ["user.py"], "extraPaths": ["site"], "typeCheckingMode": "standard"}'
    )
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    lines = [line.split(" - ", 1)[1] for line in done.stdout.splitlines() if line.startswith("  ") and " - " in line]
    (error,) = [line for line in lines if line.startswith("error")]
    assert 'No parameter named "overwite"' in error
    kinds = [line.rsplit(" is ", 1)[1] for line in lines if line.startswith("information")]
    assert kinds == ['"ClipReport"', '"Tensor"', '"tuple[Any, ...]"', '"StudioError"']
