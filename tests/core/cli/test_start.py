"""Ctrl-C while the program still loads itself: one line, no traceback."""

import os
import subprocess
import sys

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@posix
@pytest.mark.parametrize(
    "module", ["rvm_studio.core.cli.main", "argparse", "rvm_studio.core.cli.matte", "tqdm", "torch", "av"]
)
def test_ctrl_c_during_an_import_is_one_line(tmp_path, module):
    """A signal at the very moment at which a module begins to load."""
    code = f"""
import importlib.abc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
class Pressed(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.modules.pop("argparse", None)
sys.meta_path.insert(0, Pressed())
sys.argv = ["rvm-studio", "matte", "nothing.mp4", "-o", "o.mov"] if {module!r} != "torch" else ["rvm-studio", "info"]
from rvm_studio.core.cli.start import program
program()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (130, "rvm-studio: stopped.\n")
