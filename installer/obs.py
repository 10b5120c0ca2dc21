"""`--obs`: prepares and checks the script for OBS.

The script stays in this folder, because OBS stores the path of a script; so updating the folder updates the script. The
installer writes what the script needs to know to a file next to it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import subprocess
from pathlib import Path

from . import checkout
from .console import InstallError, install_command
from .environment import Target, identify

# (oldest OBS, newest Python that it loads), on Windows and macOS, where users install a Python for OBS themselves.
# Source: obs-scripting-python-import.c of each release (PY_MINOR_VERSION_MAX; before 30.0 the names that it tries).
OBS_PYTHONS = (((30, 2), (3, 12)), ((30, 0), (3, 11)), ((0, 0), (3, 10)))


def obs_environment():
    """The module with which the script finds the interpreter in OBS, so that the installer does exactly the same."""
    path = checkout.HERE / "obs_plugin" / "rvm_environment.py"
    if not path.is_file():
        raise InstallError(f"{path} is missing. Download RVM Studio again and unpack all of it.")
    spec = importlib.util.spec_from_file_location("rvm_environment", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_files() -> dict:
    """{name: SHA-256} of the script's files."""
    files = [
        file
        for file in sorted((checkout.HERE / "obs_plugin").glob("rvm_*"))
        if file.suffix in (".py", ".lua", ".effect")
    ]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def prepare_obs(target: Target) -> None:
    environment = obs_environment()
    variables = {name: os.environ[name] for name in environment.KEPT_VARIABLES if os.environ.get(name)}
    for name in variables.keys() - {"RVM_MIRROR"}:  # paths, made absolute: OBS runs in another folder
        variables[name] = os.path.abspath(os.path.expanduser(variables[name]))
    notes = {"python": str(target.python), "variables": variables, "files": script_files()}
    path = checkout.HERE / "obs_plugin" / environment.NOTES
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(notes, indent=1), encoding="utf-8")
    os.replace(partial, path)
    steps = [f"Tools > Scripts > +: add {checkout.HERE / 'obs_plugin' / 'rvm_obs.py'}"]
    steps += ["right-click a camera, a video or a scene, then Filters > Effect Filters > +: RVM Matte"]
    if platform.system() != "Linux":
        who = identify(target.python)
        assert who is not None, target.python
        steps.insert(0, "once, Tools > Scripts > Python Settings: " + python_for_obs(who))
    print("\nThe OBS script is ready. Remaining steps in OBS:")
    for number, text in enumerate(steps, 1):
        print(f"  {number}. {text}")
    print(f"If it does not work: {install_command('--obs', '--check')}")


def python_for_obs(who: dict) -> str:
    """What to choose in OBS's Python Settings. who: RVM Studio's interpreter, as returned by `identify`."""
    version, newest = tuple(who["version"][:2]), newest_python_of(obs_version())
    folder = Path(who["base"])
    if platform.system() == "Darwin":  # OBS expects the folder that contains Python.framework
        folder = next((place.parent for place in (folder, *folder.parents) if place.name == "Python.framework"), folder)
    if version <= newest and version in pythons_in(folder):
        return f"choose {folder} (Python {shown_version(version)})"
    return (
        f"choose the folder of a Python from python.org, {shown_version(newest)} at most. "
        f"It need not be the version that RVM Studio uses, {shown_version(version)}"
    )


def shown_version(version: tuple) -> str:
    return ".".join(map(str, version))


def obs_config() -> str:
    """The text of OBS's settings: global.ini and, since OBS 31, user.ini. Empty if OBS was never started."""
    folder = {
        "Windows": Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"),
        "Darwin": Path.home() / "Library" / "Application Support",
    }.get(platform.system(), Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"))
    files = [folder / "obs-studio" / name for name in ("user.ini", "global.ini")]
    return "\n".join(file.read_text(encoding="utf-8-sig", errors="replace") for file in files if file.is_file())


def obs_version() -> tuple | None:
    """Version, such as (30, 2), of the newest OBS that was started here, or None. OBS stores it as one number."""
    numbers = [int(number) for number in re.findall(r"^LastVersion=(\d+)\s*$", obs_config(), re.MULTILINE)]
    return (max(numbers) >> 24, max(numbers) >> 16 & 255) if numbers else None


def newest_python_of(obs: tuple | None) -> tuple:
    return next(python for oldest, python in OBS_PYTHONS if obs is None or obs >= oldest)


def pythons_in(folder: Path) -> list:
    """The Python versions (3, minor) that OBS would find in this folder."""
    if platform.system() == "Windows":
        found = [re.fullmatch(r"python3(\d+)\.dll", file.name.lower()) for file in folder.glob("*.dll")]
    else:
        libraries = folder.glob("Python.framework/Versions/3.*/lib/libpython3.*.dylib")
        found = [re.fullmatch(r"libpython3\.(\d+)\.dylib", file.name) for file in libraries]
    return sorted((3, int(match.group(1))) for match in found if match)


def check_obs() -> int:
    """Prints what works and what does not. Returns 1 if there are problems, otherwise 0."""
    environment, folder = obs_environment(), checkout.HERE / "obs_plugin"
    problems = script_problems(environment.read_notes(str(folder)), folder / "rvm_obs.py")
    try:
        problems += worker_problems(environment, environment.find_python(str(folder)))
    except RuntimeError as error:
        problems.append(str(error))
    problems += obs_problems()
    for text in problems:
        print(f"problem: {text}")
    plural = "" if len(problems) == 1 else "s"
    print(f"{len(problems)} problem{plural} found." if problems else "No problems found.")
    return 1 if problems else 0


def script_problems(notes: dict, script: Path) -> list:
    noted, there = notes.get("files"), script_files()
    if not isinstance(noted, dict):
        command = install_command("--obs")
        return [f"the script has not been prepared, or its notes cannot be read. Run {command}."]
    problems = []
    if missing := [name for name in noted if name not in there]:
        problems.append(f"{', '.join(missing)}: missing in {script.parent}. Download RVM Studio again.")
    if changed := [name for name in there if there[name] != noted.get(name)]:
        problems.append(
            f"{', '.join(changed)}: changed since the script was prepared (an update?). Run {install_command('--obs')}."
        )
    if not problems:
        print(f"ok: the script's files, {script}")
    return problems


def worker_problems(environment, python: str) -> list:
    """Starts the worker with --check and reports what it would run with."""
    command, env, options = environment.worker_command(python, "--check")
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=300, **options)
        lines = answer.stdout.decode(errors="replace").splitlines() or ["nothing"]
        found = json.loads(lines[-1])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return [f"{python} cannot run the worker ({error}). Run {install_command('--obs')}."]
    if "error" in found:
        return [f"{found['error']} ({python})"]
    print(f"ok: Python {found['python']}, {python}")
    print(f"ok: mattes on {found['device']}, {found['engine']} {found['precision']}, with {found['weights']}")
    return []


def obs_problems() -> list:
    """Problems with the Python that OBS itself loads."""
    version = obs_version()
    if version is None:
        print("unknown: the version of OBS, which this user has not started yet")
        return []
    name, newest = f"OBS {shown_version(version)}", newest_python_of(version)
    if platform.system() == "Linux":
        print(f"ok: {name}, which uses the Python that it was built for")
        return []
    accepted, choose = f"{name} loads Python 3.6 to {shown_version(newest)}", "Tools > Scripts > Python Settings"
    chosen = re.search(r"^Path64bit=(.+?)\s*$", obs_config(), re.MULTILINE)
    if chosen is None:
        return [f"no Python is chosen in OBS ({choose}). {accepted}."]
    folder = Path(chosen.group(1).replace("\\\\", "\\"))  # as OBS writes a backslash
    versions = pythons_in(folder)
    if any((3, 6) <= python <= newest for python in versions):
        print(f"ok: {accepted}, and finds one in {folder}")
        return []
    there = "Python " + ", ".join(map(shown_version, versions)) if versions else "no Python that OBS can load"
    return [f"the folder chosen in OBS ({choose}), {folder}, has {there}. {accepted}."]
