"""Commands that install what is missing, and that no text names what its reader does not have."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rvm_studio.core.machine import install_advice
from rvm_studio.core.machine.install_advice import command_for_extra, pip_command

ROOT = Path(__file__).resolve().parents[3]


def test_pip_is_that_of_the_running_interpreter():
    assert shlex.split(pip_command("onnx", "rvm-studio[export]")) == [
        sys.executable, "-m", "pip", "install", "onnx", "rvm-studio[export]",
    ]  # fmt: skip


def test_the_words_survive_the_shell(monkeypatch, tmp_path):
    python = tmp_path / "a folder" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    command = install_advice.shell_command(install_advice.python(), "-c", "import sys; print(sys.argv[1])", "x[y]")
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout == "x[y]\n"


def test_a_windows_command_is_quoted_for_its_shell(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", r"C:\Program Files\Python\python.exe")
    assert pip_command("onnx") == r'"C:\Program Files\Python\python.exe" -m pip install onnx'


@pytest.mark.parametrize("extra", ["export", "train"])
def test_a_checkout_has_an_installer_and_a_wheel_has_none(monkeypatch, tmp_path, extra):
    monkeypatch.setattr(install_advice, "PACKAGE", ROOT)
    assert shlex.split(command_for_extra(extra)) == [sys.executable, str(ROOT / "install.py"), f"--{extra}"]
    monkeypatch.setattr(install_advice, "PACKAGE", tmp_path)
    (tmp_path / "install.py").touch()  # a wheel may hold the file, but not the project's own
    assert shlex.split(command_for_extra(extra))[1:] == ["-m", "pip", "install", f"rvm-studio[{extra}]"]


def test_what_makes_a_cpu_fast_is_named_by_package_as_the_project_lists_it():
    """The installer leaves it out in ComfyUI."""
    listed = re.search(r"^fast = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)[1]
    names = re.findall(r'"([a-z]+)', listed)
    assert shlex.split(command_for_extra("fast")) == [sys.executable, "-m", "pip", "install", *names]


FOR_THE_COMMAND_LINE = ("option_table.py", "network_options.py")  # their texts are its help


def sources() -> list[Path]:
    """Modules that have readers at several doors."""
    core = [
        path
        for path in (ROOT / "core").rglob("*.py")
        if path.parent.name != "cli" and path.name not in FOR_THE_COMMAND_LINE
    ]
    return [*core, *(ROOT / "rvm_nodes").rglob("*.py")]


OTHERS = "--no-deps|--install|--upgrade"  # options of pip and xcode-select
FOR_A_TERMINAL = re.compile(rf"(^|[\s(`])((?!{OTHERS})--[a-z]{{2}}|pip install|install\.py --|rvm-studio [a-z])")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_name_no_option_and_no_bare_command(path):
    """In core and the nodes: options are the command line's alone, and `pip` may be another Python's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for text in texts:
        assert text in docstrings or not FOR_A_TERMINAL.search(text)
