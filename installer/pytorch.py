"""Chooses the build of PyTorch for this machine and where to get it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from . import checkout, environment, pip, space
from .console import InstallError, install_command, note, step
from .environment import MARKER, Target
from .space import Size

TORCH, TORCHVISION = "2.13.0", "0.28.0"  # the pair that the tests run with
OLDEST_TORCH = (2, 4)

# PyTorch 2.13's CUDA builds, best first: tag, oldest driver, lowest and highest supported GPU compute capability.
# Sources: "CUDA Support Matrix" in PyTorch's RELEASE.md; "Minor Version Compatibility" in NVIDIA's documentation.
CUDA_BUILDS = (
    ("cu130", 580, (7, 5), (99, 0)),  # Turing and newer
    ("cu126", 525, (5, 0), (9, 9)),  # Maxwell to Hopper, no Blackwell
)
PYPI_BUILD = {"Linux": "cu130", "Windows": "cpu", "Darwin": "cpu"}  # what a plain `pip install torch` installs


class Build(NamedTuple):
    tag: str  # "cpu", "cu126", ...: the last part of the URL of PyTorch's index
    why: str
    warning: str = ""


class Plan(NamedTuple):
    """What to do about PyTorch, decided before anything is installed."""

    text: str  # for the step's line
    arguments: list  # of pip install; empty: do nothing
    size: Size = Size(0, 0)
    notes: list = []  # noqa: RUF012 - never written to
    question: str = ""  # to be asked first if the available build is far larger than the one that is needed


def plan(target: Target, state, asked: Build | None, warnings: list) -> Plan:
    """Plans the tested pair if torch is missing, or a matching torchvision if only that is missing.

    An installed torch is replaced only in an environment made by the installer, and only if it is broken or too old, or
    if another build is `asked` for.
    """
    version, broken = state.versions["torch"], state.broken.get("torch")
    ours = (Path(state.prefix) / MARKER).is_file()
    if version is None and not target.may_lack_torch:
        raise InstallError(
            f"{target.python} has no torch, so it is not the Python that runs ComfyUI. Run install.py with ComfyUI's "
            "Python, or activate its environment first."
        )
    if broken and not ours:
        raise InstallError(f"torch {version} in {target.home} cannot be imported ({broken}). Repair it first.")
    too_old = version is not None and checkout.release(version) < OLDEST_TORCH
    if too_old and not ours:
        warnings.append(f"torch {version} in {target.home} is too old. Update it: RVM Studio needs 2.4 or newer.")
        return Plan(f"PyTorch {version}: not changed", [])
    present = "cu" + state.cuda.replace(".", "") if state.cuda else "cpu"
    switch = asked is not None and version is not None and asked.tag != present
    if asked and switch and not ours:
        warnings.append(
            f"torch {version} ({present}) was not installed by install.py, so it was not replaced by {asked.tag}."
        )
        switch = False
    if version is None or broken or too_old or switch:
        return plan_pair(target, asked or choose_build(ask_nvidia_smi()), version, switch, warnings)
    if state.versions["torchvision"] is None or "torchvision" in state.broken:
        wanted = fitting_torchvision(version)
        local = version.partition("+")[2]  # cpu, cu126, ...: the matching torchvision is in the same index
        index = index_of(local) if local else []
        if index and pip.versions(target.python, "torchvision", *index)[1]:  # cannot be reached
            index = []
        return Plan(
            f"PyTorch {version} is installed: adding {wanted}", [wanted, "--no-deps", "--force-reinstall", *index]
        )
    return Plan(f"PyTorch {version}, torchvision {state.versions['torchvision']}: in place", [])


def plan_pair(target: Target, build: Build, present: str | None, switch: bool, warnings: list) -> Plan:
    """Plans the tested pair of torch and torchvision, in this build or, if it is unavailable, in PyPI's."""
    refuse_unsupported(target)
    source = find_source(target.python, build.tag)
    if switch and source.problem:  # the build that is available is no better than the installed one
        warnings.append(f"{source.problem} So PyTorch {present} was not changed.")
        return Plan(f"PyTorch {present}: not changed", [])
    if build.warning:
        warnings.append(build.warning)
    pair = [f"torch=={source.version}", f"torchvision=={TORCHVISION}"]
    text = f"PyTorch {TORCH} ({build.tag}, {build.why}): installing"
    again = ["--force-reinstall"] if present else []
    is_large = source.tag.startswith("cu")
    size = space.TORCH_CUDA if is_large else space.TORCH_CPU
    question = ""
    if source.problem and is_large:
        question = (
            f"{source.problem} PyPI has torch {TORCH} for CUDA 13 only: {space.describe(size)}. This machine cannot"
            " use most of that. If you know a mirror of https://download.pytorch.org/whl, stop here and set"
            " RVM_TORCH_INDEX to its address."
        )
    elif source.problem:
        advice = f"to get one that does, later run {install_command('--cuda', build.tag)}"
        warnings.append(f"{source.problem} PyPI's build does not use this GPU; {advice}.")
    notes = [source.found] if source.found else []
    return Plan(text, [*pair, *again, *source.place], size, notes, question)


def carry_out(target: Target, plan: Plan) -> bool:
    """Carries out the plan. Returns whether it installed anything."""
    step(3, plan.text)
    for text in plan.notes:
        note(text)
    if plan.arguments:
        pip.pip_install(target.python, *plan.arguments)
    return bool(plan.arguments)


def refuse_unsupported(target: Target) -> None:
    """Raises InstallError, with advice, if there is no PyTorch for this kind of Python."""
    kind = (environment.identify(target.python) or {}).get("platform", "")
    if kind == "win-arm64":
        raise InstallError(
            "there is no torchvision for Windows on ARM. Install the 64-bit x86 Python from python.org (the installer"
            " named amd64), which runs on Windows 11, too, and run install.py with it. This has not been tested."
        )
    if kind == "win32":
        raise InstallError(f"{target.python} is a 32-bit Python. PyTorch needs a 64-bit one. Get it from python.org.")
    if kind.startswith("macosx") and platform.machine() == "x86_64":
        raise InstallError(
            f"{target.python} was built for Intel Macs, and there is no PyTorch 2.4 or newer for them. On a Mac with"
            " Apple silicon use a Python for arm64, from python.org or Homebrew (in /opt/homebrew)."
        )


def ask_nvidia_smi() -> str | None:
    """nvidia-smi's answer, normally a line "capability, driver, name" per GPU; None if there is no nvidia-smi."""
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
    """The build of PyTorch for the best GPU in nvidia-smi's answer `smi`."""
    if platform.system() == "Darwin":
        return Build("cpu", "macOS")  # PyPI's build for Macs, with Metal
    if smi is None:
        return Build("cpu", "no NVIDIA GPU found")
    gpus = re.findall(r"^\s*(\d+)\.(\d+)\s*,\s*(\d+)[\d.]*\s*,\s*(.+?)\s*$", smi, re.MULTILINE)
    if not gpus:
        answer = (smi.strip().splitlines() or ["nothing"])[0]
        return Build("cpu", "no usable GPU", f"nvidia-smi lists no usable GPU. Its answer: {answer}")
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
    advice = f"too old for {name}: update it to {needed} or newer, then run {install_command('--cuda', tag)}."
    return Build("cpu", f"driver {driver} is too old", f"NVIDIA driver {driver} is {advice}")


class Source(NamedTuple):
    """Where to get torch from."""

    version: str  # the version for pip
    tag: str  # the build: "cpu", "cu130" ...
    place: list = []  # noqa: RUF012 - arguments for pip; empty: pip's own settings
    problem: str = ""  # why it is not the wanted build
    found: str = ""  # a note for the user


def index_of(tag: str) -> list:
    """pip's arguments for PyTorch's own index of a build; empty if PyPI has that build."""
    if platform.system() == "Darwin" or PYPI_BUILD.get(platform.system()) == tag:
        return []
    address = os.environ.get("RVM_TORCH_INDEX") or "https://download.pytorch.org/whl"
    return ["--index-url", f"{address.rstrip('/')}/{tag}"]


def find_source(python: Path, tag: str) -> Source:
    """PyPI if it has this build, or PyTorch's own index, or whatever pip finds with its own settings."""
    index, pypi = index_of(tag), PYPI_BUILD.get(platform.system(), "cpu")
    if not index:
        return Source(TORCH, pypi)
    exact = f"{TORCH}+{tag}"
    found, why = pip.versions(python, "torch", *index)
    if not why and (exact in found or TORCH in found):
        return Source(TORCH, tag, index)
    problem = f"{index[-1]} cannot be reached: {why}." if why else f"{index[-1]} has no torch {TORCH} for this Python."
    found, _ = pip.versions(python, "torch")
    if exact in found:
        return Source(exact, tag, found=f"{problem} pip found torch {exact} elsewhere with its own settings")
    return Source(TORCH, pypi, problem=problem)


def fitting_torchvision(torch_version: str) -> str:
    """torchvision 0.(x+15) belongs to torch 2.x."""
    major, minor = (*checkout.release(torch_version), 0)[:2]
    return f"torchvision==0.{minor + 15}.*" if major == 2 else "torchvision"


def cpu_does_the_work(state) -> bool:
    """Whether PyTorch, installed or about to be, uses no GPU here, and OpenVINO has builds for the CPU."""
    version = state.versions["torch"] or ""
    if platform.system() == "Darwin" or re.search(r"\+(rocm|xpu)", version):
        return False
    if (state.cuda or not version) and choose_build(ask_nvidia_smi()).tag != "cpu":
        return False
    return platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
