"""`rvm-studio eval`: measures mattes against the ground truth."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StudioError
from ..evaluation import table as evaluation_table
from ..machine.whole_file import whole_file
from .errors import report_failure
from .model_options import add_model_options, load_engine
from .progress import make_progress
from .stop_signals import stop_on_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evaluation.clips import Clip, Score

FORMATS = ("text", "csv", "markdown")
_FORMAT_OF_SUFFIX = {".csv": "csv", ".md": "markdown"}

DESCRIPTION = """\
Measure mattes against the ground truth with the paper's metrics. With two folders,
the mattes in PREDICTED are compared with those in TRUE. With TRUE alone, the network
mattes the clips, and its results are compared.

A clip is a folder with pha (the alpha), and optionally fgr (the foreground colours) and
com (the picture to matte): each a folder of .png or .jpg pictures or a video such as
pha.mp4. Clips are found at any depth below TRUE; PREDICTED has the same folders. Two
videos, or two folders of pictures, are compared as alphas."""

EPILOG = """\
examples:
  rvm-studio eval mattes/ truth/                            two trees of clips
  rvm-studio eval mattes/ truth/ --output scores.csv        also write a file
  rvm-studio eval truth/ --weights mine.safetensors         mattes truth/.../com
  rvm-studio eval truth_hd/ --resolution high --downsample 0.25
  rvm-studio eval alpha.mp4 true_alpha.mp4                  two videos of alpha

test clips: python -m rvm_studio.training.evaluation_set --output truth --synthetic 4

the columns, lower is better (a clip's score is the mean over its frames):
{meanings}

exit codes: 0 all clips were evaluated; 1 some failed, the others are in the table; 2 wrong options;
130 stopped by Ctrl-C, 143 by SIGTERM: the finished clips are in the table
"""


def add_parser(subparsers) -> None:
    """Adds `eval` to the command line's subparsers."""
    parser = subparsers.add_parser(
        "eval",
        help="measure mattes, or the network itself, against the ground truth",
        usage="rvm-studio eval [PREDICTED] TRUE [options]",
        description=DESCRIPTION,
        epilog=EPILOG.format(meanings=_meanings("  ")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="PREDICTED and TRUE, or TRUE alone")
    parser.add_argument(
        "--resolution",
        choices=("low", "high"),
        default="low",
        help="the paper's protocol: low (default) for pictures about 512 wide, or high for HD and above: without "
        "conn, and with grad not normalised to the full range",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="format of the table (default: text, or by the suffix of --output: .csv, .md)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table to a file")
    parser.add_argument("--quiet", action="store_true", help="print only the table and errors")
    matting = parser.add_argument_group("matting, with TRUE alone")
    matting.add_argument(
        "--downsample",
        default="auto",
        metavar="RATIO",
        help="as in matte: auto (default; longest side 512, so 1 for the paper's low-resolution clips; the paper uses "
        "0.25 for HD), portrait, full_body, or a number up to 1",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores every clip; continues after one that fails."""
    from ..evaluation.clips import find_clips, score_table
    from ..stream.downsample_ratio import choose_downsample_ratio

    if len(arguments.folders) > 2:
        raise StudioError(f"{len(arguments.folders)} folders were given. Expected PREDICTED and TRUE, or TRUE alone.")
    *pred, true = arguments.folders
    if pred and (arguments.weights or arguments.downsample != "auto"):
        raise StudioError("PREDICTED contains finished mattes: omit --weights and --downsample, or PREDICTED.")
    choose_downsample_ratio(arguments.downsample, 4096, 4096)  # a wrong value is refused here, once
    _refuse_output(arguments.output)
    clips = find_clips(true, pred[0] if pred else None)
    score = _scorer(arguments, matted=not pred)
    scores: list[Score] = []
    failures: list[tuple[str, Exception]] = []
    with stop_on_signal() as (stop, received):
        for clip in clips:
            if stop.is_set():
                break
            try:
                found = score(clip, stop.is_set)
            except BrokenPipeError:
                raise
            except Exception as error:
                failures.append((clip.name, error))
                continue
            if found is not None:
                scores.append(found)
    output: Path | None = arguments.output
    header, rows = score_table(scores, len(clips))
    wanted = arguments.format or (_FORMAT_OF_SUFFIX.get(output.suffix.lower(), "text") if output else "text")
    if scores:
        print(_formatted("text" if output else wanted, header, rows), end="", flush=True)
    for name, error in failures:
        report_failure(_of_clip(name, error), as_json=False)
    if pred and not arguments.quiet:
        _note_surplus(clips, pred[0], true)
    if scores and output:  # last, so that a full disk does not suppress the printed table and errors
        _write(output, _formatted(wanted, header, rows))
    if received:
        return 128 + received[0]
    return 1 if failures else 0


def _scorer(arguments: argparse.Namespace, matted: bool) -> "Callable[[Clip, Callable[[], bool]], Score | None]":
    """A function that scores a clip, or returns None if it was stopped."""
    import torch

    from ..evaluation.clips import score_clip
    from ..machine.device import choose_device
    from ..stream.session import MattingSession, Stopped

    engine = load_engine(arguments) if matted else None
    if engine is None and arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = engine.device if engine else choose_device(arguments.device)
    style = "none" if arguments.quiet else "auto"

    def score(clip: "Clip", stopped: "Callable[[], bool]") -> "Score | None":
        session: MattingSession | None = None
        if engine is not None:
            session = MattingSession(engine, downsample_ratio=arguments.downsample, stopped=stopped)
        with make_progress(style, clip.name) as progress:
            try:
                return score_clip(clip, arguments.resolution == "high", device, session, progress, stopped)
            except Stopped:
                return None

    return score


def _write(output: Path, content: str) -> None:
    try:
        with whole_file(output) as partial:
            partial.write_text(content, encoding="utf-8", newline="")
    except OSError as error:
        raise StudioError(f"The table cannot be written to {output} ({error}). Check the folder.") from error


def _formatted(form: str, header: list[str], rows: list[list[object]]) -> str:
    if form == "csv":
        return evaluation_table.comma_separated(header, rows)
    if form == "markdown":
        return evaluation_table.markdown(header, rows) + "\n"
    return evaluation_table.text(header, rows) + "\n"


def _refuse_output(output: Path | None) -> None:
    """Refuses an output that cannot be written before the work instead of after it."""
    if output is None:
        return
    if output.is_dir():
        raise StudioError(f"--output {output} is a folder. Expected a file to write, such as {output / 'scores.csv'}.")
    if not output.absolute().parent.is_dir():
        raise StudioError(f"The folder of --output {output} does not exist. Create it first.")


def _of_clip(name: str, error: Exception) -> Exception:
    return StudioError(f"{name}: {error}") if isinstance(error, (StudioError, OSError)) else error


def _note_surplus(clips: "list[Clip]", pred: str, true: str) -> None:
    from ..evaluation.clips import surplus_clips

    surplus = surplus_clips(clips, pred)
    if surplus:
        names = ", ".join(surplus[:3]) + (", ..." if len(surplus) > 3 else "")
        print(f"note: {true} lacks {len(surplus)} clips of {pred}, which are ignored: {names}", file=sys.stderr)


def _meanings(indent: str) -> str:
    width = max(map(len, evaluation_table.MEANINGS))
    return "\n".join(f"{indent}{name:<{width}}  {meaning}" for name, meaning in evaluation_table.MEANINGS.items())
