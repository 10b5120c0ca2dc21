"""Which build of PyTorch, from where, and what happens to one that is there."""

import os
import re

import pytest
from rvm_studio.installer import console, environment, pytorch, space


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
        ("", "cpu", "Its answer: nothing"),
    ],
)
def test_the_gpu_and_its_driver_choose_the_build(smi, tag, warning, on_system):
    on_system("Linux", "x86_64")
    build = pytorch.choose_build(smi)
    assert build.tag == tag
    if warning:
        assert re.search(warning, build.warning)
    else:
        assert build.warning == ""


def test_a_mac_takes_pypis_build(on_system):
    on_system("Darwin", "arm64")
    assert pytorch.choose_build("9.0, 580.1, H100\n").tag == "cpu"


@pytest.mark.skipif(os.name == "nt", reason="the fake tool is a shell script")
def test_nvidia_smi_is_really_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pytorch.ask_nvidia_smi() is None
    fake = tmp_path / "nvidia-smi"
    fake.write_text('#!/bin/sh\n[ "$1" = --query-gpu=compute_cap,driver_version,name ] && echo "8.6, 580.1, RTX"\n')
    fake.chmod(0o755)
    assert pytorch.choose_build(pytorch.ask_nvidia_smi()).tag in ("cu130", "cpu")  # cpu on a Mac
    assert pytorch.ask_nvidia_smi() == "8.6, 580.1, RTX\n"
    fake.chmod(0o644)
    fake.write_text("not a program")
    assert pytorch.ask_nvidia_smi() is None


@pytest.mark.parametrize(
    ("system", "tag", "index"),
    [
        ("Linux", "cu130", None),
        ("Linux", "cu126", "cu126"),
        ("Linux", "cpu", "cpu"),
        ("Windows", "cpu", None),
        ("Windows", "cu130", "cu130"),
        ("Darwin", "cpu", None),
    ],
)
def test_pytorchs_index_is_used_where_pypi_lacks_the_build(on_system, indexes, tmp_path, system, tag, index):
    on_system(system, "x86_64")
    asked = indexes({index: [f"2.13.0+{tag}", "2.12.0+cpu"]})
    address = ["--index-url", f"https://download.pytorch.org/whl/{index}"] if index else []
    assert pytorch.find_source(tmp_path, tag) == pytorch.Source("2.13.0", tag, address)
    assert asked == ([index] if index else [])


def test_another_place_for_pytorchs_index(on_system, indexes, tmp_path, monkeypatch):
    on_system("Linux", "x86_64")
    indexes({"cpu": ["2.13.0+cpu"]})
    monkeypatch.setenv("RVM_TORCH_INDEX", "https://mirror/pytorch/")
    assert pytorch.find_source(tmp_path, "cpu").place == ["--index-url", "https://mirror/pytorch/cpu"]


def test_a_cpu_wheel_at_hand_is_taken_where_the_index_cannot_be_reached(on_system, indexes, theirs, found, pip_calls):
    """From --find-links, say, or a company's index: not PyPI's gigabytes for CUDA, and nothing to ask."""
    on_system("Linux", "x86_64")
    indexes({"PyPI": ["2.14.0", "2.13.0+cpu", "2.13.0"]})
    state = found({"torch": None, "torchvision": None})
    plan = pytorch.plan(theirs, state, pytorch.Build("cpu", "no NVIDIA GPU found"), [])
    assert plan.question == ""
    assert plan.size == space.TORCH_CPU
    assert (
        "whl/cpu cannot be reached: its host name was not found. pip found torch 2.13.0+cpu elsewhere" in plan.notes[0]
    )
    pytorch.carry_out(theirs, plan)
    assert pip_calls == [["torch==2.13.0+cpu", "torchvision==0.28.0"]]


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({}, "https://download.pytorch.org/whl/cpu cannot be reached: its host name was not found."),
        ({"cpu": ["2.14.0+cpu"]}, "https://download.pytorch.org/whl/cpu has no torch 2.13.0 for this Python."),
    ],
)
def test_gigabytes_for_another_machine_are_asked_for(on_system, indexes, theirs, found, index, why):
    on_system("Linux", "aarch64")
    indexes({"PyPI": ["2.13.0"], **index})
    plan = pytorch.plan(theirs, found({"torch": None, "torchvision": None}), pytorch.Build("cpu", "--cpu"), [])
    assert plan.question.startswith(why + " PyPI has torch 2.13.0 for CUDA 13 only: 2.8 GB to download, 4.8 GB on the")
    assert plan.size == space.TORCH_CUDA


def test_a_small_build_in_its_place_is_a_warning(on_system, indexes, theirs, found):
    """On Windows PyPI has the CPU's build."""
    on_system("Windows", "AMD64")
    indexes({"PyPI": ["2.13.0"]})
    warnings = []
    state = found({"torch": None, "torchvision": None})
    plan = pytorch.plan(theirs, state, pytorch.Build("cu130", "NVIDIA GeForce RTX 3060"), warnings)
    assert (plan.question, plan.size) == ("", space.TORCH_CPU)
    assert "whl/cu130 cannot be reached: its host name was not found. PyPI's build does not use this GPU" in warnings[0]
    assert re.search(r"later run .*install\.py --cuda cu130\.$", warnings[0])


@pytest.mark.parametrize(
    ("platform", "machine", "advice"),
    [
        ("win-arm64", "ARM64", "installer named amd64"),
        ("win32", "AMD64", "64-bit"),
        ("macosx-11.0-universal2", "x86_64", "use a Python for arm64"),
        ("macosx-11.0-universal2", "arm64", None),
        ("win-amd64", "ARM64", None),  # the Python for x86 on ARM
        ("linux-x86_64", "x86_64", None),
    ],
)
def test_a_python_without_pytorch_is_refused(on_system, monkeypatch, theirs, platform, machine, advice):
    on_system("Darwin" if "macosx" in platform else "Windows", machine)
    monkeypatch.setattr(environment, "identify", lambda python: {"platform": platform})
    if advice is None:
        pytorch.refuse_unsupported(theirs)
    else:
        with pytest.raises(console.InstallError, match=advice):
            pytorch.refuse_unsupported(theirs)


def install_torch(target, state, asked, warnings) -> bool:
    return pytorch.carry_out(target, pytorch.plan(target, state, asked, warnings))


PAIR = ["torch==2.13.0", "torchvision==0.28.0"]


def test_missing_torch_is_installed_as_the_tested_pair(theirs, pip_calls, no_gpu, capsys, found):
    warnings = []
    assert install_torch(theirs, found({"torch": None, "torchvision": None}), None, warnings)
    assert pip_calls == [PAIR]
    assert "PyTorch 2.13.0 (cpu, no NVIDIA GPU found): installing" in capsys.readouterr().out
    assert warnings == []


@pytest.mark.parametrize("version", ["2.4.0", "2.7.1+cu128", "2.14.0", "3.0.0", "2.9.0a0+gitabc"])
def test_a_torch_that_is_there_is_never_touched(theirs, pip_calls, version, found):
    state = found({"torch": version, "torchvision": "0.1"})
    assert not install_torch(theirs, state, None, [])
    assert pip_calls == []


def test_a_wished_build_does_not_replace_a_foreign_torch(theirs, pip_calls, found):
    warnings = []
    state = found({"torch": "2.7.1+cu128", "torchvision": "0.22.1"}, cuda="12.8")
    assert not install_torch(theirs, state, pytorch.Build("cpu", "--cpu"), warnings)
    assert pip_calls == []
    assert "not replaced by cpu" in warnings[0]


def test_a_foreign_torch_that_is_too_old_is_reported(theirs, pip_calls, found):
    warnings = []
    state = found({"torch": "2.3.1", "torchvision": None})
    assert not install_torch(theirs, state, None, warnings)
    assert pip_calls == []
    assert "2.3.1" in warnings[0]
    assert "2.4 or newer" in warnings[0]


def test_a_foreign_torch_that_does_not_import_ends_the_run(theirs, pip_calls, found):
    state = found({"torch": "2.7.0", "torchvision": None}, broken={"torch": "OSError: libgomp"})
    with pytest.raises(console.InstallError, match="libgomp"):
        install_torch(theirs, state, None, [])
    assert pip_calls == []


@pytest.mark.parametrize(
    ("versions", "broken"),
    [
        ({"torch": "2.3.1", "torchvision": "0.18.1"}, {}),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, {"torch": "ImportError: _C"}),
    ],
)
def test_our_own_torch_is_repaired(ours, pip_calls, no_gpu, versions, broken, found):
    assert install_torch(ours, found(versions, broken), None, [])
    assert pip_calls == [[*PAIR, "--force-reinstall"]]


def test_our_own_torch_is_replaced_by_the_build_asked_for(ours, indexes, pip_calls, no_gpu, found):
    state = found({"torch": "2.13.0+cpu", "torchvision": "0.28.0"})
    wished = pytorch.Build("cu126", "--cuda")
    assert not install_torch(ours, state, pytorch.Build("cpu", "--cpu"), [])
    assert not install_torch(ours, state, wished, [])  # its index cannot be reached
    assert pip_calls == []
    indexes({"cu126": ["2.13.0+cu126"]})
    assert install_torch(ours, state, wished, [])
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
def test_torchvision_fits_the_torch_that_is_there(torch, torchvision):
    assert pytorch.fitting_torchvision(torch) == torchvision


@pytest.mark.parametrize("broken", [{}, {"torchvision": "some of its files are missing"}])
def test_a_missing_torchvision_comes_alone(theirs, indexes, pip_calls, broken, found, on_system):
    on_system("Linux", "x86_64")
    indexes({"cu128": []})
    versions = {"torch": "2.7.1+cu128", "torchvision": "0.22.1" if broken else None}
    assert install_torch(theirs, found(versions, broken), None, [])
    index = ["--index-url", "https://download.pytorch.org/whl/cu128"]
    assert pip_calls == [["torchvision==0.22.*", "--no-deps", "--force-reinstall", *index]]
    indexes({"PyPI": []})
    assert install_torch(theirs, found(versions, broken), None, [])
    assert pip_calls[1] == ["torchvision==0.22.*", "--no-deps", "--force-reinstall"]
