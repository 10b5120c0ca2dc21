"""What pip is asked for."""

import os
from pathlib import Path

import pytest
from rvm_studio.installer import checkout, console, packages, pip, pytorch

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("versions", "broken", "expected"),
    [
        ({"av": "15.0.0", "tqdm": "4.67.1"}, {}, []),
        ({"av": "14.1.0", "tqdm": "4.67.1"}, {}, [["av>=14.2", "tqdm"]]),
        ({"av": None, "tqdm": "4.67.1"}, {}, [["av>=14.2", "tqdm"]]),
        ({"av": "15.0.0", "tqdm": "4.67.1"}, {"av": "?"}, [["--force-reinstall", "--no-deps", "av==15.0.0"]]),
        (
            {"av": "15.0.0", "tqdm": None},
            {"av": "?"},
            [["av>=14.2", "tqdm"], ["--force-reinstall", "--no-deps", "av==15.0.0"]],
        ),
    ],
)
def test_only_what_is_wrong_is_installed(theirs, pip_calls, versions, broken, expected, found):
    state = found(versions, broken)
    wanted = [("av", ">=14.2"), ("tqdm", "")]
    assert packages.install_packages(theirs, state, wanted) is bool(expected)
    assert pip_calls == expected


FAST = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "openvino": None, "numba": None}


@pytest.mark.parametrize(
    ("versions", "broken", "expected"),
    [
        ({}, {}, [["openvino>=2024.6", "numba>=0.60", "numpy==2.4.6"]]),
        ({"openvino": "2026.4.1"}, {}, [["numba>=0.60", "numpy==2.4.6"]]),
        ({"openvino": "2026.4.1", "numba": "0.68.1"}, {}, []),
        (
            {"openvino": "2026.4.1", "numba": "0.68.1"},
            {"numba": "?"},
            [["--force-reinstall", "--no-deps", "numba==0.68.1"]],
        ),
        ({"torch": "2.13.0+rocm6.4"}, {}, []),
    ],
)
def test_a_cpu_gets_what_makes_it_fast(theirs, pip_calls, no_gpu, versions, broken, expected, found):
    state = found({**FAST, **versions}, broken)
    assert packages.install_fast(theirs, state) is bool(expected)
    assert pip_calls == [["--only-binary=:all:", *call] for call in expected]


@pytest.mark.parametrize(
    ("system", "machine", "smi", "gets"),
    [
        ("Linux", "x86_64", None, True),
        ("Windows", "AMD64", None, True),
        ("Linux", "aarch64", None, True),
        ("Linux", "riscv64", None, False),
        ("Darwin", "arm64", None, False),  # runs on Apple's GPU
        ("Linux", "x86_64", "8.6, 580.65.06, NVIDIA GeForce RTX 3060", False),
    ],
)
def test_who_gets_what_makes_a_cpu_fast(theirs, monkeypatch, pip_calls, system, machine, smi, gets, found, on_system):
    on_system(system, machine)
    monkeypatch.setattr(pytorch, "ask_nvidia_smi", lambda: smi)
    assert packages.install_fast(theirs, found(FAST, cuda="13.0")) is gets
    monkeypatch.setattr(checkout, "in_comfyui", lambda: True)
    assert not packages.install_fast(theirs, found(FAST))
    assert len(pip_calls) == gets


def test_failing_to_get_what_makes_a_cpu_fast_is_no_error(theirs, monkeypatch, no_gpu, capsys, found):
    def fail(*_):
        raise console.InstallError("pip install openvino failed")

    monkeypatch.setattr(pip, "pip_install", fail)
    assert not packages.install_fast(theirs, found(FAST))
    assert "continuing without them: pip install openvino failed" in capsys.readouterr().out


def test_a_read_only_checkout_is_installed_from(theirs, found, monkeypatch):
    """setuptools writes beside what it builds, unless it is told where to."""
    seen = []

    def pip_install(*_):
        text = Path(os.environ["DIST_EXTRA_CONFIG"]).read_text(encoding="utf-8")
        seen.append(Path(text.partition("egg_base = ")[2].strip()))
        assert seen[0].is_dir()

    monkeypatch.setattr(pip, "pip_install", pip_install)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert packages.install_studio(theirs, found({"rvm-studio": None}))
    assert not seen[0].is_relative_to(ROOT)
    assert not seen[0].exists()
    assert "DIST_EXTRA_CONFIG" not in os.environ


def test_an_editable_install_elsewhere_is_put_right(theirs, tmp_path, pip_calls, found):
    version = checkout.project_version()
    state = found({"rvm-studio": version})
    again = ["--no-deps", "-e", str(ROOT)]
    for editable, installed, expected in (
        (ROOT.as_uri(), version, []),
        (tmp_path.as_uri(), version, [again]),
        (None, version, [again]),
        (ROOT.as_uri(), "0.0.1", [again]),
    ):
        pip_calls.clear()
        state.editable, state.versions["rvm-studio"] = editable, installed
        assert packages.install_studio(theirs, state) is bool(expected)
        assert pip_calls == expected
