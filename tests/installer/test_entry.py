"""install.py itself: what the oldest Pythons get to see, and that it finds its folder."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READ_BY_ALL = (ROOT / "install.py", ROOT / "installer" / "__init__.py")
OLD = ("2.7", "3.6", "3.7", "3.8", "3.9")
NEEDED = (
    r"^install\.py: RVM Studio needs Python 3\.10 to 3\.14, but this is {} \(.+\)\. Get a suitable Python from "
    r"https://\S+ and run "
)


def old_python(version: str) -> str | None:
    """One on the path, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    brought = [str(folder / "bin" / "python") for folder in sorted(pyenv.glob(f"{version}.*"))]
    return next((python for python in [shutil.which(f"python{version}"), *brought] if python and starts(python)), None)


def starts(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("version", OLD)
def test_an_old_python_says_what_is_needed(version):
    python = old_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    answer = subprocess.run([python, "-B", ROOT / "install.py"], capture_output=True, stdin=subprocess.DEVNULL)
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert re.search(NEEDED.format(re.escape(version) + r"\.\d+"), answer.stderr.decode())


def test_the_check_of_the_version():
    """As above, where there is no such Python: one that says that it is."""
    entry = str(ROOT / "install.py")
    code = f"import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path({entry!r}, run_name='__main__')"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL)
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert re.search(NEEDED.format(r"3\.9\.18"), answer.stderr.decode())


@pytest.mark.parametrize("path", READ_BY_ALL, ids=lambda path: path.name)
def test_what_old_pythons_read_has_nothing_new_in_it(path):
    source = path.read_text(encoding="ascii")
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Match, ast.Nonlocal, ast.YieldFrom)
    assert [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, new)] == []
    assert "print(" not in source.partition('"""\n\nimport')[2]


def test_the_installer_needs_the_standard_library_alone():
    for path in (ROOT / "install.py", *(ROOT / "installer").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"installer", "__future__"}, path


@pytest.mark.parametrize("options", [[], ["-P"], ["-I"]], ids=["plain", "safe path", "isolated"])
def test_it_finds_its_own_folder(options, tmp_path):
    """ComfyUI's portable Python is isolated: it does not look beside the script that it runs."""
    if "-P" in options and sys.version_info < (3, 11):
        pytest.skip("-P came with Python 3.11")
    (tmp_path / "installer.py").write_text("raise SystemExit('the wrong one')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *options, ROOT / "install.py", "--help"]
    answer = subprocess.run(command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("usage: install.py")


def test_a_lone_install_py_says_what_is_missing(tmp_path):
    shutil.copy(ROOT / "install.py", tmp_path)
    answer = subprocess.run(
        [sys.executable, tmp_path / "install.py"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert answer.stderr == (f"install.py: the folder installer is missing in {tmp_path}. Download RVM Studio again.\n")
