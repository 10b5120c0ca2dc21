"""The whole: options, the steps one after the other, the exit code."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from . import NEWEST_PYTHON, OLDEST_PYTHON, checkout, checks, environment, installed, obs, packages, pytorch, studio
from .console import InstallError, step, studio_command
from .environment import MARKER


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
    target = environment.choose_target(options.venv)
    who = environment.identify(target.python)
    if who is None:
        raise InstallError(f"{target.python} does not start.")
    version, python = tuple(who["version"][:2]), "Python {}.{}.{}".format(*who["version"])
    if version < OLDEST_PYTHON:
        raise InstallError(f"Python 3.10-3.13 needed; {target.home} has {python} ({target.python}).")
    if version > NEWEST_PYTHON:
        warnings.append(f"{python} is newer than those RVM Studio is tested with (3.10-3.13).")
    step(1, f"{python} in {target.home}")

    extras = (
        checkout.test_requirements()
        if options.test is not None
        else checkout.extra_requirements("train")
        if options.train
        else []
    )
    requirements = checkout.core_requirements() + extras
    asked = (
        pytorch.Build("cpu", "--cpu")
        if options.cpu
        else pytorch.Build(options.cuda, "--cuda")
        if options.cuda
        else None
    )
    state = installed.look_into(target.python)
    changed = packages.install_packages(target, state, requirements)
    if changed:
        state = installed.look_into(target.python)
    changed |= pytorch.install_torch(target, state, asked, warnings)
    changed |= packages.install_studio(target, state)
    if changed:
        state = installed.look_into(target.python, thoroughly=True)
        wrong = [f"{name}: {why}" for name, why in state.broken.items()]
        wrong += [
            f"{name}: missing" for name, bounds in requirements if not checkout.satisfies(state.versions[name], bounds)
        ]
        wrong += [] if state.editable else ["rvm_studio: not found"]
        if wrong:
            raise InstallError(f"installed, but does not work in {target.home}: {'; '.join(wrong)}")
    if changed or (Path(state.prefix) / MARKER).is_file():
        packages.install_fast(target, state)
    command = studio_command(state.scripts)
    fetched = studio.fetch_weights(target, options, command, warnings)

    build = f"PyTorch {state.versions['torch']} ({'CUDA ' + state.cuda if state.cuda else 'no CUDA'})"
    took = f"{time.monotonic() - start:.0f} s"
    print(f"\nReady after {took}: RVM Studio {checkout.project_version()}, {build}, in {target.home}.")
    for warning in warnings:
        print(f"Note: {warning}")
    if checkout.in_comfyui():
        print("Next: restart ComfyUI. The nodes are under video/matting, examples under Workflow > Browse Templates.")
    else:
        print(f"Next: {command} matte clip.mp4 -o matte.mov")
    sys.stdout.flush()
    return target, fetched


def main(arguments: list | None = None) -> int:
    options = parse(arguments)
    try:
        if options.check:
            return obs.check_obs()
        if options.test is not None:
            checks.use_reference_data()
        target, fetched = set_up(options)
        if options.obs:
            obs.prepare_obs(target)
        if options.demo and studio.run_studio(target, "demo", *([] if fetched else ["--weights", "starter"])) != 0:
            return 1
        return checks.run_checks(target, options.test) if options.test is not None else 0
    except (InstallError, OSError) as problem:  # OSError: a folder that cannot be written, a full disk
        print(f"install.py: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninstall.py: stopped; run it again to go on.", file=sys.stderr)
    return 1
