#!/usr/bin/env python3
"""Set up RVM Studio: a ready Python environment, PyTorch for this machine, the package, the default weights.

    python install.py             set up, or repair; quick when nothing is missing
    python install.py --demo      then matte the bundled sample clip
    python install.py --obs       then make the script for OBS ready; --obs --check only tells what is wrong with it
    python install.py --train     with what shows a training's curves and pictures (TensorBoard, matplotlib)
    python install.py --test      then install the test tools and run every check (pytest arguments may follow)

Where it installs: inside ComfyUI's custom_nodes into ComfyUI's Python; in an active venv or conda environment into
that one; otherwise into a new `.venv` beside this file. A PyTorch that it did not install itself is never touched.
Standard library only: this file runs before anything is installed. Read it from `main` at the end upwards.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import importlib.util
import json
import operator
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

HERE = Path(os.path.abspath(__file__)).parent  # links stay: custom_nodes may hold a link to this folder
WINDOWS = os.name == "nt"
TORCH, TORCHVISION = "2.13.0", "0.28.0"  # the pair the tests run with
OLDEST_PYTHON, NEWEST_PYTHON, OLDEST_TORCH = (3, 10), (3, 13), (2, 4)
MARKER = "made-by-rvm-studio.txt"  # in an environment made by this script; holds its path

# PyTorch 2.13's CUDA builds: tag, oldest driver, GPU compute capabilities their kernels cover; best first.
# Sources: "CUDA Support Matrix" in PyTorch's RELEASE.md; "Minor Version Compatibility" in NVIDIA's documentation.
CUDA_BUILDS = (
    ("cu130", 580, (7, 5), (99, 0)),  # Turing and newer
    ("cu126", 525, (5, 0), (9, 9)),  # Maxwell to Hopper, no Blackwell
)
# On Windows and macOS OBS loads a Python that the user brings: from this version of OBS on, at most this one.
# Source: obs-scripting-python-import.c of each release (PY_MINOR_VERSION_MAX; before 30.0 the names that it tries).
OBS_PYTHONS = (((30, 2), (3, 12)), ((30, 0), (3, 11)), ((0, 0), (3, 10)))
PYPI_BUILD = {("Linux", "x86_64"): "cu130", ("Windows", "AMD64"): "cpu"}  # what a plain `pip install torch` gives

PIP_HINTS = (
    (r"No space left|Errno 28|not enough space", "the disk is full"),
    (
        r"Failed to establish|Temporary failure in name|getaddrinfo|Connect.?Timeout|Max retries|ProxyError|"
        r"Network is unreachable|SSLError|Read timed out|Connection (broken|refused|reset|aborted)",
        "the package index cannot be reached: check the network and HTTPS_PROXY, or set PIP_INDEX_URL to a mirror",
    ),
    (r"No matching distribution", "no build for this system: a 64-bit Python 3.10-3.13 is needed, and no Intel Mac"),
    (r"externally-managed", "this Python belongs to the system: run install.py in a virtual environment"),
    (r"Permission denied|Access is denied|WinError (5|32)", "no permission, or a file is in use (ComfyUI, OBS?)"),
)


class InstallError(Exception):
    """Ends the run with one line that says what is wrong and what to do."""


class Target(NamedTuple):
    """The interpreter that everything is installed into."""

    python: Path
    home: str  # in words: "ComfyUI's Python", ".venv" ...
    may_lack_torch: bool = True  # False: a bare interpreter that is ComfyUI's only if it has torch


class Build(NamedTuple):
    tag: str  # "cpu", "cu126", ...: the last part of the address of PyTorch's index
    why: str
    warning: str = ""


# ---- 1: the environment


def choose_target(venv: str | None) -> Target:
    running = Path(sys.executable)
    if venv:
        return own_venv(Path(os.path.abspath(venv)), named=True)
    if in_comfyui():
        # ComfyUI's Manager runs this file with the Python that ComfyUI runs with, whatever else lies about.
        if "COMFYUI_PATH" in os.environ and importlib.util.find_spec("torch"):
            return Target(running, "ComfyUI's Python")
        python = comfyui_python(HERE.parent.parent)
        if python is None:  # ComfyUI set up by hand: only what it is started with can be meant
            return Target(running, "the Python this runs with, for ComfyUI", may_lack_torch=in_active_environment())
        return Target(python, "ComfyUI's Python")
    if in_active_environment():
        return Target(running, "the active environment")
    return own_venv(HERE / ".venv", named=False)


def in_comfyui() -> bool:
    return HERE.parent.name == "custom_nodes"


def comfyui_python(comfyui: Path) -> Path | None:
    """The interpreter that ComfyUI in this folder brings along, or None."""
    embedded = comfyui.parent / "python_embeded" / "python.exe"  # the portable build's own spelling
    brought = (embedded, venv_python(comfyui / "venv"), venv_python(comfyui / ".venv"))
    return next((python for python in brought if python.is_file()), None)


def in_active_environment() -> bool:
    """Is the running interpreter that of a venv or conda environment? CONDA_PREFIX alone proves nothing."""
    conda = os.environ.get("CONDA_PREFIX")
    return sys.prefix != sys.base_prefix or bool(conda and same_path(conda, sys.prefix))


def own_venv(folder: Path, named: bool) -> Target:
    """The venv in `folder`, made or rebuilt where it is missing or broken; `named`: the user chose the folder."""
    target = Target(venv_python(folder), shown(folder))
    problem = venv_problem(folder)
    if problem is None:
        return target
    new = not folder.exists() or not any(folder.iterdir())
    if named and not new and not (folder / MARKER).is_file():
        raise InstallError(f"{folder} cannot be used: {problem}. It is left as it is: name another folder.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = "python{}.{}-venv".format(*sys.version_info)
        raise InstallError(
            f"this Python has no venv or ensurepip module. On Debian and Ubuntu: sudo apt install {package}"
            " (also known as python3-venv); then run install.py again."
        )
    note(f"making {target.home}" if new else f"rebuilding {target.home}: {problem}")
    if not new:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(str(folder), encoding="utf-8")  # first: if it is cut short, the next run may rebuild
    code, lines = run_quietly([sys.executable, "-m", "venv", str(folder)], os.environ)
    if code != 0:
        free = shutil.disk_usage(folder).free / 1e6
        raise InstallError(f"could not make {folder} ({free:.0f} MB are free there): {lines[-1]}")
    return target


def venv_problem(folder: Path) -> str | None:
    """Why the venv in `folder` cannot be used as it is; None if it can."""
    if not folder.is_dir():
        return "there is none"
    who = identify(venv_python(folder))
    if who is None:
        return "its Python is missing or does not start"
    if not same_path(who["prefix"], folder):
        return "it is no virtual environment"
    if tuple(who["version"][:2]) < OLDEST_PYTHON:
        return "its Python is {}.{}".format(*who["version"])
    marker = folder / MARKER
    if marker.is_file() and not same_path(marker.read_text(encoding="utf-8"), folder):
        return "it was moved or copied from another folder"  # its scripts still point there
    return None


def venv_python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def identify(python: Path) -> dict | None:
    """Version, prefix, presence of pip and base prefix of an interpreter, or None if it does not start."""
    code = "import json, sys, importlib.util as u; "
    code += "print(json.dumps(dict(version=sys.version_info[:3], prefix=sys.prefix, pip=bool(u.find_spec('pip')),"
    code += " base=sys.base_prefix)))"
    try:
        answer = subprocess.run([str(python), "-c", code], capture_output=True, env=environ_for(python), check=True)
        return json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def environ_for(python: Path) -> dict:
    """The environment variables for a child; those that name this interpreter's modules are kept from another one."""
    other = str(python) != sys.executable
    foreign = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__") if other else ()
    return {name: value for name, value in os.environ.items() if name not in foreign}


def same_path(one, other) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


# ---- what is installed there

PROBE = r"""
import csv, importlib, importlib.metadata as metadata, importlib.util, json, sys, sysconfig
sys.path[:] = [entry for entry in sys.path if entry]  # not the current folder
names = json.loads(sys.argv[1])
state = {"versions": {}, "broken": {}, "cuda": None, "editable": None,
         "scripts": sysconfig.get_path("scripts"), "prefix": sys.prefix}

for name, module in names:
    try:
        state["versions"][name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        state["versions"][name] = None
        if name != "torch":  # a torch that some other tool brought may have no metadata, and must be seen
            continue
    try:
        if module:
            loaded = importlib.import_module(module)
        else:
            record = metadata.distribution(name)  # its .files hides those that are gone, since Python 3.12
            files = [row[0] for row in csv.reader((record.read_text("RECORD") or "").splitlines())]
            if not all(record.locate_file(file).exists() for file in files if not file.endswith(".pyc")):
                raise FileNotFoundError("some of its files are gone")
        if name == "torch":
            state["versions"][name], state["cuda"] = str(loaded.__version__), loaded.version.cuda
    except Exception as error:
        if state["versions"][name] is not None:
            state["broken"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
try:
    studio = metadata.distribution("rvm-studio")
    link = json.loads(studio.read_text("direct_url.json") or "{}")
    if link.get("dir_info", {}).get("editable") and importlib.util.find_spec("rvm_studio"):
        state["editable"] = link["url"]
    state["versions"]["rvm-studio"] = studio.version
except metadata.PackageNotFoundError:
    pass
print("\nPROBE" + json.dumps(state))
"""


def look_into(python: Path, thoroughly: bool = False) -> SimpleNamespace:
    """Finds, in the target interpreter, what is installed and whether it imports.

    Returns versions {distribution: version or None}, broken {distribution: what is wrong with it},
    cuda (torch.version.cuda), editable (address of the editable install), scripts and prefix (folders).
    torchvision's import takes longer than all else, so only its files are looked at, unless `thoroughly`.
    """
    names = [["torch", "torch"]]
    names += [[name, {"pillow": "PIL"}.get(name, name)] for name, _ in core_requirements()]
    names += [["torchvision", "rvm_studio.core.torchvision_import" if thoroughly else None]]
    names += [[name, None] for name, _ in fast_requirements() + test_requirements()]  # those of training among them
    code, lines = run_quietly([str(python), "-c", PROBE, json.dumps(names)], environ_for(python))
    for line in lines:
        if line.startswith("PROBE"):
            return SimpleNamespace(**json.loads(line[5:]))
    raise InstallError(f"{python} stopped while it imported the installed packages (exit {code}): {lines[-1]}")


def core_requirements() -> list:
    """[(name, bounds)] of requirements.txt."""
    return parse_requirements((HERE / "requirements.txt").read_text(encoding="utf-8").splitlines())


def fast_requirements() -> list:
    """[(name, bounds)] of pyproject's extra that makes a CPU fast."""
    return extra_requirements("fast")


def test_requirements() -> list:
    """What the tests need beside the core: their tools, what is exported, what a training can use."""
    return [x for extra in ("test", "export", "train") for x in extra_requirements(extra)]


def extra_requirements(extra: str) -> list:
    """[(name, bounds)] of an extra of pyproject; found by pattern, as Python 3.10 has no TOML reader."""
    block = re.search(rf"^{extra} = \[\n(.*?)^\]", pyproject(), re.DOTALL | re.MULTILINE).group(1)
    return parse_requirements(re.findall(r'^\s*"([^"]+)"', block, re.MULTILINE))


def parse_requirements(lines: list) -> list:
    lines = [line.partition("#")[0].strip() for line in lines]
    return [re.match(r"([\w.-]+)\s*(.*)", line).groups() for line in lines if line]


def pyproject() -> str:
    return (HERE / "pyproject.toml").read_text(encoding="utf-8")


def project_version() -> str:
    return re.search(r'^version = "(.+)"', pyproject(), re.MULTILINE).group(1)


def release(version: str) -> tuple:
    """(2, 13) of "2.13.0+cpu": the numbers before any suffix, without closing zeros, so that 2.4 equals 2.4.0."""
    numbers = [int(number) for number in re.match(r"\d+(\.\d+)*", version).group().split(".")]
    return tuple(numbers[: max((place for place, number in enumerate(numbers, 1) if number), default=0)])


def satisfies(version: str | None, bounds: str) -> bool:
    """Does an installed version meet bounds such as ">=14.2,<19"? None (not installed) never does."""
    signs = {"==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le}
    signs.update({">": operator.gt, "<": operator.lt})
    clauses = re.findall(r"([=!<>]+)\s*([\d.]+)", bounds)
    return version is not None and all(signs[sign](release(version), release(bound)) for sign, bound in clauses)


# ---- pip


def pip_install(python: Path, *arguments: str) -> None:
    """`pip install`, quiet but for large downloads; shows pip's last lines if it fails."""
    if not (identify(python) or {"pip": True})["pip"]:  # made by another tool (uv), or damaged
        code, lines = run_quietly([str(python), "-m", "ensurepip", "--upgrade"], environ_for(python))
        if code != 0:
            raise InstallError(f"{python} has no pip, and ensurepip failed ({lines[-1]}). Install pip there first.")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    code, lines = run_quietly(command, environ_for(python), show=r"Downloading (?:\S*/)?(\S+ \(\d+\.\d+ [MG]B\))")
    if code != 0:
        print("\n".join("      | " + line for line in lines[-20:]), file=sys.stderr)
        raise InstallError(f"pip install {shlex.join(arguments)} failed{hint(lines)}. Then run install.py again.")


def run_quietly(command: list, env, show: str | None = None) -> tuple:
    """(exit code, last lines of stdout and stderr); what the pattern `show` finds is printed as it comes."""
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    ) as process:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            lines = [*lines[-99:], line] if line else lines
            found = re.search(show, line) if show else None
            if found:
                note(f"downloading {found.group(1)}")
    return process.returncode, lines or ["no message"]


def hint(lines: list) -> str:
    text = "\n".join(lines)
    return next((f". Likely reason: {advice}" for pattern, advice in PIP_HINTS if re.search(pattern, text)), "")


# ---- 2: the packages


def install_packages(target: Target, state, requirements: list) -> bool:
    """Brings in what is missing or too old, repairs what does not import; returns whether anything was done."""
    unmet = [name for name, bounds in requirements if not satisfies(state.versions[name], bounds)]
    broken = [name for name, _ in requirements if name in state.broken and name not in unmet]
    if unmet:
        step(2, f"Packages: installing {', '.join(unmet)}")
        pip_install(target.python, *(name + bounds for name, bounds in requirements))
    if broken:
        step(2, f"Packages: repairing {', '.join(broken)}")
        pins = [f"{name}=={state.versions[name]}" for name in broken]
        pip_install(target.python, "--force-reinstall", "--no-deps", *pins)
    if not unmet and not broken:
        step(2, f"Packages: all {len(requirements)} in place")
    return bool(unmet or broken)


# ---- 3: PyTorch


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
    too_old = version is not None and release(version) < OLDEST_TORCH
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
        pip_install(target.python, fitting_torchvision(version), "--no-deps", "--force-reinstall", *source)
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
    pip_install(target.python, f"torch=={TORCH}", f"torchvision=={TORCHVISION}", *again, *source)
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
    major, minor = (*release(torch_version), 0)[:2]
    return f"torchvision==0.{minor + 15}.*" if major == 2 else "torchvision"


def install_fast(target: Target, state) -> bool:
    """OpenVINO and numba, where the CPU does the work; failing to get them is no error. Returns whether it installed.

    Not for ComfyUI, whose memory management runs the network itself. The numpy that is there stays.
    """
    wanted = fast_requirements()
    unmet = [name + bounds for name, bounds in wanted if not satisfies(state.versions[name], bounds)]
    broken = [f"{name}=={state.versions[name]}" for name, _ in wanted if name in state.broken]
    if not (unmet or broken) or in_comfyui() or not cpu_does_the_work(state):
        return False
    note("installing OpenVINO and numba, which make the CPU several times faster")
    try:
        if broken:
            pip_install(target.python, "--only-binary=:all:", "--force-reinstall", "--no-deps", *broken)
        if unmet:
            pip_install(target.python, "--only-binary=:all:", *unmet, f"numpy=={state.versions['numpy']}")
    except InstallError as problem:
        note(f"done without them: {problem}")
        return False
    return True


def cpu_does_the_work(state) -> bool:
    """Is there no graphics card that this PyTorch uses, and a CPU that OpenVINO has builds for?"""
    if platform.system() == "Darwin" or re.search(r"\+(rocm|xpu)", state.versions["torch"]):
        return False
    if state.cuda and choose_build(ask_nvidia_smi()).tag != "cpu":
        return False
    return platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")


# ---- 4: the package, 5: the weights


def install_studio(target: Target, state) -> bool:
    folder = urllib.request.url2pathname(urllib.parse.urlsplit(state.editable or "").path)
    if same_path(folder, HERE) and state.versions["rvm-studio"] == project_version():
        step(4, f"RVM Studio {project_version()}: in place")
        return False
    step(4, f"RVM Studio {project_version()}: installing from {HERE}")
    pip_install(target.python, "--no-deps", "-e", str(HERE))
    return True


def fetch_weights(target: Target, options: argparse.Namespace, later: str, warnings: list) -> bool:
    """Whether there are weights that the demo can use."""
    given = os.environ.get("RVM_WEIGHTS")
    if options.no_weights or given:
        step(5, f"Weights: skipped ({'--no-weights' if options.no_weights else f'RVM_WEIGHTS is {given}'})")
        return True
    step(5, "Weights: mobilenetv3")
    mirror = ["--mirror", options.mirror] if options.mirror else []
    if run_studio(target, "weights", "fetch", "mobilenetv3", *mirror) != 0:
        warnings.append(f"The weights could not be fetched. Later: {later} weights fetch mobilenetv3")
        return False
    return True


def run_studio(target: Target, *arguments: str) -> int:
    command = [str(target.python), "-m", "rvm_studio.core.cli", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=environ_for(target.python)).returncode


# ---- --obs: the script stays in this folder, which has to stay anyway, as OBS keeps the path of a script; an update of
# the one is an update of the other. What OBS cannot know is noted beside it.


def obs_environment():
    """The script's own module that finds the interpreter: what it does here is what it will do in OBS."""
    path = HERE / "obs_plugin" / "rvm_environment.py"
    if not path.is_file():
        raise InstallError(f"{path} is missing: get RVM Studio's folder anew, or unpack all of it.")
    spec = importlib.util.spec_from_file_location("rvm_environment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_files() -> dict:
    """{name: SHA-256} of what belongs to the script."""
    files = [file for file in sorted((HERE / "obs_plugin").glob("rvm_*")) if file.suffix in (".py", ".lua", ".effect")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def prepare_obs(target: Target) -> None:
    environment = obs_environment()
    variables = {name: os.environ[name] for name in environment.KEPT_VARIABLES if os.environ.get(name)}
    for name in variables.keys() - {"RVM_MIRROR"}:  # paths: OBS starts in another folder
        variables[name] = os.path.abspath(os.path.expanduser(variables[name]))
    notes = {"python": str(target.python), "variables": variables, "files": script_files()}
    path = HERE / "obs_plugin" / environment.NOTES
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(notes, indent=1), encoding="utf-8")
    os.replace(partial, path)
    steps = [f"Tools > Scripts > + : add {HERE / 'obs_plugin' / 'rvm_obs.py'}"]
    steps += ["right-click a camera, a video or a scene, Filters > + under Effect Filters: RVM Matte"]
    if platform.system() != "Linux":
        steps.insert(0, "once, Tools > Scripts > Python Settings: " + python_for_obs(identify(target.python)))
    print("\nThe OBS script is ready. What is left to do in OBS:")
    for number, text in enumerate(steps, 1):
        print(f"  {number}. {text}")
    print("If it does not work: install.py --obs --check")


def python_for_obs(who: dict) -> str:
    """Which folder to choose in OBS's Python Settings. who: RVM Studio's interpreter, as `identify` describes it."""
    version, newest = tuple(who["version"][:2]), newest_python_of(obs_version())
    folder = Path(who["base"])
    if platform.system() == "Darwin":  # OBS looks for Python.framework in it
        folder = next((place.parent for place in (folder, *folder.parents) if place.name == "Python.framework"), folder)
    if version <= newest and version in pythons_in(folder):
        return f"choose {folder} (Python {shown_version(version)})"
    return (
        f"choose the folder of a Python from python.org, {shown_version(newest)} at most, which OBS loads. "
        f"It may be another than RVM Studio's, {shown_version(version)}"
    )


def shown_version(version: tuple) -> str:
    return ".".join(map(str, version))


def obs_config() -> str:
    """The text of OBS's settings, "" where it was never started: global.ini, and since OBS 31 user.ini as well."""
    folder = {
        "Windows": Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"),
        "Darwin": Path.home() / "Library" / "Application Support",
    }.get(platform.system(), Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"))
    files = [folder / "obs-studio" / name for name in ("user.ini", "global.ini")]
    return "\n".join(file.read_text(encoding="utf-8-sig", errors="replace") for file in files if file.is_file())


def obs_version() -> tuple | None:
    """(30, 2) of the newest OBS that was started here, None if none was. OBS notes its version as one number."""
    numbers = [int(number) for number in re.findall(r"^LastVersion=(\d+)\s*$", obs_config(), re.MULTILINE)]
    return (max(numbers) >> 24, max(numbers) >> 16 & 255) if numbers else None


def newest_python_of(obs: tuple | None) -> tuple:
    return next(python for oldest, python in OBS_PYTHONS if obs is None or obs >= oldest)


def pythons_in(folder: Path) -> list:
    """The versions (3, minor) that OBS finds in a folder chosen in its settings."""
    if platform.system() == "Windows":
        found = [re.fullmatch(r"python3(\d+)\.dll", file.name.lower()) for file in folder.glob("*.dll")]
    else:
        libraries = folder.glob("Python.framework/Versions/3.*/lib/libpython3.*.dylib")
        found = [re.fullmatch(r"libpython3\.(\d+)\.dylib", file.name) for file in libraries]
    return sorted((3, int(match.group(1))) for match in found if match)


def check_obs() -> int:
    """Prints what is right and what is wrong; 1 if anything is wrong."""
    environment, folder = obs_environment(), HERE / "obs_plugin"
    problems = script_problems(environment.read_notes(str(folder)), folder / "rvm_obs.py")
    try:
        problems += worker_problems(environment, environment.find_python(str(folder)))
    except RuntimeError as error:
        problems.append(str(error))
    problems += obs_problems()
    for text in problems:
        print(f"wrong: {text}")
    print(f"{len(problems)} to put right." if problems else "Nothing is wrong.")
    return 1 if problems else 0


def script_problems(notes: dict, script: Path) -> list:
    noted, there = notes.get("files"), script_files()
    if not isinstance(noted, dict):
        return ["install.py --obs has not been run here, or its notes cannot be read: run it."]
    problems = []
    if missing := [name for name in noted if name not in there]:
        problems.append(f"{script.parent} lacks {', '.join(missing)}: get RVM Studio's folder anew.")
    if changed := [name for name in there if there[name] != noted.get(name)]:
        problems.append(
            f"{', '.join(changed)}: not as they were when install.py --obs was run (an update?). Run it again."
        )
    if not problems:
        print(f"ok: the script's files, {script}")
    return problems


def worker_problems(environment, python: str) -> list:
    """Has the worker itself tell what it would run with."""
    command, env, options = environment.worker_command(python, "--check")
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=300, **options)
        lines = answer.stdout.decode(errors="replace").splitlines() or ["nothing"]
        found = json.loads(lines[-1])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return [f"{python} does not run the worker ({error}): run install.py --obs again."]
    if "error" in found:
        return [f"{found['error']} ({python})"]
    print(f"ok: Python {found['python']}, {python}")
    print(f"ok: mattes on {found['device']}, {found['engine']} {found['precision']}, with {found['weights']}")
    return []


def obs_problems() -> list:
    """About the Python that OBS itself loads."""
    version = obs_version()
    if version is None:
        print("not known: OBS itself; this user has not started it yet")
        return []
    name, newest = f"OBS {shown_version(version)}", newest_python_of(version)
    if platform.system() == "Linux":
        print(f"ok: {name}, which was built for the Python it comes with")
        return []
    accepted, choose = f"{name} loads Python 3.6 to {shown_version(newest)}", "Tools > Scripts > Python Settings"
    chosen = re.search(r"^Path64bit=(.+?)\s*$", obs_config(), re.MULTILINE)
    if chosen is None:
        return [f"in OBS no Python is chosen ({choose}). {accepted}."]
    folder = Path(chosen.group(1).replace("\\\\", "\\"))  # as OBS writes a backslash
    versions = pythons_in(folder)
    if any((3, 6) <= python <= newest for python in versions):
        print(f"ok: {accepted}, and finds one in {folder}")
        return []
    there = "Python " + ", ".join(map(shown_version, versions)) if versions else "no Python that it could load"
    return [f"the folder chosen in OBS ({choose}), {folder}, has {there}. {accepted}."]


# ---- --test


def use_reference_data() -> None:
    """The tests' reference data beside the checkout, unless the variables say otherwise."""
    folder = HERE.parent / "shared" / "reference"
    if folder.is_dir():
        os.environ.setdefault("RVM_REFERENCE", str(folder))
        os.environ.setdefault("RVM_WEIGHTS", str(folder / "weights" / "rvm_mobilenetv3_int8.safetensors"))


def run_checks(target: Target, pytest_arguments: list) -> int:
    """Lint, format, types, tests: all of them, whatever fails; pytest is last, so that its closing line is too.

    Without arguments of one's own the tests' files are shared out among the cores, after those that need all of them.
    """
    if pytest_arguments:
        tests = {"pytest": ["pytest", *pytest_arguments]}
    else:
        together = ["-m", "not alone", "-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
        tests = {"pytest, one by one": ["pytest", "-m", "alone"], "pytest": ["pytest", *together]}
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
        env = {"OMP_WAIT_POLICY": "PASSIVE", **environ_for(target.python)}  # no spinning while another test computes
        if subprocess.run(command, cwd=HERE, stdin=subprocess.DEVNULL, env=env).returncode != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


# ---- the whole


def step(number: int, text: str) -> None:
    print(f"[{number}/5] {text}", flush=True)


def note(text: str) -> None:
    print(f"      {text}", flush=True)


def shown(path: Path) -> str:
    """The path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def studio_command(scripts: str) -> str:
    text = shown(Path(scripts) / ("rvm-studio.exe" if WINDOWS else "rvm-studio"))
    return (f'"{text}"' if " " in text else text) if WINDOWS else shlex.quote(text)


def parse(arguments: list | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="install.py", description="Set up RVM Studio, or repair it.")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--cpu", action="store_true", help="PyTorch for the CPU, whatever GPU there is")
    device.add_argument("--cuda", metavar="TAG", help="PyTorch for this CUDA build: cu126, cu130 ...")
    parser.add_argument("--venv", metavar="PATH", help="use, or make, the environment in this folder")
    parser.add_argument("--no-weights", action="store_true", help="do not fetch the default weights")
    parser.add_argument("--mirror", metavar="URL", help="fetch the weights from here")
    parser.add_argument("--demo", action="store_true", help="then matte the bundled sample clip")
    parser.add_argument("--obs", action="store_true", help="then make the script for OBS ready, and say what to click")
    parser.add_argument("--check", action="store_true", help="with --obs: install nothing, only tell what is wrong")
    parser.add_argument("--train", action="store_true", help="with what shows a training's curves and pictures")
    rest = "then run every check; what follows goes to pytest"
    parser.add_argument("--test", nargs=argparse.REMAINDER, metavar="ARG", help=rest)
    options = parser.parse_args(arguments)
    if options.cuda and not re.fullmatch(r"cu\d{3}", options.cuda):
        parser.error(f"--cuda {options.cuda}: expected a tag like cu126 or cu130")
    if options.check and not options.obs:
        parser.error("--check belongs to --obs")
    return options


def set_up(options: argparse.Namespace) -> tuple:
    """(the environment, whether its weights are there)"""
    start, warnings = time.monotonic(), []
    target = choose_target(options.venv)
    who = identify(target.python)
    if who is None:
        raise InstallError(f"{target.python} does not start.")
    version, python = tuple(who["version"][:2]), "Python {}.{}.{}".format(*who["version"])
    if version < OLDEST_PYTHON:
        raise InstallError(f"Python 3.10-3.13 needed; {target.home} has {python} ({target.python}).")
    if version > NEWEST_PYTHON:
        warnings.append(f"{python} is newer than those RVM Studio is tested with (3.10-3.13).")
    step(1, f"{python} in {target.home}")

    extras = test_requirements() if options.test is not None else extra_requirements("train") if options.train else []
    requirements = core_requirements() + extras
    asked = Build("cpu", "--cpu") if options.cpu else Build(options.cuda, "--cuda") if options.cuda else None
    state = look_into(target.python)
    changed = install_packages(target, state, requirements)
    if changed:
        state = look_into(target.python)
    changed |= install_torch(target, state, asked, warnings)
    changed |= install_studio(target, state)
    if changed:
        state = look_into(target.python, thoroughly=True)
        wrong = [f"{name}: {why}" for name, why in state.broken.items()]
        wrong += [f"{name}: missing" for name, bounds in requirements if not satisfies(state.versions[name], bounds)]
        wrong += [] if state.editable else ["rvm_studio: not found"]
        if wrong:
            raise InstallError(f"installed, but does not work in {target.home}: {'; '.join(wrong)}")
    if changed or (Path(state.prefix) / MARKER).is_file():
        install_fast(target, state)
    studio = studio_command(state.scripts)
    fetched = fetch_weights(target, options, studio, warnings)

    torch = f"PyTorch {state.versions['torch']} ({'CUDA ' + state.cuda if state.cuda else 'no CUDA'})"
    print(f"\nReady after {time.monotonic() - start:.0f} s: RVM Studio {project_version()}, {torch}, in {target.home}.")
    for warning in warnings:
        print(f"Note: {warning}")
    if in_comfyui():
        print("Next: restart ComfyUI. The nodes are under video/matting, examples under Workflow > Browse Templates.")
    else:
        print(f"Next: {studio} matte clip.mp4 -o matte.mov")
    sys.stdout.flush()
    return target, fetched


def main(arguments: list | None = None) -> int:
    if sys.version_info < OLDEST_PYTHON:
        running = "{}.{}.{}".format(*sys.version_info)
        print(f"install.py: Python 3.10-3.13 needed, this is {running} ({sys.executable}).", file=sys.stderr)
        return 1
    options = parse(arguments)
    try:
        if options.check:
            return check_obs()
        if options.test is not None:
            use_reference_data()
        target, fetched = set_up(options)
        if options.obs:
            prepare_obs(target)
        if options.demo and run_studio(target, "demo", *([] if fetched else ["--weights", "starter"])) != 0:
            return 1
        return run_checks(target, options.test) if options.test is not None else 0
    except (InstallError, OSError) as problem:  # OSError: a folder that cannot be written, a full disk
        print(f"install.py: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninstall.py: stopped; run it again to go on.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
