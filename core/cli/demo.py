"""`rvm-studio demo`: mattes the bundled sample clip."""

import argparse
import sys
from pathlib import Path

from ..clips.matte_file import matte
from ..machine.process_tuning import loading
from ..machine.root import SAMPLE
from .matte import print_report
from .model_options import add_model_options, load_engine
from .progress import make_progress
from .stop_signals import stop_on_signal

STARTER_RATIO = 0.3  # reduces the sample to about the size of the starter weights' training pictures


def add_parser(subparsers) -> None:
    """Adds `demo` to the command line's subparsers."""
    what = "matte the bundled sample clip and print where the results are"
    parser = subparsers.add_parser(
        "demo",
        help=what,
        usage="rvm-studio demo [-o FOLDER] [options]",
        description=f"{what[0].upper()}{what[1:]}. Replaces the results of an earlier demo.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("rvm-demo"),
        metavar="FOLDER",
        help="output folder (default: rvm-demo)",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the ProRes file, a green composite and the contact sheet, and prints their paths."""
    with loading():
        from ..errors import DownloadError
        from ..weights.download import STARTER_VARIANT
        from ..weights.network_weights import STARTER, asks_for_starter

        folder: Path = arguments.output
        try:
            engine = load_engine(arguments)
        except DownloadError as error:
            if arguments.variant != STARTER_VARIANT:
                raise
            print(f"{error.message} The demo uses the bundled starter weights.\n", file=sys.stderr)
            arguments.weights = STARTER
            engine = load_engine(arguments)
    is_starter = asks_for_starter(arguments.weights)
    ratio = STARTER_RATIO if is_starter else "auto"
    with stop_on_signal() as (stop, received), make_progress("auto", "sample") as progress:
        report = matte(
            SAMPLE,
            [folder / "matte.mov", folder / "green.mp4"],
            preview=folder / "contact_sheet.png",
            downsample_ratio=ratio,
            engine=engine,
            overwrite=True,
            progress=progress,
            stopped=stop.is_set,
        )
    if report.stopped:
        print_report(report)
        return 128 + received[0]
    print(
        f"Matted {report.frames} frames in {report.seconds:.1f} s ({report.frames_per_second:.1f} fps) on "
        f"{engine.device} with the {engine.variant} network."
    )
    meanings = ("ProRes 4444 with transparency, for editors", "the person over green", "source, alpha and composite")
    for path, meaning in zip(report.outputs, meanings, strict=True):
        print(f"  {path}  ({meaning})")
    if is_starter:
        print(
            "This used the bundled starter weights, which were trained on drawings of people and give a rough matte. "
            "To download the official weights: rvm-studio weights fetch"
        )
    return 0
