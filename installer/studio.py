"""RVM Studio itself, once it is installed: its weights, its commands."""

from __future__ import annotations

import argparse
import os
import subprocess

from .console import step
from .environment import Target, environ_for


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
