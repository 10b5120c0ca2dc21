"""The rules of the house that a reader cannot see from one file: packaging, lazy imports, who may import whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_FOLDERS = ("core", "rvm_nodes", "training")  # obs_plugin runs by path inside OBS; it is no package
SIBLINGS = {"rvm_nodes", "obs_plugin", "training", "tests", "bench"}


@pytest.fixture(scope="module")
def pyproject() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import statement; level 0 is absolute."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, f"{node.module or ''}.{alias.name}".strip(".")) for alias in node.names]
    return found


def test_importing_the_package_is_light():
    code = "import sys, rvm_studio, rvm_studio.core; print(*sorted(m for m in sys.modules if '.' not in m))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "rvm_studio" in loaded
    assert loaded.isdisjoint({"torch", "torchvision", "numpy", "av", "comfy", "PIL"})


@pytest.mark.parametrize("path", modules(*PACKAGE_FOLDERS), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_imports_itself_relatively(path):
    """ComfyUI loads the folder under another name; an absolute `core` could be another pack's."""
    own = {"rvm_studio", "core", *SIBLINGS}
    runs_as_a_script = path == ROOT / "training" / "run.py"  # its entry point: no package around it
    absolute = {module.split(".")[0] for level, module in imports(path) if level == 0}
    assert absolute.isdisjoint(own - {"rvm_studio"} if runs_as_a_script else own)


@pytest.mark.parametrize("path", modules("core"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_stays_inside_the_core(path):
    depth = len(path.relative_to(ROOT / "core").parts)  # 1 for core/x.py: one dot is core itself
    for level, module in imports(path):
        assert level <= depth, f"{path.name} reaches out of core: {'.' * level}{module}"
        assert level or module.split(".")[0] not in {"comfy", "folder_paths", "obspython"}


def test_only_one_module_imports_torchvision():
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in modules(*PACKAGE_FOLDERS)
        for level, module in imports(path)
        if level == 0 and module.split(".")[0] == "torchvision"
    }
    assert importing == {"core/network/torchvision_import.py"}


def test_no_module_hides_one_of_the_standard_library():
    """training/ and obs_plugin/ become sys.path[0], where a queue.py would break multiprocessing."""
    taken = set(sys.stdlib_module_names) | {"torch", "torchvision", "numpy", "av", "PIL", "tqdm", "safetensors"}
    for folder in ("training", "obs_plugin"):
        names = {path.stem for path in (ROOT / folder).glob("*")} - {"__pycache__", "__init__"}
        assert names.isdisjoint(taken)


def test_every_package_is_listed(pyproject):
    folders = {path.parent.relative_to(ROOT) for path in modules(*PACKAGE_FOLDERS)}
    expected = {"rvm_studio"} | {".".join(["rvm_studio", *folder.parts]) for folder in folders}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == expected
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)


def test_comfyuis_requirements_are_ours_without_torch(pyproject):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    given = {line for line in lines if line and not line.startswith("#")}
    wanted = set(pyproject["project"]["dependencies"])
    names = {re.match(r"[\w-]+", line)[0] for line in wanted - given}  # pyright: ignore[reportOptionalSubscript]
    assert given <= wanted
    assert names == {"torch", "torchvision", "openvino", "numba"}
