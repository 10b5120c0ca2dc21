"""The installer's main program: the options, the steps in order, the exit code."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from . import (
    NEWEST_PYTHON,
    OLDEST_PYTHON,
    PYTHONS,
    checkout,
    checks,
    console,
    environment,
    installed,
    obs,
    packages,
    pytorch,
    space,
    studio,
)
from .console import InstallError, install_command, note, shown, step, studio_command
from .environment import MARKER, Target


def parse(arguments: list | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="install.py", description="Set up or repair RVM Studio.")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--cpu", action="store_true", help="install PyTorch for the CPU, even if there is a GPU")
    device.add_argument("--cuda", metavar="TAG", help="install this CUDA build of PyTorch: cu126, cu130 ...")
    parser.add_argument("--venv", metavar="FOLDER", help="use or create the environment in this folder")
    parser.add_argument("--no-weights", action="store_true", help="do not download the default weights")
    parser.add_argument("--mirror", metavar="URL", help="download the weights from this address")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before a large download")
    parser.add_argument("--demo", action="store_true", help="then matte the bundled sample clip")
    parser.add_argument("--obs", action="store_true", help="then prepare the OBS script and print the remaining clicks")
    parser.add_argument("--check", action="store_true", help="with --obs: diagnose only; install nothing")
    parser.add_argument("--export", action="store_true", help="also install the packages for `rvm-studio export`")
    parser.add_argument("--train", action="store_true", help="also install TensorBoard and matplotlib")
    rest = "then run every check; further arguments go to pytest"
    parser.add_argument("--test", nargs=argparse.REMAINDER, metavar="ARG", help=rest)
    options = parser.parse_args(arguments)
    options.given = sys.argv[1:] if arguments is None else arguments
    if options.cuda and not re.fullmatch(r"cu\d{3}", options.cuda):
        parser.error(f"--cuda {options.cuda}: expected a tag like cu126 or cu130")
    if options.check and not options.obs:
        parser.error("--check works only with --obs")
    return options


def main(arguments: list | None = None) -> int:
    options = parse(arguments)
    try:
        if options.check:
            return obs.check_obs()
        if options.test is not None:
            checks.use_reference_data()
        target, weights = set_up(options)
        if options.obs:
            obs.prepare_obs(target)
        if options.demo and studio.run_studio(target, "demo", *weights) != 0:
            return 1
        return checks.run_checks(target, options.test) if options.test is not None else 0
    except (InstallError, OSError) as problem:  # OSError: a folder that cannot be written, a full disk
        print(f"install.py: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninstall.py: stopped. Run it again to continue.", file=sys.stderr)
    return 1


def set_up(options: argparse.Namespace) -> tuple:
    """Installs everything. Returns (the environment, the options with which its commands find weights: none, or those
    for the bundled weights). Raises InstallError unless the installed product has matted two frames.
    """
    start, warnings = time.monotonic(), []
    target = choose_python(options, warnings)
    extras = extras_of(options)
    requirements = checkout.core_requirements() + [x for extra in extras for x in checkout.extra_requirements(extra)]
    state = installed.look_into(target.python)
    torch = pytorch.plan(target, state, requested_build(options), warnings)
    confirm_size(target, state, extras, torch, options)

    changed = packages.install_packages(target, state, requirements)
    changed |= pytorch.carry_out(target, torch)
    changed |= packages.install_studio(target, state)
    if changed:
        state = installed.look_into(target.python, thoroughly=True)
        require_all_working(target, state, requirements)
    if changed or (Path(state.prefix) / MARKER).is_file():
        packages.install_fast(target, state)
    later = studio_command(state.scripts, "weights", "fetch", "mobilenetv3")
    studio.fetch_weights(target, options, later, warnings)
    found = studio.matte_two_frames(target)

    build = f"PyTorch {state.versions['torch']} ({'CUDA ' + state.cuda if state.cuda else 'no CUDA'})"
    took = f"{time.monotonic() - start:.0f} s"
    print(f"\nReady after {took}: RVM Studio {checkout.project_version()}, {build}, in {target.home}.")
    for warning in warnings:
        print(f"Note: {warning}")
    weights = ["--weights", "starter"] if found.weights == "starter" else []
    print(f"Next: {what_next(state.scripts, weights)}", flush=True)
    return target, weights


def choose_python(options: argparse.Namespace, warnings: list) -> Target:
    target = environment.choose_target(options.venv)
    who = environment.identify(target.python)
    if who is None:
        raise InstallError(f"{target.python} does not start.")
    version, python = tuple(who["version"][:2]), "Python {}.{}.{}".format(*who["version"])
    if version < OLDEST_PYTHON:
        raise InstallError(f"RVM Studio needs {PYTHONS}, but {target.home} has {python} ({target.python}).")
    if version > NEWEST_PYTHON:
        warnings.append(f"{python} is newer than the versions that RVM Studio is tested with ({PYTHONS}).")
    step(1, f"{python} in {target.home}")
    return target


def extras_of(options: argparse.Namespace) -> list:
    """The extras of pyproject.toml that these options need."""
    if options.test is not None:
        return ["test", "export", "train"]
    return [extra for extra in ("export", "train") if getattr(options, extra)]


def requested_build(options: argparse.Namespace) -> pytorch.Build | None:
    if options.cpu:
        return pytorch.Build("cpu", "--cpu")
    return pytorch.Build(options.cuda, "--cuda") if options.cuda else None


def confirm_size(
    target: Target, state: SimpleNamespace, extras: list, torch: pytorch.Plan, options: argparse.Namespace
) -> None:
    """Prints how much will be installed, checks the disk space, and asks first if most of it would be useless here."""
    sizes = [torch.size] if torch.size.installed else []
    sizes += [space.CORE] if packages.unmet(state, checkout.core_requirements()) else []
    sizes += [space.FAST] if packages.fast_is_lacking(state) else []
    sizes += [space.EXTRAS[x] for x in extras if packages.unmet(state, checkout.extra_requirements(x))]
    if not sizes:
        return
    size = space.total(sizes)
    note(f"needed: {space.describe(size)}")
    space.require_space(target.python, Path(state.prefix), size)
    if torch.question and not console.agreed(torch.question, options.yes, install_command("--yes", *options.given)):
        raise InstallError("stopped; nothing was installed.")


def require_all_working(target: Target, state: SimpleNamespace, requirements: list) -> None:
    wrong = [f"{name}: {why}" for name, why in state.broken.items()]
    wrong += [f"{name}: missing" for name in packages.unmet(state, requirements)]
    wrong += [] if state.editable else ["rvm_studio: not found"]
    if wrong:
        raise InstallError(f"installed, but not working in {target.home}: {'; '.join(wrong)}")


def what_next(scripts: str, weights: list) -> str:
    """What to do next: a command that works as printed, on the bundled sample."""
    if checkout.in_comfyui():
        return "restart ComfyUI. The nodes are under video/matting, examples under Workflow > Browse Templates."
    sample = shown(checkout.HERE / "assets" / "sample.mp4")
    return studio_command(scripts, "matte", sample, "-o", "matte.mov", *weights)
