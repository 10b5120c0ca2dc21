"""The pack as ComfyUI's registry gets it: what .comfyignore leaves of the checkout."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    *("__init__.py", "core", "rvm_nodes", "web", "locales", "example_workflows", "pyproject.toml", "requirements.txt"),
    *("LICENSE", "README.md", "CHANGELOG.md"),
}
RUNS_PROGRAMS = {"run", "Popen", "call", "check_call", "check_output", "system", "popen"}


def git(*arguments: str) -> set[str]:
    """What `git ls-files` lists. comfy-cli packs these files, but for those that .comfyignore matches as git would."""
    answer = subprocess.run(["git", "ls-files", "-z", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(answer.stdout.split("\0")) - {""}


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = git() - git("--cached", "--ignored", "--exclude-from=.comfyignore")
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / "rvm-studio"
    for name in names:
        if (ROOT / name).is_file():  # not one that is deleted and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def test_the_pack_is_the_nodes_and_what_they_run_on(pack):
    assert {path.name for path in pack.iterdir()} == TOP
    files = [path for path in pack.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4e6


EVERY_MODULE = """
import importlib, importlib.util, pkgutil, sys
sys.modules["rvm_studio"] = None  # in ComfyUI there is nothing of that name
folder = sys.argv[1]
name = folder.replace(".", "_x_")  # as ComfyUI does
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
pack = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
print(*pack.NODE_CLASS_MAPPINGS)
for module in pkgutil.walk_packages([folder], name + "."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:  # Triton and the like, which only some machines have
        if error.name in (None, "rvm_studio") or error.name.startswith(name):
            raise
"""


@pytest.mark.slow
def test_the_pack_needs_nothing_that_was_left_out(pack):
    command = [sys.executable, "-B", "-P" if sys.version_info >= (3, 11) else "-I", "-c", EVERY_MODULE, str(pack)]
    answer = subprocess.run(command, cwd=pack.parent, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    mappings = (ROOT / "rvm_nodes" / "__init__.py").read_text(encoding="utf-8")
    assert answer.stdout.split() == re.findall(r"^    (RVM\w+),$", mappings, re.MULTILINE)


def test_the_pack_calls_no_program_and_runs_no_text(pack):
    """The registry bans eval, exec and pip at run time, and marks whatever starts a program."""
    for path in pack.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id
                in (
                    "subprocess",
                    "os",
                )
            ):
                assert node.attr not in RUNS_PROGRAMS, f"{path}:{node.lineno}"


def test_the_icon_is_one_the_registry_shows():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = project["project"]["urls"]["Repository"]
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    address = project["tool"]["comfy"]["Icon"]
    assert address.startswith(raw)
    with Image.open(ROOT / address.removeprefix(raw)) as icon:
        assert icon.format == "PNG"
        assert icon.size == (400, 400)


@pytest.mark.slow
def test_comfy_cli_packs_the_same_and_finds_nothing_wrong(pack, tmp_path, published_tool):
    comfy = published_tool("comfy")
    environ = os.environ | {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home")}

    def run(*arguments: str) -> str:
        command = [comfy, "--skip-prompt", "--no-enable-telemetry", "node", *arguments]
        answer = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=True)
        return answer.stdout + answer.stderr

    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, checkout], check=True)
    for name in git("--cached", "--others", "--exclude-standard"):  # as it is now, committed or not
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    run("pack")
    with zipfile.ZipFile(checkout / "node.zip") as archive:
        packed = {name for name in archive.namelist() if (ROOT / name).is_file()}
        archive.extractall(tmp_path / "published")
    assert packed == {path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file()}

    checkout = tmp_path / "published"
    said = run("validate")
    assert "All validation checks passed successfully" in said
    assert "warning" not in said.lower()
