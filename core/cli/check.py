"""`rvm-studio check`: tests whether matting works on this machine, with two frames of the bundled sample."""

import argparse
import json
import os

from ..machine.process_tuning import loading
from .model_options import add_model_options, load_engine


def add_parser(subparsers) -> None:
    """Adds `check` to the command line's subparsers."""
    what = "matte two frames of the bundled sample, and report what works"
    parser = subparsers.add_parser(
        "check",
        help=what,
        usage="rvm-studio check [options]",
        description=f"{what[0].upper()}{what[1:]}. Downloads nothing: uses the bundled weights if no others are found.",
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints what works, or what fails and why. Returns 1 on failure, else 0."""
    with loading():
        from ..clips.self_check import CheckError, matte_two_frames
        from ..errors import StudioError

    arguments.weights = arguments.weights or _local_weights(arguments.variant)
    try:
        engine = matte_two_frames(lambda: load_engine(arguments))
    except CheckError as failure:
        if arguments.json:
            print(json.dumps({"event": "failed", "step": failure.step, "reason": str(failure)}))
            return 1
        raise StudioError(f"{failure.step} does not work: {failure}") from failure
    weights = arguments.weights or os.environ["RVM_WEIGHTS"]
    name = f"{engine.name}, {engine.variant} on {engine.device}"
    if arguments.json:
        print(json.dumps({"event": "works", "engine": name, "weights": weights}))
    else:
        print(f"Decoding, the network ({name}) and encoding work, with the weights {weights}.")
    return 0


def _local_weights(variant: str) -> str | None:
    """The weights that `matte` would use without a download, else the bundled ones. None: those in RVM_WEIGHTS."""
    from ..machine.cache_folder import models_dir
    from ..weights.download import CATALOGUE
    from ..weights.network_weights import STARTER

    if os.environ.get("RVM_WEIGHTS"):
        return None
    path = models_dir() / CATALOGUE[variant].installed_name
    return str(path) if path.is_file() else STARTER
