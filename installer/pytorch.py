"""Which build of PyTorch belongs on this machine, and where it is found."""

from __future__ import annotations

import http.client
import os
import platform
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import NamedTuple

from . import checkout, pip
from .console import InstallError, note, step
from .environment import MARKER, Target

TORCH, TORCHVISION = "2.13.0", "0.28.0"  # the pair the tests run with
OLDEST_TORCH = (2, 4)

# PyTorch 2.13's CUDA builds: tag, oldest driver, GPU compute capabilities their kernels cover; best first.
# Sources: "CUDA Support Matrix" in PyTorch's RELEASE.md; "Minor Version Compatibility" in NVIDIA's documentation.
CUDA_BUILDS = (
    ("cu130", 580, (7, 5), (99, 0)),  # Turing and newer
    ("cu126", 525, (5, 0), (9, 9)),  # Maxwell to Hopper, no Blackwell
)
PYPI_BUILD = {("Linux", "x86_64"): "cu130", ("Windows", "AMD64"): "cpu"}  # what a plain `pip install torch` gives


class Build(NamedTuple):
    tag: str  # "cpu", "cu126", ...: the last part of the address of PyTorch's index
    why: str
    warning: str = ""


def install_torch(target: Target, state, asked: Build | None, warnings: list) -> bool:
    """The tested pair where torch is missing, a fitting torchvision where only that is. Returns whether it installed.

    A torch that is there is replaced only in an environment made by this script, and only if it is broken, too old,
    or another build is `asked` for.
    """
    version, broken = state.versions["torch"], state.broken.get("torch")
    ours = (Path(state.prefix) / MARKER).is_file()
    if version is None and not target.may_lack_torch:
        raise InstallError(
            f"{target.python} has no torch, so it is not what ComfyUI runs with. Start install.py with ComfyUI's "
            "Python, or activate its environment first."
        )
    if broken and not ours:
        raise InstallError(f"torch {version} in {target.home} does not import ({broken}). Repair it there first.")
    too_old = version is not None and checkout.release(version) < OLDEST_TORCH
    if too_old and not ours:
        step(3, f"PyTorch {version}: left as it is")
        warnings.append(f"torch {version} in {target.home} is too old: RVM Studio needs 2.4 or newer. Update it there.")
        return False
    present = "cu" + state.cuda.replace(".", "") if state.cuda else "cpu"
    switch = asked is not None and version is not None and asked.tag != present
    if switch and not ours:
        warnings.append(f"torch {version} ({present}) is not this script's, so it was not replaced by {asked.tag}.")
        switch = False
    if version is None or broken or too_old or switch:
        return install_pair(target, asked or choose_build(ask_nvidia_smi()), version, switch, warnings)
    if state.versions["torchvision"] is None or "torchvision" in state.broken:
        local = version.partition("+")[2]  # cpu, cu126, ...: torchvision's twin lies in the same index
        step(3, f"PyTorch {version} is there: installing {fitting_torchvision(version)}")
        source = torch_source(local)[0] if local else []
        pip.pip_install(target.python, fitting_torchvision(version), "--no-deps", "--force-reinstall", *source)
        return True
    step(3, f"PyTorch {version}, torchvision {state.versions['torchvision']}: in place")
    return False


def install_pair(target: Target, build: Build, present: str | None, switch: bool, warnings: list) -> bool:
    source, warning = torch_source(build.tag)
    warnings += [text for text in (build.warning, warning if build.tag != "cpu" else "") if text]
    if switch and warning:  # what could be had instead is no better than what is there
        step(3, f"PyTorch {present}: left as it is")
        return False
    step(3, f"PyTorch {TORCH} ({build.tag}, {build.why}): installing, which takes a while")
    if warning:
        note(warning)
    again = ["--force-reinstall"] if present else []
    pip.pip_install(target.python, f"torch=={TORCH}", f"torchvision=={TORCHVISION}", *again, *source)
    return True


def ask_nvidia_smi() -> str | None:
    """A line "capability, driver, name" per GPU, or what else the tool says; None where there is no such tool."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=compute_cap,driver_version,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        return answer.stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def choose_build(smi: str | None) -> Build:
    """The build of PyTorch for the best GPU in nvidia-smi's answer."""
    if platform.system() == "Darwin":
        return Build("cpu", "macOS")  # PyPI's build for Macs, with Metal
    if smi is None:
        return Build("cpu", "no NVIDIA GPU found")
    gpus = re.findall(r"^\s*(\d+)\.(\d+)\s*,\s*(\d+)[\d.]*\s*,\s*(.+?)\s*$", smi, re.MULTILINE)
    if not gpus:
        answer = (smi.strip().splitlines() or ["nothing"])[0]
        return Build("cpu", "no usable GPU", f"nvidia-smi names no usable GPU, it says: {answer}")
    capability, driver, name = max(((int(major), int(minor)), int(driver), name) for major, minor, driver, name in gpus)
    too_new_for_driver = []
    for tag, oldest_driver, lowest, highest in CUDA_BUILDS:
        if lowest <= capability <= highest:
            if driver >= oldest_driver:
                return Build(tag, name)
            too_new_for_driver.append((oldest_driver, tag))
    if not too_new_for_driver:
        return Build("cpu", f"{name} is too old", f"PyTorch {TORCH} has no kernels for {name}: it runs on the CPU.")
    needed, tag = min(too_new_for_driver)
    advice = f"too old for {name}: update it to {needed} or newer, then run install.py --cuda {tag}."
    return Build("cpu", f"driver {driver} is too old", f"NVIDIA driver {driver} is {advice}")


def torch_source(tag: str) -> tuple:
    """(pip arguments, warning): where this build is found; PyPI, if PyTorch's own index cannot be reached."""
    system = platform.system()
    if system == "Darwin" or PYPI_BUILD.get((system, platform.machine())) == tag:
        return [], ""
    index = os.environ.get("RVM_TORCH_INDEX", "https://download.pytorch.org/whl").rstrip("/") + "/" + tag
    if reachable(index + "/"):
        return ["--index-url", index], ""
    if tag == "cpu":
        return [], f"{index} cannot be reached: PyPI's build is taken, gigabytes unless pip finds one for the CPU."
    return [], f"{index} cannot be reached: PyPI's build may not use this GPU; later, install.py --cuda {tag}."


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def fitting_torchvision(torch_version: str) -> str:
    """torchvision 0.(x+15) belongs to torch 2.x."""
    major, minor = (*checkout.release(torch_version), 0)[:2]
    return f"torchvision==0.{minor + 15}.*" if major == 2 else "torchvision"


def cpu_does_the_work(state) -> bool:
    """Is there no graphics card that this PyTorch uses, and a CPU that OpenVINO has builds for?"""
    if platform.system() == "Darwin" or re.search(r"\+(rocm|xpu)", state.versions["torch"]):
        return False
    if state.cuda and choose_build(ask_nvidia_smi()).tag != "cpu":
        return False
    return platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
