"""Which build of PyTorch, from where, and what happens to one that is there."""

import contextlib
import http.server
import os
import re
import socket
import threading

import pytest
from rvm_studio.installer import console, pytorch


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
    assert pytorch.torch_source("cpu") == ([], "")


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
def test_pytorchs_index_is_used_where_pypi_lacks_the_build(monkeypatch, system, machine, tag, needs_index, on_system):
    on_system(system, machine)
    with web_server(200) as (address, asked):
        monkeypatch.setenv("RVM_TORCH_INDEX", address)
        source, warning = pytorch.torch_source(tag)
    assert warning == ""
    assert source == (["--index-url", f"{address}/{tag}"] if needs_index else [])
    assert asked == ([f"/whl/{tag}/"] if needs_index else [])


@pytest.mark.parametrize("tag", ["cpu", "cu126"])
def test_an_unreachable_index_falls_back_to_pypi(monkeypatch, tag, on_system):
    on_system("Linux", "x86_64")
    address = f"http://127.0.0.1:{closed_port()}/whl"
    monkeypatch.setenv("RVM_TORCH_INDEX", address)
    source, warning = pytorch.torch_source(tag)
    assert source == []
    assert f"{address}/{tag} cannot be reached" in warning
    assert ("gigabytes" if tag == "cpu" else "--cuda cu126") in warning


def test_an_index_that_refuses_counts_as_unreachable():
    with web_server(403) as (address, _):
        assert not pytorch.reachable(address + "/cpu/")
    assert not pytorch.reachable("no address at all")


PAIR = ["torch==2.13.0", "torchvision==0.28.0"]


def test_missing_torch_is_installed_as_the_tested_pair(theirs, pip_calls, no_gpu, capsys, found):
    warnings = []
    assert pytorch.install_torch(theirs, found({"torch": None, "torchvision": None}), None, warnings)
    assert pip_calls == [PAIR]
    assert "gigabytes" in capsys.readouterr().out
    assert warnings == []


@pytest.mark.parametrize("version", ["2.4.0", "2.7.1+cu128", "2.14.0", "3.0.0", "2.9.0a0+gitabc"])
def test_a_torch_that_is_there_is_never_touched(theirs, pip_calls, version, found):
    state = found({"torch": version, "torchvision": "0.1"})
    assert not pytorch.install_torch(theirs, state, None, [])
    assert pip_calls == []


def test_a_wished_build_does_not_replace_a_foreign_torch(theirs, pip_calls, found):
    warnings = []
    state = found({"torch": "2.7.1+cu128", "torchvision": "0.22.1"}, cuda="12.8")
    assert not pytorch.install_torch(theirs, state, pytorch.Build("cpu", "--cpu"), warnings)
    assert pip_calls == []
    assert "not replaced by cpu" in warnings[0]


def test_a_foreign_torch_that_is_too_old_is_reported(theirs, pip_calls, found):
    warnings = []
    state = found({"torch": "2.3.1", "torchvision": None})
    assert not pytorch.install_torch(theirs, state, None, warnings)
    assert pip_calls == []
    assert "2.3.1" in warnings[0]
    assert "2.4 or newer" in warnings[0]


def test_a_foreign_torch_that_does_not_import_ends_the_run(theirs, pip_calls, found):
    state = found({"torch": "2.7.0", "torchvision": None}, broken={"torch": "OSError: libgomp"})
    with pytest.raises(console.InstallError, match="libgomp"):
        pytorch.install_torch(theirs, state, None, [])
    assert pip_calls == []


@pytest.mark.parametrize(
    ("versions", "broken"),
    [
        ({"torch": "2.3.1", "torchvision": "0.18.1"}, {}),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, {"torch": "ImportError: _C"}),
    ],
)
def test_our_own_torch_is_repaired(ours, pip_calls, no_gpu, versions, broken, found):
    assert pytorch.install_torch(ours, found(versions, broken), None, [])
    assert pip_calls == [[*PAIR, "--force-reinstall"]]


def test_our_own_torch_is_replaced_by_the_build_asked_for(ours, monkeypatch, pip_calls, no_gpu, found):
    state = found({"torch": "2.13.0+cpu", "torchvision": "0.28.0"})
    wished = pytorch.Build("cu126", "--cuda")
    assert not pytorch.install_torch(ours, state, pytorch.Build("cpu", "--cpu"), [])
    assert not pytorch.install_torch(ours, state, wished, [])  # its index cannot be reached
    assert pip_calls == []
    monkeypatch.setattr(pytorch, "reachable", lambda url: True)
    assert pytorch.install_torch(ours, state, wished, [])
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


@pytest.mark.parametrize("broken", [{}, {"torchvision": "some of its files are gone"}])
def test_a_missing_torchvision_comes_alone(theirs, monkeypatch, pip_calls, broken, found, on_system):
    on_system("Linux", "x86_64")
    monkeypatch.setattr(pytorch, "reachable", lambda url: True)
    versions = {"torch": "2.7.1+cu128", "torchvision": "0.22.1" if broken else None}
    assert pytorch.install_torch(theirs, found(versions, broken), None, [])
    index = ["--index-url", "https://download.pytorch.org/whl/cu128"]
    assert pip_calls == [["torchvision==0.22.*", "--no-deps", "--force-reinstall", *index]]
