"""The options of `rvm-studio matte`, checked as far as that goes without looking at a clip."""

import argparse
import math
from fractions import Fraction

from ..clips.matte_file import WARM_UP
from ..video.hardware_decoding import HWACCELS
from .model_options import add_model_options, at_least

DESCRIPTION = """\
Cut the person out of videos, image sequences and pictures. The suffix of OUTPUT
chooses the format. With transparency: .mov (ProRes 4444), .webm (VP9), .mkv (FFV1),
.png (pictures), .apng, .webp. Without: .mp4 (H.264), which shows the person over
--background."""

EPILOG = """\
examples:
  rvm-studio matte clip.mp4 -o cut.mov                      transparent, for video editors
  rvm-studio matte clip.mp4 -o new.mp4 --background sea.jpg
  rvm-studio matte holiday/ -o cut/ --format webm           every video of a folder
  rvm-studio matte 'shots/*.png' -o cut/%05d.png --fps 24   an image sequence
  rvm-studio matte portrait.jpg -o cut.png                  one picture

--json prints one object a line, told apart by "event":
  progress  input, frames, total, fps, seconds_left (the last three null while unknown)
  done      input, outputs, frames, seconds, fps, notes, damage (places that could not be read)
  stopped   the same, after Ctrl-C or SIGTERM; outputs are the unfinished files (.partial in their names)
  error     input (null: the command as a whole), message

exit codes: 0 all is done; 1 something failed or was damaged, the rest is done; 2 wrong options;
130 stopped by Ctrl-C, 143 by SIGTERM
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them all, those of the network too."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, a picture, an image sequence (folder, 'shots/*.png' or shot_%%05d.png), or a folder of videos",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="file to write; or a folder (any name without a suffix), as for several inputs",
    )
    parser.add_argument("--format", metavar="SUFFIX", help="format where OUTPUT is a folder: mov (default), webm, ...")
    parser.add_argument("--alpha", metavar="FILE", help="also write the alpha, as a grey video or pictures")
    parser.add_argument("--foreground", metavar="FILE", help="also write the person's colours, over black")
    parser.add_argument(
        "--background",
        metavar="WHAT",
        help="put the person over a colour (white, '#00b140'), a picture, a video, or the blurred source: blur",
    )
    parser.add_argument("--premultiplied", action="store_true", help="premultiplied instead of straight colours")
    parser.add_argument(
        "--quality",
        type=_quality,
        metavar="N",
        help="of lossy formats, smaller is better: crf of .mp4 and .webm (0: lossless), quantiser of .mov",
    )
    parser.add_argument("--preview", metavar="FILE", help="also draw a contact sheet (.png or .jpg)")
    parser.add_argument("--fps", type=_frame_rate, metavar="RATE", help="of image sequences: 25 (default), 30000/1001")
    parser.add_argument(
        "--hwaccel",
        choices=HWACCELS,
        default="none",
        metavar="DEVICE",
        help="decode H.264, HEVC and VP9 on a device, as ffmpeg does: auto, cuda, videotoolbox, d3d11va, vaapi, or "
        "none (default); in software where that fails; experimental, not yet tried on a device",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with what the same command has left when it was stopped (not .mp4, .apng, .webp, lossy .webm)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument(
        "--json", action="store_true", help="progress and results as JSON on standard output, see below"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")

    matting = parser.add_argument_group("matting")
    matting.add_argument(
        "--downsample",
        type=_ratio,
        default="auto",
        metavar="RATIO",
        help="how far the network's picture is reduced: auto (default; longest side 512), portrait, full_body, or a "
        "number up to 1; larger shows it finer detail and is slower",
    )
    matting.add_argument(
        "--warm-up",
        type=at_least(0),
        default=WARM_UP,
        metavar="N",
        help=f"frames shown to the network before the first, so that it is already good ({WARM_UP})",
    )
    matting.add_argument(
        "--scene-cut",
        nargs="?",
        type=_threshold,
        const=True,
        metavar="THRESHOLD",
        help="for edited videos: begin anew at every cut (a threshold of 0 to 2, usually 0.4)",
    )
    matting.add_argument(
        "--chunk", type=at_least(1), metavar="N", help="frames through the network at once (default: by device)"
    )
    add_model_options(parser)


def _number(text: str) -> float:
    """NaN for what is none, so that every comparison with it fails."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _frame_rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate; use 25, 23.976 or 30000/1001")
    return rate


def _quality(text: str) -> float:
    if not 0 <= _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a quality; use a number such as 0 (best), 2 or 18")
    return float(text)


def _ratio(text: str) -> str | float:
    if text in ("auto", "portrait", "full_body"):
        return text
    if not 0 < _number(text) <= 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a ratio; use auto, portrait, full_body, or a number above 0 and at most 1"
        )
    return float(text)


def _threshold(text: str) -> float:
    if not 0 < _number(text) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a threshold between 0 and 2; put --scene-cut after the inputs for the usual one"
        )
    return float(text)
