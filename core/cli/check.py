"""`rvm-studio check`: whether this machine mattes, found out by matting two frames of the bundled sample."""

import argparse
import json
import os

from ..machine.process_tuning import loading
from .model_options import add_model_options, load_engine


def add_parser(subparsers) -> None:
    """Add `check` to the command line's subparsers."""
    what = "matte two frames of the bundled sample, and say what works"
    parser = subparsers.add_parser(
        "check",
        help=what,
        usage="rvm-studio check [options]",
        description=f"{what[0].upper()}{what[1:]}. Downloads nothing: without other weights it uses the bundled ones.",
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="the result for programs, one object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints what worked, or what failed and where; 1 where anything failed."""
    with loading():
        from ..clips.self_check import CheckError, matte_two_frames
        from ..errors import StudioError

    arguments.weights = arguments.weights or _weights_at_hand(arguments.variant)
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


def _weights_at_hand(variant: str) -> str | None:
    """Those that `matte` would use, if it need not download them, else the bundled ones. None: RVM_WEIGHTS says."""
    from ..machine.cache_folder import models_dir
    from ..weights.download import CATALOGUE
    from ..weights.network_weights import STARTER

    if os.environ.get("RVM_WEIGHTS"):
        return None
    path = models_dir() / CATALOGUE[variant].installed_name
    return str(path) if path.is_file() else STARTER
