"""The places and names that modules ask for, which must hold wherever those modules lie."""

import ast
import subprocess
import sys
from pathlib import Path

import rvm_studio.core
from rvm_studio.core.cli import demo as cli_demo
from rvm_studio.core.machine import root
from rvm_studio.core.weights import network_weights as weights

PACKAGE = Path(rvm_studio.core.__file__).resolve().parent


def test_the_core_is_the_folder_and_the_name_of_the_package():
    assert root.CORE == PACKAGE
    assert rvm_studio.core.__name__ == root.NAME


def test_what_comes_with_the_package_is_there():
    assert PACKAGE.parent / "assets" == root.ASSETS
    assert cli_demo.SAMPLE.read_bytes()[4:8] == b"ftyp"  # an MP4
    assert weights.STARTER_PATH.stat().st_size > 100_000


def test_the_name_is_that_under_which_the_package_was_loaded(tmp_path):
    """ComfyUI gives the root's folder a name of its own."""
    code = f"""
import importlib.util, logging, sys
spec = importlib.util.spec_from_file_location("a_pack", {str(PACKAGE.parent / "__init__.py")!r})
module = sys.modules["a_pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from a_pack.core.machine import root
print(root.NAME, root.CORE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split(maxsplit=1) == ["a_pack.core", f"{PACKAGE}\n"]


def test_no_module_but_the_root_looks_for_its_own_place():
    """A path that begins at a module's own file, or the name of its own package, is another one after a move."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and node.id in ("__file__", "__package__"):
                found.append(f"{path.relative_to(PACKAGE)}: {node.id}")
    assert found == ["machine/root.py: __file__"]
