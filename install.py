#!/usr/bin/env python3
"""Set up RVM Studio: a ready Python environment, PyTorch for this machine, the package, the default weights.

    python install.py             set up, or repair; quick when nothing is missing
    python install.py --demo      then matte the bundled sample clip
    python install.py --obs       then make the script for OBS ready; --obs --check only tells what is wrong with it
    python install.py --train     with what shows a training's curves and pictures (TensorBoard, matplotlib)
    python install.py --test      then install the test tools and run every check (pytest arguments may follow)

Where it installs: inside ComfyUI's custom_nodes into ComfyUI's Python; in an active venv or conda environment into
that one; otherwise into a new `.venv` beside this file. A PyTorch that it did not install itself is never touched.
The work is done in installer/ (read program.py first), in the standard library only: it runs before anything is
installed. This file alone is kept to what every Python since 2.7 can read, so that an old one can say what is needed.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # links stay: custom_nodes may hold a link to this folder
if not os.path.isfile(os.path.join(HERE, "installer", "program.py")):
    sys.stderr.write("install.py: %s lacks the folder installer: get all of RVM Studio's folder again.\n" % HERE)  # noqa: UP031
    sys.exit(1)
sys.path.insert(0, HERE)  # some Pythons do not look beside the script by themselves: ComfyUI's portable one

import installer  # noqa: E402

if sys.version_info < installer.OLDEST_PYTHON:
    found = "{}.{}.{}".format(*sys.version_info)
    sys.stderr.write(
        "install.py: RVM Studio needs %s, and this is %s (%s). Get one from https://www.python.org/downloads/"  # noqa: UP031
        " and run install.py with it.\n" % (installer.PYTHONS, found, sys.executable)
    )
    sys.exit(1)

from installer.program import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
