"""Finds out what is installed in an environment and whether it can be imported."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from . import checkout, processes
from .console import InstallError
from .environment import environ_for

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
        if name != "torch":  # a torch that another tool installed may lack metadata, but must still be found
            continue
    try:
        if module:
            loaded = importlib.import_module(module)
        else:
            record = metadata.distribution(name)  # not its .files, which omits missing files since Python 3.12
            files = [row[0] for row in csv.reader((record.read_text("RECORD") or "").splitlines())]
            if not all(record.locate_file(file).exists() for file in files if not file.endswith(".pyc")):
                raise FileNotFoundError("some of its files are missing")
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


def module_of(distribution: str) -> str:
    """The name by which a package is imported."""
    return {"pillow": "PIL"}.get(distribution, distribution.replace("-", "_"))


def look_into(python: Path, thoroughly: bool = False) -> SimpleNamespace:
    """Finds out in the target interpreter what is installed and whether it can be imported.

    Returns versions {distribution: version or None}, broken {distribution: what is wrong with it},
    cuda (torch.version.cuda), editable (URL of the editable install), scripts and prefix (folders).
    Importing torchvision takes longer than everything else, so only its files are checked, unless `thoroughly`.
    """
    names = [["torch", "torch"]]
    names += [[name, module_of(name)] for name, _ in checkout.core_requirements()]
    names += [["torchvision", "rvm_studio.core.network.torchvision_import" if thoroughly else None]]
    names += [[name, None] for name, _ in checkout.all_extras()]
    code, lines = processes.run_quietly([str(python), "-c", PROBE, json.dumps(names)], environ_for(python))
    for line in lines:
        if line.startswith("PROBE"):
            return SimpleNamespace(**json.loads(line[5:]))
    raise InstallError(f"{python} stopped while it imported the installed packages (exit {code}): {lines[-1]}")
