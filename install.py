#!/usr/bin/env python3
"""Set up RVM Studio: a Python environment, PyTorch for this machine, the package, and the default weights.

    python install.py             install or repair; quick if nothing is missing
    python install.py --demo      then matte the bundled sample clip
    python install.py --obs       then prepare the script for OBS; --obs --check only diagnoses
    python install.py --train     also install TensorBoard and matplotlib
    python install.py --test      then install the test tools and run every check (pytest arguments may follow)

Where it installs: in ComfyUI's custom_nodes, into ComfyUI's Python; in an active venv or conda environment, into that
environment; otherwise into a new `.venv` in this folder. It never changes a PyTorch that it did not install itself.
The code is in installer/ (start with program.py) and uses only the standard library, because it runs before anything is
installed. This file must be valid in every Python since 2.7, so that an old Python can print what is needed.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # not resolved: custom_nodes may contain a link to this folder
if not os.path.isfile(os.path.join(HERE, "installer", "program.py")):
    sys.stderr.write("install.py: the folder installer is missing in %s. Download RVM Studio again.\n" % HERE)  # noqa: UP031
    sys.exit(1)
sys.path.insert(0, HERE)  # some Pythons, such as ComfyUI's portable one, do not search the script's folder

import installer  # noqa: E402

if sys.version_info < installer.OLDEST_PYTHON:
    found = "{}.{}.{}".format(*sys.version_info)
    sys.stderr.write(
        "install.py: RVM Studio needs %s, but this is %s (%s). Get a suitable Python from"  # noqa: UP031
        " https://www.python.org/downloads/ and run install.py with it.\n" % (installer.PYTHONS, found, sys.executable)
    )
    sys.exit(1)

from installer.program import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
