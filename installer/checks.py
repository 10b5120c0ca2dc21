"""`--test`: lint, format, types, tests."""

from __future__ import annotations

import os
import subprocess

from . import checkout
from .environment import Target, environ_for

# pytest's arguments for sharing the files out among the cores, in the order of tests/conftest.py.
ON_ALL_CORES = ("-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder")


def use_reference_data() -> None:
    """Uses the tests' reference data next to the checkout, unless the variables are set."""
    folder = checkout.HERE.parent / "shared" / "reference"
    if folder.is_dir():
        os.environ.setdefault("RVM_REFERENCE", str(folder))
        os.environ.setdefault("RVM_WEIGHTS", str(folder / "weights" / "rvm_mobilenetv3_int8.safetensors"))


def run_checks(target: Target, pytest_arguments: list) -> int:
    """Runs lint, format, types and tests, even if one of them fails. pytest is last, so that its summary is, too.

    Without pytest_arguments, the tests that need the whole machine run first; then the cores share the other files.
    """
    if pytest_arguments:
        tests = {"pytest": ["pytest", *pytest_arguments]}
    else:
        tests = {
            "pytest, one by one": ["pytest", "-m", "alone"],
            "pytest": ["pytest", "-m", "not alone", *ON_ALL_CORES],
        }
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "basedpyright": ["basedpyright", "--pythonpath", str(target.python)],
        **tests,
    }
    failed = []
    for name, command in checks.items():
        if name == next(iter(tests)):
            print(f"\nBefore pytest: {', '.join(failed) + ' failed' if failed else 'all checks passed'}")
        print(f"\n{name}", flush=True)
        command = [str(target.python), "-m", *command]
        env = {"OMP_WAIT_POLICY": "PASSIVE", **environ_for(target.python)}  # threads that wait must not use a core
        if subprocess.run(command, cwd=checkout.HERE, stdin=subprocess.DEVNULL, env=env).returncode != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0
