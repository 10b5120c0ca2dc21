"""Finds and starts the Python that computes the mattes: that of the environment made by install.py, never OBS's own.

`install.py --obs` writes a file NOTES into this folder. It holds the environment's interpreter, the variables that were
set during the installation (OBS, started from a menu, does not see a terminal's variables), and the SHA-256 of each
file in this folder.

Uses only the standard library; works with Python 3.6 and later, because it runs inside OBS.
"""

import json
import os
import sys

NOTES = "rvm_environment.json"
WORKER = "rvm_worker.py"
KEPT_VARIABLES = ("RVM_WEIGHTS", "RVM_MODELS_DIR", "RVM_MIRROR")

# flags of CreateProcess: no console window; a lower priority than that of OBS
CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS = 0x08000000, 0x00004000


def find_python(script_folder):
    """The interpreter for the worker: RVM_PYTHON, or the one in the notes, or that of the checkout's `.venv`. Raises
    RuntimeError with a message that says what to do."""
    named = os.environ.get("RVM_PYTHON")
    if named:
        if os.path.isfile(named):
            return named
        raise RuntimeError(f"RVM_PYTHON is {named}, which does not exist. Correct or remove the variable.")
    noted = read_notes(script_folder).get("python")
    checkout = os.path.dirname(os.path.realpath(script_folder))
    places = [noted] if isinstance(noted, str) else []
    places.append(venv_python(os.path.join(checkout, ".venv")))
    for place in places:
        if os.path.isfile(place):
            return place
    raise RuntimeError(_advice(places, os.path.join(checkout, "install.py")))


def _advice(places, installer):
    missing = " nor at ".join(places)
    sandbox = "Flatpak" if os.path.exists("/.flatpak-info") else "Snap" if os.environ.get("SNAP") else ""
    if sandbox:
        return (
            f"There is no Python at {missing}: this OBS is a {sandbox}, which cannot see the system's programs. Use"
            " your distribution's OBS package instead."
        )
    python = "py" if sys.platform == "win32" else "python3"
    if os.path.isfile(installer):
        return f'There is no Python at {missing}. Run this in a terminal: {python} "{installer}" --obs'
    return f"There is no Python at {missing}. Run install.py --obs in RVM Studio's folder."


def venv_python(folder):
    if sys.platform == "win32":
        return os.path.join(folder, "Scripts", "python.exe")
    return os.path.join(folder, "bin", "python")


def read_notes(script_folder):
    """The notes of install.py: python, variables, files. Empty if there are none or they cannot be read."""
    try:
        with open(os.path.join(script_folder, NOTES), encoding="utf-8") as file:
            notes = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def worker_command(python, *arguments):
    """(argv, env, options of subprocess.Popen) to start the worker with these arguments.

    The variables of OBS's own Python are removed: they would make the worker's Python load the wrong modules.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    env = {name: value for name, value in os.environ.items() if not _names_another_python(name)}
    variables = read_notes(folder).get("variables")
    if isinstance(variables, dict):
        for name in KEPT_VARIABLES:
            if isinstance(variables.get(name), str):
                env.setdefault(name, variables[name])
    options: dict = {"cwd": folder}
    if sys.platform == "win32":
        options["creationflags"] = CREATE_NO_WINDOW | BELOW_NORMAL_PRIORITY_CLASS
    return [python, "-u", os.path.join(folder, WORKER), *arguments], env, options


def _names_another_python(name):
    name = name.upper()  # Windows ignores case: PythonPath is PYTHONPATH
    return name.startswith("PYTHON") or name in ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "__PYVENV_LAUNCHER__")
