"""Why nothing can be compiled here, on machines of every kind; compiling itself is tested with the engine."""

import shutil
import sys
import sysconfig

import pytest
from rvm_studio.core.engines.small_network import inductor


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(platform, programs, headers, triton)` pretends to be one with these compilers, and without variables."""

    def pretend(platform="linux", programs=(), headers=True, triton=True):
        for name in ("CC", "CXX"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in programs else None)
        if headers:
            (tmp_path / "Python.h").touch()
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
        monkeypatch.setattr(inductor.importlib.util, "find_spec", lambda name: object() if triton else None)

    return pretend


def problem(kind: str) -> str | None:
    return inductor.compile_problem.__wrapped__(kind)


@pytest.mark.parametrize(
    ("platform", "kind", "programs"),
    [
        ("linux", "cpu", ["g++"]),
        ("linux", "cuda", ["gcc"]),
        ("linux", "cuda", ["clang"]),
        ("linux", "cuda", ["cc"]),
        ("darwin", "cpu", ["clang++"]),
        ("win32", "cpu", ["cl"]),
        ("win32", "cuda", []),  # its Triton brings a compiler
    ],
)
def test_machines_that_can(machine, platform, kind, programs):
    machine(platform, programs)
    assert problem(kind) is None


@pytest.mark.parametrize(
    ("platform", "kind", "programs", "says"),
    [
        ("linux", "cpu", ["gcc", "clang++"], "there is no C++ compiler (the package g++, or gcc-c++)"),
        ("linux", "cuda", ["g++"], "there is no C++ compiler (the package g++, or gcc-c++)"),
        ("darwin", "cpu", ["g++"], "there is no C++ compiler (xcode-select --install)"),
        ("win32", "cpu", ["g++"], "there is no C++ compiler (the Build Tools for Visual Studio)"),
        ("linux", "mps", ["g++"], "it supports NVIDIA GPUs and CPUs, not mps"),
    ],
)
def test_machines_that_cannot_say_what_helps(machine, platform, kind, programs, says):
    machine(platform, programs)
    assert problem(kind) == says


@pytest.mark.parametrize(("kind", "program"), [("cpu", "g++"), ("cuda", "gcc")])
def test_pythons_headers_are_needed(machine, kind, program):
    machine("linux", [program], headers=False)
    assert "Python's headers are missing (the package python3-dev" in problem(kind)
    machine("win32", ["cl"], headers=False)  # Windows' Python has them
    assert problem(kind) is None


@pytest.mark.parametrize(("platform", "package"), [("linux", "triton"), ("win32", "triton-windows")])
def test_triton_is_needed_on_cards_only(machine, platform, package):
    machine(platform, ["gcc", "g++", "cl"], triton=False)
    assert problem("cuda").startswith("Triton is not installed (")
    assert problem("cuda").endswith(f"pip install {package})")
    assert problem("cpu") is None


@pytest.mark.parametrize(("kind", "variable"), [("cpu", "CXX"), ("cuda", "CC")])
def test_a_compiler_that_a_variable_names(machine, monkeypatch, kind, variable):
    machine("linux", ["mine"])
    assert problem(kind) is not None
    monkeypatch.setenv(variable, "mine -O2")
    assert problem(kind) is None
