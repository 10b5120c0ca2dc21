#!/usr/bin/env python3
"""Runs one cell of the version matrix: the demo and the quick tests in a fresh clone with other versions.

    python .ci/cell.py 3.10 oldest     every library at its lower bound in pyproject.toml
    python .ci/cell.py 3.13 newest     every library at the newest version that pip finds
    python .ci/cell.py 3.12 installed  the versions that install.py installs

The clone contains what is committed. It and its environment are in a temporary folder that is deleted at the end,
unless `--keep` is given. Further arguments go to pytest, instead of those of the quick tests. With `--if-found`, a
Python that is not on this machine is reported and skipped.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from installer import checkout  # noqa: E402
from installer.checks import ON_ALL_CORES  # noqa: E402
from installer.environment import venv_python  # noqa: E402

EXTRAS = ("fast", "export", "train", "test")
BUILD_TOOLS = ("setuptools",)
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # variables of the environment that this script runs in
NOT_HERE = ("ruff", "basedpyright")  # lint and types are the same in every cell
QUICK = ("-m", "(not slow or versions) and not alone", *ON_ALL_CORES, "-q")


def find_python(version: str) -> str | None:
    """The newest interpreter of this version ("3.10") on this machine: on the path, from pyenv or Windows' launcher."""
    roots = [os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"]
    installed = [path for root in roots if root for path in Path(root).glob(f"versions/{version}*/bin/python")]
    by_patch = sorted(installed, key=lambda path: [int(x) for x in path.parent.parent.name.split(".") if x.isdigit()])
    candidates = [[f"python{version}"], *([str(path)] for path in reversed(by_patch)), ["py", f"-{version}"]]
    for command in candidates:
        code = "import sys; print('{}.{}'.format(*sys.version_info), sys.executable)"
        try:
            done = subprocess.run([*command, "-c", code], capture_output=True, text=True, check=True)
        except (OSError, subprocess.SubprocessError):  # pyenv's python3.10 fails while another version is active
            continue
        found, _, path = done.stdout.strip().partition(" ")
        if found == version:
            return path
    return None


def wanted(libraries: str) -> list[str]:
    """The requirements for pip."""
    asked = {}
    for name, bounds in [x for extra in ("dependencies", *EXTRAS) for x in checkout.extra_requirements(extra)]:
        if name in NOT_HERE or name in asked:
            continue
        floor = re.search(r">=\s*([\w.]+)", bounds)
        if libraries == "oldest" and name not in BUILD_TOOLS:
            if floor is None:
                raise SystemExit(f"pyproject.toml has no lower bound for {name}. Add one.")
            asked[name] = f"{name}=={floor[1]}"
        else:
            asked[name] = name + bounds
    return list(asked.values())


def run(what: str, command: list[str], folder: Path, **more: str) -> None:
    """Runs one step in the clone. Ends the cell if it fails."""
    started = time.monotonic()
    print(f"\n{what}", flush=True)
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    code = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, env={**kept, **more}).returncode
    print(
        f"{what}: {'passed' if code == 0 else f'FAILED (exit code {code})'}, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    if code != 0:
        raise SystemExit(1)


def run_cell(interpreter: str, libraries: str, pytest_arguments: list[str], folder: Path) -> None:
    clone, venv = folder / "rvm-studio", folder / "venv"
    python = str(venv_python(venv))
    run("clone", ["git", "clone", "--quiet", str(ROOT), str(clone)], folder)
    run("environment", [interpreter, "-m", "venv", str(venv)], folder)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if libraries != "installed":
        run(f"{libraries} libraries", [*pip, *wanted(libraries)], clone)
    run("install.py --demo", [python, "install.py", "--yes", "--demo"], clone)
    if libraries == "installed":
        tools = [x for extra in EXTRAS for x in checkout.extra_requirements(extra)]
        run("test tools", [*pip, *(name + bounds for name, bounds in tools if name not in NOT_HERE)], clone)
    run("quick tests", [python, "-m", "pytest", *(pytest_arguments or QUICK)], clone, OMP_WAIT_POLICY="PASSIVE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="3.10, 3.11 ...")
    parser.add_argument("libraries", choices=("oldest", "newest", "installed"))
    parser.add_argument("--if-found", action="store_true", help="skip a Python that is not on this machine")
    parser.add_argument("--keep", action="store_true", help="keep the clone and its environment")
    options, pytest_arguments = parser.parse_known_args()
    interpreter = find_python(options.python)
    cell = f"Python {options.python}, {options.libraries} libraries"
    if interpreter is None:
        print(f"{cell}: not run, because this machine has no such Python")
        return 0 if options.if_found else 1
    print(f"== {cell} ({interpreter})", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="rvm-cell-"))
    try:
        run_cell(interpreter, options.libraries, pytest_arguments, folder)
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{cell}: passed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
