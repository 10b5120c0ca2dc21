"""Runs the installed RVM Studio: fetches its weights, runs its commands, and checks that it mattes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from types import SimpleNamespace

from .console import InstallError, note, step
from .environment import Target, environ_for


def fetch_weights(target: Target, options: argparse.Namespace, later: str, warnings: list) -> None:
    given = os.environ.get("RVM_WEIGHTS")
    if options.no_weights or given:
        step(5, f"Weights: skipped ({'--no-weights' if options.no_weights else f'RVM_WEIGHTS is {given}'})")
        return
    step(5, "Weights: mobilenetv3")
    mirror = ["--mirror", options.mirror] if options.mirror else []
    if run_studio(target, "weights", "fetch", "mobilenetv3", *mirror) != 0:
        warnings.append(f"The weights could not be downloaded. Try again later: {later}")


def matte_two_frames(target: Target) -> SimpleNamespace:
    """Mattes two frames of the bundled sample with the installed product. Returns its `engine` and `weights` (a path or
    "starter"). Raises InstallError with the step that failed."""
    step(6, "Check: matting two frames of the sample")
    command = studio_process(target, "check", "--json")
    answer = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ_for(target.python),
    )
    lines = answer.stdout.decode(errors="replace").splitlines() or [f"it ended with exit code {answer.returncode}"]
    events = [json.loads(line) for line in lines if line.startswith('{"event"')]
    found = events[-1] if events else {"event": "failed", "step": "starting", "reason": lines[-1]}
    if found["event"] != "works":
        raise InstallError(f"everything is installed, but {found['step']} does not work: {found['reason']}")
    note(f"engine {found['engine']}")
    return SimpleNamespace(**found)


def run_studio(target: Target, *arguments: str) -> int:
    command = studio_process(target, *arguments)
    return subprocess.run(command, stdin=subprocess.DEVNULL, env=environ_for(target.python)).returncode


def studio_process(target: Target, *arguments: str) -> list:
    return [str(target.python), "-m", "rvm_studio", *arguments]
