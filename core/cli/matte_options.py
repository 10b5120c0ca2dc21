"""The options of `rvm-studio matte`, checked as far as possible without opening a clip."""

import argparse
import math
from fractions import Fraction

from ..clips.matte_file import WARM_UP
from ..video.hardware_decoding import HWACCELS
from .model_options import add_model_options, at_least

DESCRIPTION = """\
Cut the person out of videos, image sequences and pictures. The suffix of OUTPUT
selects the format. With transparency: .mov (ProRes 4444), .webm (VP9), .mkv (FFV1),
.png (pictures), .apng, .webp. Without: .mp4 (H.264), which shows the person over
--background."""

EPILOG = """\
examples:
  rvm-studio matte clip.mp4 -o cut.mov                      transparent, for video editors
  rvm-studio matte clip.mp4 -o new.mp4 --background sea.jpg
  rvm-studio matte holiday/ -o cut/ --format webm           all videos in a folder
  rvm-studio matte 'shots/*.png' -o cut/%05d.png --fps 24   an image sequence
  rvm-studio matte portrait.jpg -o cut.png                  one picture

--json prints one JSON object per line. Its "event" is one of:
  progress  input, frames, total, fps, seconds_left (the last three are null while unknown)
  done      input, outputs, frames, seconds, fps, notes, damage (places that could not be read)
  stopped   the same, after Ctrl-C or SIGTERM; outputs are the unfinished files (.partial in their names)
  error     input (null for an error of the whole command), message

exit codes: 0 success; 1 an input failed or was damaged, the others are finished; 2 wrong options;
130 stopped by Ctrl-C, 143 by SIGTERM
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds all options, including those of the network."""
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
        help="output file, or an output folder (a name without a suffix), e.g. for several inputs",
    )
    parser.add_argument("--format", metavar="SUFFIX", help="format if OUTPUT is a folder: mov (default), webm, ...")
    parser.add_argument("--alpha", metavar="FILE", help="also write the alpha as a grey video or pictures")
    parser.add_argument("--foreground", metavar="FILE", help="also write the foreground colours, over black")
    parser.add_argument(
        "--background",
        metavar="WHAT",
        help="put the person over a colour (white, '#00b140'), a picture, a video, or the blurred source (blur)",
    )
    parser.add_argument("--premultiplied", action="store_true", help="write premultiplied instead of straight colours")
    parser.add_argument(
        "--quality",
        type=_quality,
        metavar="N",
        help="quality of lossy formats (lower is better): crf of .mp4 and .webm (0: lossless), quantiser of .mov",
    )
    parser.add_argument("--preview", metavar="FILE", help="also draw a contact sheet (.png or .jpg)")
    parser.add_argument(
        "--fps", type=_frame_rate, metavar="RATE", help="frame rate of image sequences: 25 (default), 30000/1001"
    )
    parser.add_argument(
        "--hwaccel",
        choices=HWACCELS,
        default="none",
        metavar="DEVICE",
        help="decode H.264, HEVC and VP9 on a device, as in ffmpeg: auto, cuda, videotoolbox, d3d11va, vaapi, or none "
        "(default); falls back to software; experimental: supported, not tested on a device",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the same command after it was stopped (not for .mp4, .apng, .webp and lossy .webm)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument(
        "--json", action="store_true", help="print progress and results as JSON on standard output, see below"
    )
    parser.add_argument("--quiet", action="store_true", help="print only errors")

    matting = parser.add_argument_group("matting")
    matting.add_argument(
        "--downsample",
        type=_ratio,
        default="auto",
        metavar="RATIO",
        help="size of the network's input relative to the frames: auto (default; longest side 512), portrait, "
        "full_body, or a number up to 1; higher values keep finer detail and are slower",
    )
    matting.add_argument(
        "--warm-up",
        type=at_least(0),
        default=WARM_UP,
        metavar="N",
        help=f"frames used to initialise the network's state, for a good first frame (default: {WARM_UP})",
    )
    matting.add_argument(
        "--scene-cut",
        nargs="?",
        type=_threshold,
        const=True,
        metavar="THRESHOLD",
        help="for edited videos: reset the network at every cut (a threshold of 0 to 2; default 0.4)",
    )
    matting.add_argument(
        "--chunk",
        type=at_least(1),
        metavar="N",
        help="frames that the network processes at once (default: depends on the device)",
    )
    add_model_options(parser)


def _number(text: str) -> float:
    """The number, or NaN for other texts, so that every comparison fails."""
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
            f"{text!r} is not a threshold between 0 and 2; put --scene-cut after the inputs to use the default"
        )
    return float(text)
