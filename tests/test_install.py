"""install.py: its decisions with fakes, its probes and repairs in real little environments, once the real thing."""

import ast
import contextlib
import http.server
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import venv
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def install(monkeypatch):
    """install.py as a module, fresh for each test, and not run by ComfyUI's Manager."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    return load_install()


def load_install():
    spec = importlib.util.spec_from_file_location("install_under_test", ROOT / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pip_calls(install, monkeypatch):
    """The argument lists of the pip calls that would have been made."""
    calls = []
    monkeypatch.setattr(install, "pip_install", lambda python, *arguments: calls.append(list(arguments)))
    return calls


@pytest.fixture
def no_gpu(install, monkeypatch):
    """A 64-bit Linux without NVIDIA's tools whose index of PyTorch cannot be reached."""
    monkeypatch.setattr(install, "ask_nvidia_smi", lambda: None)
    monkeypatch.setattr(install, "reachable", lambda url: False)
    on_system(monkeypatch, install, "Linux", "x86_64")


@contextlib.contextmanager
def web_server(status: int):
    """Address of a local server that answers everything with this status, and the list of what was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/whl", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_system(monkeypatch, install, system: str, machine: str) -> None:
    monkeypatch.setattr(install.platform, "system", lambda: system)
    monkeypatch.setattr(install.platform, "machine", lambda: machine)


def bare_venv(folder: Path) -> Path:
    """A real venv without pip; returns its Python."""
    venv.create(folder, symlinks=os.name != "nt")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def found(versions: dict, tmp_path: Path, broken: dict | None = None, cuda: str | None = None) -> SimpleNamespace:
    """What look_into would return."""
    return SimpleNamespace(versions=versions, broken=broken or {}, cuda=cuda, prefix=str(tmp_path), editable=None)


# ---- the file itself


def test_old_pythons_get_as_far_as_the_message(install, monkeypatch, capsys):
    source = (ROOT / "install.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= set(sys.stdlib_module_names)
    monkeypatch.setattr(install, "OLDEST_PYTHON", (99, 0))
    assert install.main([]) == 1
    assert "Python 3.10-3.13 needed, this is 3." in capsys.readouterr().err


# ---- which environment


def test_a_bare_python_gets_a_venv_in_the_checkout(install, monkeypatch):
    monkeypatch.setattr(install.sys, "prefix", sys.base_prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(install, "own_venv", lambda folder, named: (folder, named))
    assert install.choose_target(None) == (ROOT / ".venv", False)


def test_an_active_venv_is_used(install, monkeypatch, tmp_path):
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    assert install.choose_target(None).python == Path(sys.executable)


@pytest.mark.parametrize("of_this_interpreter", [True, False])
def test_conda_counts_only_when_this_python_is_condas(install, monkeypatch, tmp_path, of_this_interpreter):
    monkeypatch.setattr(install.sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("CONDA_PREFIX", sys.base_prefix if of_this_interpreter else str(tmp_path))
    monkeypatch.setattr(install, "own_venv", lambda folder, named: "own")
    assert (install.choose_target(None) == "own") is not of_this_interpreter


COMFYUIS = ["python_embeded", "ComfyUI/venv", "ComfyUI/.venv"]


@pytest.mark.parametrize("place", COMFYUIS)
def test_comfyuis_own_python_is_found(install, monkeypatch, tmp_path, place):
    monkeypatch.setattr(install, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    for name in COMFYUIS[COMFYUIS.index(place) :]:  # the later ones must not win over `place`
        python = tmp_path / name / "python.exe" if "embeded" in name else install.venv_python(tmp_path / name)
        python.parent.mkdir(parents=True)
        python.touch()
    target = install.choose_target(None)
    assert target.python.is_relative_to(tmp_path / place)
    assert target.may_lack_torch


@pytest.mark.parametrize("has_torch", [True, False])
def test_under_comfyuis_manager_the_running_python_wins(install, monkeypatch, tmp_path, has_torch):
    monkeypatch.setattr(install, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    stale = install.venv_python(tmp_path / "ComfyUI" / "venv")
    stale.parent.mkdir(parents=True)
    stale.touch()
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: object() if has_torch else None)
    assert install.choose_target(None).python == stale
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "ComfyUI"))  # the Manager sets it
    assert install.choose_target(None).python == (Path(sys.executable) if has_torch else stale)


def test_comfyui_set_up_by_hand_needs_a_python_with_torch(install, monkeypatch, tmp_path, pip_calls, no_gpu):
    monkeypatch.setattr(install, "HERE", tmp_path / "ComfyUI" / "custom_nodes" / "rvm-studio")
    monkeypatch.setattr(install.sys, "prefix", sys.base_prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    target = install.choose_target(None)
    assert target.python == Path(sys.executable)
    with pytest.raises(install.InstallError, match="not what ComfyUI runs with"):
        install.install_torch(target, found({"torch": None, "torchvision": None}, tmp_path), None, [])
    assert pip_calls == []
    versions = {"torch": "2.7.1+cu128", "torchvision": "0.22.1"}
    assert not install.install_torch(target, found(versions, tmp_path), None, [])


def test_another_interpreter_does_not_see_this_ones_modules(install, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    other = install.environ_for(tmp_path / "python")
    assert "PYTHONPATH" not in other
    assert "PYTHONHOME" not in other
    assert install.environ_for(Path(sys.executable))["PYTHONPATH"] == "somewhere"


# ---- the venv


def test_a_sound_venv_is_kept(install, tmp_path):
    folder = tmp_path / "with space"
    bare_venv(folder)
    assert install.venv_problem(folder) is None
    (folder / install.MARKER).write_text(str(folder), encoding="utf-8")
    assert install.venv_problem(folder) is None


def lose_the_python(folder: Path) -> Path:
    for python in (folder / ("Scripts" if os.name == "nt" else "bin")).glob("python*"):
        python.unlink()
    return folder


def lose_the_configuration(folder: Path) -> Path:
    (folder / "pyvenv.cfg").unlink()
    return folder


def move(folder: Path) -> Path:
    return folder.rename(folder.with_name("moved"))


def copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copied"), symlinks=True))


@pytest.mark.parametrize("damage", [lose_the_python, lose_the_configuration, move, copy])
def test_a_broken_venv_is_rebuilt(install, monkeypatch, tmp_path, damage, capsys):
    folder = tmp_path / "env"
    bare_venv(folder)
    (folder / install.MARKER).write_text(str(folder), encoding="utf-8")
    folder = damage(folder)
    (folder / "left-over").touch()
    assert install.venv_problem(folder) is not None
    monkeypatch.setattr(install, "run_quietly", lambda command, env: (bare_venv(Path(command[-1])) and 0, []))
    target = install.own_venv(folder, named=True)
    assert install.identify(target.python)["prefix"] == str(folder)
    assert install.venv_problem(folder) is None
    assert not (folder / "left-over").exists()
    assert "rebuilding" in capsys.readouterr().out


def test_a_venv_of_an_old_python_is_rebuilt(install, monkeypatch, tmp_path):
    python = bare_venv(tmp_path / "env")
    old = {"version": [3, 9, 18], "prefix": str(python.parent.parent), "pip": True}
    monkeypatch.setattr(install, "identify", lambda python: old)
    assert install.venv_problem(tmp_path / "env") == "its Python is 3.9"


def test_a_users_folder_is_never_cleared(install, monkeypatch, tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(install.InstallError, match="name another folder"):
        install.own_venv(tmp_path, named=True)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_debians_missing_package_is_named(install, monkeypatch, tmp_path):
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else True)
    with pytest.raises(install.InstallError, match=r"apt install python3\.\d+-venv .*python3-venv"):
        install.own_venv(tmp_path / "env", named=False)


def test_a_venv_that_cannot_be_made_is_one_clear_line(install, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(install, "run_quietly", lambda command, env: (1, ["first", "the reason"]))
    assert install.main(["--venv", str(tmp_path / "env")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("install.py: could not make")
    assert printed.err.endswith("the reason\n")
    assert printed.err.count("\n") == 1


# ---- which build of PyTorch


@pytest.mark.parametrize(
    ("smi", "tag", "warning"),
    [
        (None, "cpu", ""),
        ("12.0, 580.65.06, NVIDIA GeForce RTX 5090\n", "cu130", ""),
        ("9.0, 580.126.20, NVIDIA H100 80GB HBM3\n", "cu130", ""),
        ("8.6, 591.44, NVIDIA GeForce RTX 3060\r\n", "cu130", ""),
        ("7.5, 550.54.14, Tesla T4\n", "cu126", ""),
        ("6.1, 580.95.05, NVIDIA GeForce GTX 1080\n", "cu126", ""),  # CUDA 13 dropped Pascal
        ("7.0, 535.183.01, Tesla V100-SXM2-16GB\n", "cu126", ""),
        ("8.9, 470.82.01, NVIDIA GeForce RTX 4090\n", "cpu", "update it to 525 or newer, then .* --cuda cu126"),
        ("12.0, 572.16, NVIDIA GeForce RTX 5070\n", "cpu", "update it to 580 or newer, then .* --cuda cu130"),
        ("3.5, 470.223.02, Tesla K40c\n", "cpu", "no kernels for Tesla K40c"),
        ("6.1, 580.95.05, GTX 1060\n8.6, 580.95.05, RTX 3090\n", "cu130", ""),  # the better one counts
        ("10.0, 580.1, B200\n9.0, 580.1, H200\n", "cu130", ""),  # 10.0 is more than 9.0
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "cpu", "couldn't comm"),
        ('Field "compute_cap" is not a valid field to query.\n', "cpu", "not a valid field"),
        ("", "cpu", "it says: nothing"),
    ],
)
def test_the_gpu_and_its_driver_choose_the_build(install, monkeypatch, smi, tag, warning):
    on_system(monkeypatch, install, "Linux", "x86_64")
    build = install.choose_build(smi)
    assert build.tag == tag
    if warning:
        assert re.search(warning, build.warning)
    else:
        assert build.warning == ""


def test_a_mac_takes_pypis_build(install, monkeypatch):
    on_system(monkeypatch, install, "Darwin", "arm64")
    assert install.choose_build("9.0, 580.1, H100\n").tag == "cpu"
    assert install.torch_source("cpu") == ([], "")


@pytest.mark.skipif(os.name == "nt", reason="the fake tool is a shell script")
def test_nvidia_smi_is_really_asked(install, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.ask_nvidia_smi() is None
    fake = tmp_path / "nvidia-smi"
    fake.write_text('#!/bin/sh\n[ "$1" = --query-gpu=compute_cap,driver_version,name ] && echo "8.6, 580.1, RTX"\n')
    fake.chmod(0o755)
    assert install.choose_build(install.ask_nvidia_smi()).tag in ("cu130", "cpu")  # cpu on a Mac
    assert install.ask_nvidia_smi() == "8.6, 580.1, RTX\n"
    fake.chmod(0o644)
    fake.write_text("not a program")
    assert install.ask_nvidia_smi() is None


@pytest.mark.parametrize(
    ("system", "machine", "tag", "needs_index"),
    [
        ("Linux", "x86_64", "cu130", False),
        ("Linux", "x86_64", "cu126", True),
        ("Linux", "x86_64", "cpu", True),
        ("Linux", "aarch64", "cu130", True),
        ("Windows", "AMD64", "cpu", False),
        ("Windows", "AMD64", "cu130", True),
    ],
)
def test_pytorchs_index_is_used_where_pypi_lacks_the_build(install, monkeypatch, system, machine, tag, needs_index):
    on_system(monkeypatch, install, system, machine)
    with web_server(200) as (address, asked):
        monkeypatch.setenv("RVM_TORCH_INDEX", address)
        source, warning = install.torch_source(tag)
    assert warning == ""
    assert source == (["--index-url", f"{address}/{tag}"] if needs_index else [])
    assert asked == ([f"/whl/{tag}/"] if needs_index else [])


@pytest.mark.parametrize("tag", ["cpu", "cu126"])
def test_an_unreachable_index_falls_back_to_pypi(install, monkeypatch, tag):
    on_system(monkeypatch, install, "Linux", "x86_64")
    address = f"http://127.0.0.1:{closed_port()}/whl"
    monkeypatch.setenv("RVM_TORCH_INDEX", address)
    source, warning = install.torch_source(tag)
    assert source == []
    assert f"{address}/{tag} cannot be reached" in warning
    assert ("gigabytes" if tag == "cpu" else "--cuda cu126") in warning


def test_an_index_that_refuses_counts_as_unreachable(install):
    with web_server(403) as (address, _):
        assert not install.reachable(address + "/cpu/")
    assert not install.reachable("no address at all")


# ---- what is done to torch


@pytest.fixture
def ours(install, tmp_path):
    (tmp_path / install.MARKER).touch()
    return install.Target(tmp_path / "python", ".venv")


@pytest.fixture
def theirs(install, tmp_path):
    return install.Target(tmp_path / "python", "the active environment")


PAIR = ["torch==2.13.0", "torchvision==0.28.0"]


def test_missing_torch_is_installed_as_the_tested_pair(install, theirs, tmp_path, pip_calls, no_gpu, capsys):
    warnings = []
    assert install.install_torch(theirs, found({"torch": None, "torchvision": None}, tmp_path), None, warnings)
    assert pip_calls == [PAIR]
    assert "gigabytes" in capsys.readouterr().out
    assert warnings == []


@pytest.mark.parametrize("version", ["2.4.0", "2.7.1+cu128", "2.14.0", "3.0.0", "2.9.0a0+gitabc"])
def test_a_torch_that_is_there_is_never_touched(install, theirs, tmp_path, pip_calls, version):
    state = found({"torch": version, "torchvision": "0.1"}, tmp_path)
    assert not install.install_torch(theirs, state, None, [])
    assert pip_calls == []


def test_a_wished_build_does_not_replace_a_foreign_torch(install, theirs, tmp_path, pip_calls):
    warnings = []
    state = found({"torch": "2.7.1+cu128", "torchvision": "0.22.1"}, tmp_path, cuda="12.8")
    assert not install.install_torch(theirs, state, install.Build("cpu", "--cpu"), warnings)
    assert pip_calls == []
    assert "not replaced by cpu" in warnings[0]


def test_a_foreign_torch_that_is_too_old_is_reported(install, theirs, tmp_path, pip_calls):
    warnings = []
    state = found({"torch": "2.3.1", "torchvision": None}, tmp_path)
    assert not install.install_torch(theirs, state, None, warnings)
    assert pip_calls == []
    assert "2.3.1" in warnings[0]
    assert "2.4 or newer" in warnings[0]


def test_a_foreign_torch_that_does_not_import_ends_the_run(install, theirs, tmp_path, pip_calls):
    state = found({"torch": "2.7.0", "torchvision": None}, tmp_path, broken={"torch": "OSError: libgomp"})
    with pytest.raises(install.InstallError, match="libgomp"):
        install.install_torch(theirs, state, None, [])
    assert pip_calls == []


@pytest.mark.parametrize(
    ("versions", "broken"),
    [
        ({"torch": "2.3.1", "torchvision": "0.18.1"}, {}),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, {"torch": "ImportError: _C"}),
    ],
)
def test_our_own_torch_is_repaired(install, ours, tmp_path, pip_calls, no_gpu, versions, broken):
    assert install.install_torch(ours, found(versions, tmp_path, broken), None, [])
    assert pip_calls == [[*PAIR, "--force-reinstall"]]


def test_our_own_torch_is_replaced_by_the_build_asked_for(install, ours, monkeypatch, tmp_path, pip_calls, no_gpu):
    state = found({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, tmp_path)
    wished = install.Build("cu126", "--cuda")
    assert not install.install_torch(ours, state, install.Build("cpu", "--cpu"), [])
    assert not install.install_torch(ours, state, wished, [])  # its index cannot be reached
    assert pip_calls == []
    monkeypatch.setattr(install, "reachable", lambda url: True)
    assert install.install_torch(ours, state, wished, [])
    index = ["--index-url", "https://download.pytorch.org/whl/cu126"]
    assert pip_calls == [[*PAIR, "--force-reinstall", *index]]


@pytest.mark.parametrize(
    ("torch", "torchvision"),
    [
        ("2.4.1", "torchvision==0.19.*"),
        ("2.10.0", "torchvision==0.25.*"),
        ("2.13.0+cpu", "torchvision==0.28.*"),
        ("2.0", "torchvision==0.15.*"),
    ],
)
def test_torchvision_fits_the_torch_that_is_there(install, torch, torchvision):
    assert install.fitting_torchvision(torch) == torchvision


@pytest.mark.parametrize("broken", [{}, {"torchvision": "some of its files are gone"}])
def test_a_missing_torchvision_comes_alone(install, theirs, monkeypatch, tmp_path, pip_calls, broken):
    on_system(monkeypatch, install, "Linux", "x86_64")
    monkeypatch.setattr(install, "reachable", lambda url: True)
    versions = {"torch": "2.7.1+cu128", "torchvision": "0.22.1" if broken else None}
    assert install.install_torch(theirs, found(versions, tmp_path, broken), None, [])
    index = ["--index-url", "https://download.pytorch.org/whl/cu128"]
    assert pip_calls == [["torchvision==0.22.*", "--no-deps", "--force-reinstall", *index]]


# ---- what is installed


def test_the_requirements_are_read_as_a_toml_reader_does(install):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for parsed, lines in (
        (
            install.test_requirements(),
            [x for extra in ("test", "export", "train") for x in project["optional-dependencies"][extra]],
        ),
        (install.fast_requirements(), project["optional-dependencies"]["fast"]),
        (install.core_requirements(), (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]),
    ):
        wanted = [Requirement(line) for line in lines]
        assert parsed == [(entry.name, ",".join(bounds(entry.specifier))) for entry in wanted]
    assert install.project_version() == project["version"]


def bounds(specifiers: SpecifierSet) -> list[str]:
    return [str(specifier) for specifier in specifiers]


numbers = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
clauses = st.lists(st.tuples(st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), numbers).map("".join), max_size=3)


@given(numbers, clauses.map(",".join))
def test_bounds_mean_what_they_mean_to_pip(version, wanted):
    assert load_once.satisfies(version, wanted) == SpecifierSet(wanted).contains(version)


load_once = load_install()


def test_bounds_look_past_a_build_tag(install):
    assert install.satisfies("2.4.0+cu121", ">=2.4")
    assert not install.satisfies("2.3.1+cpu", ">=2.4")
    assert not install.satisfies(None, "")


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
def test_only_what_is_wrong_is_installed(install, theirs, tmp_path, pip_calls, versions, broken, expected):
    state = found(versions, tmp_path, broken)
    wanted = [("av", ">=14.2"), ("tqdm", "")]
    assert install.install_packages(theirs, state, wanted) is bool(expected)
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
def test_a_cpu_gets_what_makes_it_fast(install, theirs, tmp_path, pip_calls, no_gpu, versions, broken, expected):
    state = found({**FAST, **versions}, tmp_path, broken)
    assert install.install_fast(theirs, state) is bool(expected)
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
def test_who_gets_what_makes_a_cpu_fast(install, theirs, monkeypatch, tmp_path, pip_calls, system, machine, smi, gets):
    on_system(monkeypatch, install, system, machine)
    monkeypatch.setattr(install, "ask_nvidia_smi", lambda: smi)
    assert install.install_fast(theirs, found(FAST, tmp_path, cuda="13.0")) is gets
    monkeypatch.setattr(install, "in_comfyui", lambda: True)
    assert not install.install_fast(theirs, found(FAST, tmp_path))
    assert len(pip_calls) == gets


def test_failing_to_get_what_makes_a_cpu_fast_is_no_error(install, theirs, monkeypatch, tmp_path, no_gpu, capsys):
    def fail(*_):
        raise install.InstallError("pip install openvino failed")

    monkeypatch.setattr(install, "pip_install", fail)
    assert not install.install_fast(theirs, found(FAST, tmp_path))
    assert "done without them: pip install openvino failed" in capsys.readouterr().out


def test_the_probe_sees_what_is_missing_broken_and_there(install, tmp_path):
    python = bare_venv(tmp_path / "env")
    packages = next((tmp_path / "env").rglob("site-packages"))

    def distribution(name: str, version: str, files: dict[str, str]) -> None:
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file, text in files.items():
            (packages / file).parent.mkdir(exist_ok=True)
            (packages / file).write_text(text)

    distribution("torch", "2.5.0", {"torch/__init__.py": "__version__ = '2.5.0+cu124'\nfrom . import version\n"})
    (packages / "torch" / "version.py").write_text("cuda = '12.4'\n")
    distribution("torchvision", "0.20.0", {"torchvision/__init__.py": "raise SystemExit", "torchvision/a.py": ""})
    (packages / "torchvision" / "a.py").unlink()
    distribution("numpy", "2.0.0", {"numpy/__init__.py": "print('chatter')\n"})
    distribution("pillow", "11.0.0", {"PIL/__init__.py": "raise ImportError('no _imaging\\nmore')\n"})
    distribution("ruff", "0.17.6", {"ruff/__init__.py": ""})
    state = install.look_into(python)
    assert state.versions["torch"] == "2.5.0+cu124"
    assert state.cuda == "12.4"
    assert state.versions["numpy"] == "2.0.0"
    assert state.versions["av"] is None
    assert state.broken == {
        "pillow": "ImportError: no _imaging",
        "torchvision": "FileNotFoundError: some of its files are gone",
    }
    assert state.versions["ruff"] == "0.17.6"
    assert state.versions["pytest"] is None
    assert state.editable is None
    assert Path(state.prefix) == tmp_path / "env"

    (packages / "torch" / "__init__.py").write_text("import os; os._exit(3)")  # as a crash in a library would
    with pytest.raises(install.InstallError, match="exit 3"):
        install.look_into(python)


def test_a_torch_without_metadata_is_seen(install, tmp_path):
    python = bare_venv(tmp_path / "env")
    packages = next((tmp_path / "env").rglob("site-packages"))
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text("__version__ = '2.6.0'\nfrom . import version\n")
    (packages / "torch" / "version.py").write_text("cuda = None\n")
    state = install.look_into(python)
    assert state.versions["torch"] == "2.6.0"
    assert state.broken == {}


def test_an_editable_install_elsewhere_is_put_right(install, theirs, tmp_path, pip_calls):
    version = install.project_version()
    state = found({"rvm-studio": version}, tmp_path)
    again = ["--no-deps", "-e", str(ROOT)]
    for editable, installed, expected in (
        (ROOT.as_uri(), version, []),
        (tmp_path.as_uri(), version, [again]),
        (None, version, [again]),
        (ROOT.as_uri(), "0.0.1", [again]),
    ):
        pip_calls.clear()
        state.editable, state.versions["rvm-studio"] = editable, installed
        assert install.install_studio(theirs, state) is bool(expected)
        assert pip_calls == expected


# ---- pip


def test_output_is_quiet_but_for_large_downloads(install, capsys):
    lines = ["Collecting torch", "  Downloading https://host/a/torch-2.13.0-cp311.whl (191.8 MB)", "",
             "Downloading tiny.whl (78 kB)"]  # fmt: skip
    code = f"import sys; print({chr(10).join(lines)!r}, flush=True); print('end', file=sys.stderr); sys.exit(7)"
    pattern = r"Downloading (?:\S*/)?(\S+ \(\d+\.\d+ [MG]B\))"
    assert pattern in (ROOT / "install.py").read_text(encoding="utf-8")
    returned, last = install.run_quietly([sys.executable, "-c", code], os.environ, show=pattern)
    assert returned == 7
    assert last[-1] == "end"
    assert capsys.readouterr().out.strip() == "downloading torch-2.13.0-cp311.whl (191.8 MB)"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Failed to establish a new connection\nERROR: No matching distribution found", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "64-bit Python 3.10-3.13"),
        ("error: externally-managed-environment", "belongs to the system"),
        ("[WinError 5] Access is denied: 'c10.dll'", "in use"),
    ],
)
def test_pips_failures_get_advice(install, output, reason):
    assert reason in install.hint(output.splitlines())


def test_a_failing_pip_ends_the_run_with_its_last_lines(install, monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(install.InstallError, match=r"64-bit Python 3.10-3.13.*Then run install.py again"):
        install.pip_install(Path(sys.executable), "no-such-thing-as-this==1.0")
    assert "no-such-thing-as-this" in capsys.readouterr().err


# ---- weights, checks, the command line


@pytest.mark.parametrize(
    ("arguments", "variable", "called"),
    [
        ([], None, ["weights", "fetch", "mobilenetv3"]),
        (["--mirror", "http://127.0.0.1/x"], None, ["weights", "fetch", "mobilenetv3", "--mirror", "http://127.0.0.1/x"]),
        (["--no-weights"], None, None),
        ([], "some.safetensors", None),
    ],
)  # fmt: skip
def test_weights_are_fetched_unless_given(install, theirs, monkeypatch, capsys, arguments, variable, called):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    if variable:
        monkeypatch.setenv("RVM_WEIGHTS", variable)
    calls = []
    monkeypatch.setattr(install, "run_studio", lambda target, *words: calls.append(list(words)) or 0)
    warnings = []
    assert install.fetch_weights(theirs, install.parse(arguments), "rvm-studio", warnings)
    assert calls == ([called] if called else [])
    assert ("skipped" in capsys.readouterr().out) is (called is None)
    assert warnings == []


def test_failing_weights_are_a_warning(install, theirs, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setattr(install, "run_studio", lambda target, *words: 1)
    warnings = []
    assert not install.fetch_weights(theirs, install.parse([]), ".venv/bin/rvm-studio", warnings)
    assert ".venv/bin/rvm-studio weights fetch mobilenetv3" in warnings[0]


@pytest.mark.parametrize("fetched", [True, False])
def test_the_demo_goes_on_with_starter_weights(install, theirs, monkeypatch, fetched):
    """It would try the same download again, and fail again, before it took them by itself."""
    calls = []
    monkeypatch.setattr(install, "set_up", lambda options: (theirs, fetched))
    monkeypatch.setattr(install, "run_studio", lambda target, *words: calls.append(list(words)) or 0)
    assert install.main(["--demo"]) == 0
    assert calls == [["demo"] if fetched else ["demo", "--weights", "starter"]]


@pytest.mark.parametrize("failing", ["", "ruff", "basedpyright", "pytest"])
def test_all_checks_run_and_any_failure_counts(install, theirs, monkeypatch, capfd, failing):
    ran = []

    def run(command, **_):
        ran.append(command[2:])
        return SimpleNamespace(returncode=int(command[2] == failing))

    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.run_checks(theirs, ["-k", "x"]) == int(bool(failing))
    assert [command[0] for command in ran] == ["ruff", "ruff", "basedpyright", "pytest"]
    assert ran[-1] == ["pytest", "-k", "x"]
    out = capfd.readouterr().out
    assert ("Failed: " in out) is bool(failing)
    assert failing in out


def test_without_arguments_every_test_runs_once(install, theirs, monkeypatch):
    ran = []
    monkeypatch.setattr(
        install.subprocess, "run", lambda command, **_: ran.append(command[2:]) or SimpleNamespace(returncode=0)
    )
    assert install.run_checks(theirs, []) == 0
    assert ran[-2] == ["pytest", "-m", "alone"]
    assert ran[-1][:3] == ["pytest", "-m", "not alone"]


def test_reference_data_beside_the_checkout_is_a_default_only(install, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "HERE", tmp_path / "checkout")
    monkeypatch.delenv("RVM_REFERENCE", raising=False)
    monkeypatch.setenv("RVM_WEIGHTS", "mine")
    install.use_reference_data()
    assert "RVM_REFERENCE" not in os.environ
    (tmp_path / "shared" / "reference").mkdir(parents=True)
    install.use_reference_data()
    assert os.environ["RVM_REFERENCE"] == str(tmp_path / "shared" / "reference")
    assert os.environ["RVM_WEIGHTS"] == "mine"


def test_what_follows_test_goes_to_pytest(install):
    assert install.parse(["--cpu", "--test", "-k", "weights", "--cuda"]).test == ["-k", "weights", "--cuda"]
    assert install.parse(["--test"]).test == []
    assert install.parse([]).test is None


@pytest.mark.parametrize("arguments", [["--cuda", "12.6"], ["--cpu", "--cuda", "cu126"], ["--unknown"]])
def test_wrong_usage_is_refused(install, arguments):
    with pytest.raises(SystemExit, match="2"):
        install.parse(arguments)


def test_a_command_with_spaces_can_be_typed(install, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert install.studio_command(str(tmp_path / ".venv" / "bin")).startswith(os.path.join(".venv", "bin"))
    monkeypatch.setattr(install, "WINDOWS", False)
    assert install.studio_command(str(tmp_path / "my env")) == "'my env/rvm-studio'".replace("/", os.sep)


# ---- the OBS script


@pytest.fixture
def obs_checkout(install, monkeypatch, tmp_path):
    """A folder with the script, as HERE; no OBS, no variables."""
    monkeypatch.setattr(install, "HERE", tmp_path / "studio")
    ignored = shutil.ignore_patterns("__pycache__", "*.json")
    shutil.copytree(ROOT / "obs_plugin", tmp_path / "studio" / "obs_plugin", ignore=ignored)
    for name in ("RVM_WEIGHTS", "RVM_MODELS_DIR", "RVM_MIRROR", "RVM_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    for name in ("APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    monkeypatch.setattr(install.Path, "home", lambda: tmp_path / "home")
    return tmp_path / "studio"


def obs_was_started(tmp_path: Path, version: tuple, python: str = "", file: str = "global.ini") -> None:
    number = version[0] << 24 | version[1] << 16 | version[2]
    text = f"[General]\r\nFirstRun=true\r\nLastVersion={number}\r\n\r\n" + (
        f"[Python]\r\nPath64bit={python}\r\n" if python else ""
    )
    for folder in (tmp_path / "config", tmp_path / "home" / "Library" / "Application Support"):
        (folder / "obs-studio").mkdir(parents=True, exist_ok=True)
        (folder / "obs-studio" / file).write_text(text, encoding="utf-8-sig", newline="")


def bring_python(folder: Path, system: str, *minors: int) -> Path:
    """What OBS looks for in a folder."""
    for minor in minors:
        library = f"python3{minor}.dll"
        if system == "Darwin":
            library = f"Python.framework/Versions/3.{minor}/lib/libpython3.{minor}.dylib"
        (folder / library).parent.mkdir(parents=True, exist_ok=True)
        (folder / library).touch()
    (folder / "python3.dll").touch()  # lies beside python3x.dll and is none
    return folder


def fake_worker(install, monkeypatch, answer: str) -> list:
    calls = []

    def run(command, **options):
        calls.append((command, options))
        return SimpleNamespace(stdout=answer.encode(), returncode=0)

    monkeypatch.setattr(install.subprocess, "run", run)
    return calls


FINE = '{"python": "3.11.7", "device": "CPU", "weights": "w.safetensors", "engine": "openvino", "precision": "fp32"}'


def test_the_obs_script_is_made_ready(install, monkeypatch, obs_checkout, tmp_path, capsys):
    on_system(monkeypatch, install, "Linux", "x86_64")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RVM_WEIGHTS", "here/w.pth")
    monkeypatch.setenv("RVM_MIRROR", "https://mirror/x")
    python = bare_venv(tmp_path / "an environment")
    install.prepare_obs(install.Target(python, "an environment"))
    printed = capsys.readouterr().out
    assert str(obs_checkout / "obs_plugin" / "rvm_obs.py") in printed
    assert "Python Settings" not in printed
    environment = install.obs_environment()
    assert environment.find_python(str(obs_checkout / "obs_plugin")) == str(python)
    monkeypatch.delenv("RVM_WEIGHTS")  # as for an OBS started from a menu
    monkeypatch.delenv("RVM_MIRROR")
    env = environment.worker_command(str(python), "arena")[1]
    assert env["RVM_WEIGHTS"] == str(tmp_path / "here" / "w.pth")
    assert env["RVM_MIRROR"] == "https://mirror/x"
    assert not list((obs_checkout / "obs_plugin").glob("*.partial"))


def test_what_is_noted_is_what_is_checked(install, monkeypatch, obs_checkout, tmp_path, capsys):
    on_system(monkeypatch, install, "Linux", "x86_64")
    install.prepare_obs(install.Target(bare_venv(tmp_path / "env"), "env"))
    calls = fake_worker(install, monkeypatch, "chatter\n" + FINE + "\n")
    assert install.main(["--obs", "--check"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing is wrong." in printed
    assert "wrong:" not in printed
    assert "ok: mattes on CPU, openvino fp32, with w.safetensors" in printed
    ((command, options),) = calls
    assert command[1:] == ["-u", str(obs_checkout / "obs_plugin" / "rvm_worker.py"), "--check"]
    assert command[0].startswith(str(tmp_path / "env"))
    assert options["stdin"] == subprocess.DEVNULL


def lose_a_file(folder, python):
    (folder / "rvm_filter.lua").unlink()
    return r"obs_plugin lacks rvm_filter\.lua"


def change_a_file(folder, python):
    with (folder / "rvm_filter.effect").open("a") as file:
        file.write("\n")
    return r"wrong: rvm_filter\.effect: not as they were"


def add_a_file(folder, python):
    (folder / "rvm_new.py").touch()
    return r"wrong: rvm_new\.py: not as they were"


def lose_the_notes(folder, python):
    (folder / "rvm_environment.json").unlink()
    return r"install\.py --obs has not been run here"


def spoil_the_notes(folder, python):
    (folder / "rvm_environment.json").write_text("{")
    return "its notes cannot be read"


def lose_the_interpreter(folder, python):
    python.unlink()
    return rf"wrong: There is no Python at {re.escape(str(python))}"


@pytest.mark.parametrize(
    "damage", [lose_a_file, change_a_file, add_a_file, lose_the_notes, spoil_the_notes, lose_the_interpreter]
)
def test_the_check_finds(install, monkeypatch, obs_checkout, tmp_path, capsys, damage):
    on_system(monkeypatch, install, "Linux", "x86_64")
    python = bare_venv(tmp_path / "env")
    install.prepare_obs(install.Target(python, "env"))
    expected = damage(obs_checkout / "obs_plugin", python)
    fake_worker(install, monkeypatch, FINE)
    assert install.main(["--obs", "--check"]) == 1
    printed = capsys.readouterr().out
    assert re.search(expected, printed)
    assert re.search(r"^\d to put right\.$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"error": "The weights are gone."}', "wrong: The weights are gone. ("),
        ("", "does not run the worker (Expecting value"),
        ("Traceback\nSomeError: x", "does not run the worker (Expecting value"),
    ],
)
def test_the_check_passes_on_what_the_worker_says(install, monkeypatch, obs_checkout, tmp_path, capsys, answer, text):
    on_system(monkeypatch, install, "Linux", "x86_64")
    install.prepare_obs(install.Target(bare_venv(tmp_path / "env"), "env"))
    fake_worker(install, monkeypatch, answer)
    assert install.main(["--obs", "--check"]) == 1
    assert text in capsys.readouterr().out


def test_an_environment_without_the_package_is_found_out(install, monkeypatch, obs_checkout, tmp_path, capsys):
    """Really: a venv that has nothing runs the worker."""
    on_system(monkeypatch, install, "Linux", "x86_64")
    install.prepare_obs(install.Target(bare_venv(tmp_path / "env"), "env"))
    assert install.main(["--obs", "--check"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"wrong: The Python at \S+ cannot load RVM Studio: No module named", printed)
    assert "1 to put right." in printed


@pytest.mark.skipif(os.name == "nt", reason="the fake Python is a shell script")
def test_a_python_that_does_not_start_is_found_out(install, monkeypatch, obs_checkout, tmp_path, capsys):
    on_system(monkeypatch, install, "Linux", "x86_64")
    python = tmp_path / "python"
    python.write_text("no program")
    install.prepare_obs(install.Target(python, "env"))
    assert install.main(["--obs", "--check"]) == 1
    assert f"wrong: {python} does not run the worker" in capsys.readouterr().out


def test_a_folder_without_the_script_is_one_clear_line(install, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(install, "HERE", tmp_path)
    assert install.main(["--obs", "--check"]) == 1
    assert "rvm_environment.py is missing" in capsys.readouterr().err


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
@pytest.mark.parametrize(
    ("obs", "minors", "problem"),
    [
        ((29, 1, 3), [10], ""),
        ((29, 1, 3), [11], r"has Python 3\.11\. OBS 29\.1 loads Python 3\.6 to 3\.10\."),
        ((30, 0, 0), [11], ""),
        ((30, 1, 2), [12], r"has Python 3\.12\. OBS 30\.1 loads Python 3\.6 to 3\.11\."),
        ((30, 2, 0), [12], ""),
        ((32, 1, 0), [13], r"has Python 3\.13\. OBS 32\.1 loads Python 3\.6 to 3\.12\."),
        ((32, 1, 0), [5], r"has Python 3\.5\. "),
        ((31, 0, 0), [9, 13], ""),
        ((31, 0, 0), [], "has no Python that it could load"),
        ((31, 0, 0), None, r"in OBS no Python is chosen \(Tools > Scripts > Python Settings\)"),
    ],
)
def test_obs_and_its_python_fit(install, monkeypatch, obs_checkout, tmp_path, system, obs, minors, problem):
    on_system(monkeypatch, install, system, "arm64")
    chosen = bring_python(tmp_path / "chosen", system, *minors) if minors else tmp_path
    obs_was_started(tmp_path, obs, "" if minors is None else chosen.as_posix())
    problems = install.obs_problems()
    assert len(problems) == bool(problem)
    assert re.search(problem, "".join(problems))


def test_the_newest_obs_and_its_own_file_count(install, monkeypatch, obs_checkout, tmp_path):
    on_system(monkeypatch, install, "Windows", "AMD64")
    assert install.obs_version() is None
    assert install.obs_problems() == []
    obs_was_started(tmp_path, (30, 1, 0), "C:/old")
    obs_was_started(tmp_path, (31, 1, 2), "C:\\\\new\\\\folder", "user.ini")
    assert install.obs_version() == (31, 1)
    assert "C:\\new\\folder, has no Python" in install.obs_problems()[0]


def test_on_linux_obs_brings_its_python(install, monkeypatch, obs_checkout, tmp_path, capsys):
    on_system(monkeypatch, install, "Linux", "x86_64")
    obs_was_started(tmp_path, (29, 0, 2))
    assert install.obs_problems() == []
    assert "ok: OBS 29.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("system", "base", "place"),
    [
        ("Windows", "Python311", "Python311"),
        ("Darwin", "Frameworks/Python.framework/Versions/3.11", "Frameworks"),
        ("Darwin", "opt/python@3.11/Frameworks/Python.framework/Versions/3.11", "opt/python@3.11/Frameworks"),
    ],
)
def test_the_folder_for_obss_python_settings(install, monkeypatch, obs_checkout, tmp_path, capsys, system, base, place):
    on_system(monkeypatch, install, system, "arm64")
    (tmp_path / base).mkdir(parents=True)
    bring_python(tmp_path / place, system, 11)
    who = {"version": [3, 11, 9], "base": str(tmp_path / base)}
    assert install.python_for_obs(who) == f"choose {tmp_path / place} (Python 3.11)"
    monkeypatch.setattr(install, "identify", lambda python: who)
    install.prepare_obs(install.Target(tmp_path / "python", "env"))
    printed = capsys.readouterr().out
    assert f"  1. once, Tools > Scripts > Python Settings: choose {tmp_path / place}" in printed
    assert "  3. right-click" in printed


@pytest.mark.parametrize(
    ("version", "obs", "newest"),
    [((3, 13), None, "3.12"), ((3, 11), (29, 1, 0), "3.10"), ((3, 12), (30, 1, 0), "3.11")],
)
def test_a_python_that_is_too_new_for_obs(install, monkeypatch, obs_checkout, tmp_path, version, obs, newest):
    on_system(monkeypatch, install, "Windows", "AMD64")
    bring_python(tmp_path / "base", "Windows", version[1])
    if obs:
        obs_was_started(tmp_path, obs)
    text = install.python_for_obs({"version": [*version, 1], "base": str(tmp_path / "base")})
    assert f"python.org, {newest} at most" in text


def test_a_python_without_a_library_is_not_recommended(install, monkeypatch, obs_checkout, tmp_path):
    on_system(monkeypatch, install, "Darwin", "arm64")
    assert "python.org" in install.python_for_obs({"version": [3, 11, 1], "base": str(tmp_path)})  # pyenv's, say


def test_check_alone_is_refused(install):
    with pytest.raises(SystemExit, match="2"):
        install.parse(["--check"])


# ---- the real thing


@pytest.mark.slow
def test_a_real_environment_is_set_up_kept_and_repaired(tmp_path, monkeypatch):
    """A venv that borrows this interpreter's torch, as ComfyUI's would have its own. Without any network."""
    checkout = tmp_path / "a checkout"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "tests", "shared")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    environment = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, stdin=subprocess.DEVNULL)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = next(environment.rglob("site-packages"))
    for old in packages.glob("setuptools*"):  # Python 3.10 and 3.11 put one in that is too old to build with
        shutil.rmtree(old)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed), encoding="utf-8")

    def set_up(log: str, *options: str, code: int = 0) -> tuple[str, str]:
        """(what install.py printed, what pip logged)"""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "RVM_", "PYTHONPATH"))}
        env |= {"PIP_LOG": str(tmp_path / log), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        env |= {"PIP_NO_BUILD_ISOLATION": "0"}  # "no" to the positive option behind it: use the setuptools here
        env["RVM_MODELS_DIR"] = str(tmp_path / "no models")
        command = [python, checkout / "install.py", *(options or ["--no-weights"])]
        answer = subprocess.run(command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True)
        printed, errors = answer.stdout.decode(), answer.stderr.decode()
        assert answer.returncode == code, printed + errors
        logged = tmp_path / log
        return printed, logged.read_text(encoding="utf-8") if logged.exists() else ""

    torch = metadata.version("torch")
    printed, pip = set_up("first.log")
    assert f"PyTorch {torch}" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
    assert "torch" not in pip.partition("Installing collected packages")[2]
    assert not list(packages.glob("torch*"))
    place = subprocess.run(
        [python, "-c", "import rvm_studio, torch; print(rvm_studio.__file__); print(torch.__version__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert Path(place[0]) == checkout / "__init__.py"
    assert place[1].split("+")[0] == torch.split("+")[0]
    command = printed.partition("Next: ")[2].partition(" matte ")[0].strip("'\"")
    assert subprocess.run([tmp_path / command, "--version"], cwd=tmp_path, check=False).returncode == 0

    printed, pip = set_up("second.log", "--no-weights", "--obs")
    assert pip == ""
    assert str(checkout / "obs_plugin" / "rvm_obs.py") in printed
    printed, _ = set_up("check.log", "--obs", "--check", code=1)
    assert f"ok: Python {sys.version.split()[0]}, {python}" not in printed  # it got no further than to the weights
    advice = "they will be fetched at the first use."
    problem = f"The weights of mobilenetv3 are not in {tmp_path / 'no models'}: {advice} ({python})"
    assert re.findall("wrong: (.*)", printed) == [problem]

    (tmp_path / "custom_nodes").mkdir()
    checkout = checkout.rename(tmp_path / "custom_nodes" / "moved")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))  # as ComfyUI's Manager runs it
    printed, pip = set_up("third.log")
    assert "Next: restart ComfyUI." in printed
    assert f"installing from {checkout}" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
