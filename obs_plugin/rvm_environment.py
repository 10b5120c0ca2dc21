"""Which Python computes the mattes, and how it is started: the environment that install.py made, never OBS's own.

`install.py --obs` notes beside this file, in NOTES: the environment's interpreter, the variables that it was set up
with (OBS, started from a menu, does not know what a terminal knows), and the SHA-256 of each file of this folder.

The standard library only, Python 3.6 and later: this runs inside OBS.
"""

import json
import os
import sys

NOTES = "rvm_environment.json"
WORKER = "rvm_worker.py"
KEPT_VARIABLES = ("RVM_WEIGHTS", "RVM_MODELS_DIR", "RVM_MIRROR")

# of CreateProcess: no console window; the system prefers OBS's threads
CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS = 0x08000000, 0x00004000


def find_python(script_folder):
    """The interpreter to run the worker with: RVM_PYTHON, else the noted one, else the `.venv` of the checkout that the
    folder lies in. Raises RuntimeError with a sentence that says what to do."""
    named = os.environ.get("RVM_PYTHON")
    if named:
        if os.path.isfile(named):
            return named
        raise RuntimeError(f"RVM_PYTHON names {named}, which is not there. Correct the variable, or remove it.")
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
            f"No Python is to be seen at {missing}: this OBS is a {sandbox}, which programs of the system are hidden"
            " from. Use your distribution's package of OBS instead."
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
    """What install.py noted: python, variables, files. Empty where there are no notes, or none that can be read."""
    try:
        with open(os.path.join(script_folder, NOTES), encoding="utf-8") as file:
            notes = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def worker_command(python, *arguments):
    """(argv, env, options of subprocess.Popen) that start the worker beside this file with the arena's name.

    Nothing of OBS's own Python goes along: its variables would have the other one load the wrong modules.
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
    name = name.upper()  # Windows does not tell PythonPath from PYTHONPATH
    return name.startswith("PYTHON") or name in ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "__PYVENV_LAUNCHER__")
