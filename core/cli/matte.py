"""`rvm-studio matte`: finds clips and outputs, and mattes one clip after the other."""

import argparse
import json
import logging
import re
import sys
import threading
from fractions import Fraction
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..clips.outputs import OutputPaths, is_composite, is_still, place_outputs
from ..errors import StudioError
from ..machine.given_path import given_path
from ..machine.process_tuning import loading
from ..video.picture_sequence import VIDEO_SUFFIXES, is_picture
from .errors import report_failure
from .hints import matte_command
from .matte_options import DESCRIPTION, EPILOG, add_options, keywords
from .model_options import load_engine
from .option_parsing import Frames
from .progress import make_progress
from .stop_signals import stop_on_signal

if TYPE_CHECKING:
    from ..clips.matte_clip import ClipReport
    from ..engines import Engine

log = logging.getLogger(__name__)


def add_parser(subparsers) -> None:
    """Adds `matte` to the command line's subparsers."""
    parser = subparsers.add_parser(
        "matte",
        help="cut the person out of videos, image sequences and pictures",
        usage="rvm-studio matte INPUT [INPUT ...] -o OUTPUT [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,  # it is in the last group
    )
    add_options(parser)
    parser.set_defaults(run=run)


class Job(NamedTuple):
    """A clip and its outputs."""

    source: str
    paths: OutputPaths


def run(arguments: argparse.Namespace) -> int:
    """Mattes every input; continues after one that fails."""
    with loading():
        # missing inputs are reported before anything is loaded, which takes seconds
        sources, failed = find_sources(arguments)
        jobs = plan(arguments, sources, several=len(sources) + failed > 1)
        exit_code = 1 if failed else 0
        if not jobs:
            return exit_code
        if arguments.background is not None:
            from ..clips.background import Background

            Background(arguments.background).close()  # fails now instead of in the middle of a batch
        engine = load_engine(arguments)
    with stop_on_signal() as (stop, received):
        for job in jobs:
            if stop.is_set():  # between two clips
                return 128 + received[0]
            try:
                report = matte_one(job, engine, arguments, stop)
            except BrokenPipeError:
                raise
            except Exception as error:
                report_failure(error, arguments.json, job.source)
                exit_code = 1
                continue
            if report.damage:
                exit_code = 1
            if report.stopped:
                return 128 + received[0]
    return exit_code


def find_sources(arguments: argparse.Namespace) -> tuple[list[str], int]:
    """The clips that the inputs denote, and the number of unreadable inputs, which are reported here. Raises
    StudioError if there is no output.
    """
    if not (arguments.output or arguments.alpha or arguments.foreground):
        raise StudioError(
            "nothing to write: give -o OUTPUT (or --alpha FILE, --foreground FILE). Did you mean "
            f"`{matte_command(arguments.inputs)}`?"
        )
    from ..video.reader import check_source

    sources, failed = [], 0
    for text in dict.fromkeys(arguments.inputs):
        try:
            given_path(text)  # before a URL is treated as a glob
            found = _expand(text)
            if found == [text]:
                check_source(text)
        except StudioError as error:
            report_failure(error, arguments.json, text)
            failed += 1
            continue
        sources += found
    return list(dict.fromkeys(sources)), failed


def plan(arguments: argparse.Namespace, sources: list[str], several: bool) -> list[Job]:
    """All clips with their outputs. several: whether there were several inputs, including unreadable ones. Raises
    StudioError for options that contradict each other."""
    if len(sources) > 1 and all(is_still(source) for source in sources):
        log.warning(
            "%d pictures are matted separately, as photographs. For an image sequence, give its folder or a quoted "
            "pattern.",
            len(sources),
        )
    jobs = [
        Job(
            source,
            place_outputs(
                source,
                arguments.output,
                arguments.alpha,
                arguments.foreground,
                arguments.preview,
                format=arguments.format,
                several=several,
                codec=arguments.codec,
            ),
        )
        for source in sources
    ]
    codec = arguments.codec
    over = {path.suffix for job in jobs for path in job.paths.output if is_composite(path, False, codec)}
    if over and not arguments.background:
        what = f"{', '.join(sorted(over))}{f' with {codec}' if codec else ''}"
        log.warning("%s has no transparency: the background will be green (see --background)", what)
    names: dict[Path, str] = {}
    for job in jobs:
        for path in job.paths.files():
            first = names.setdefault(path.resolve(), job.source)
            if first != job.source:
                raise StudioError(
                    f"{first} and {job.source} would both be written to {path}. Use different output folders."
                )
    return jobs


def span(arguments: argparse.Namespace, source: str) -> dict[str, Any]:
    """The part of the clip to matte, as keywords of `rvm_studio.matte`. Raises StudioError for an end that is not after
    the start."""
    if arguments.start is None and arguments.end is None:
        return {}
    start, end = (_seconds(time, source, arguments.fps) for time in (arguments.start or Fraction(0), arguments.end))
    assert start is not None
    if end is None:
        return {"start": start}
    if end <= start:
        raise StudioError(f"The end {float(end):g} s is not after the start {float(start):g} s.")
    return {"start": start, "duration": end - start}


def _seconds(time: Fraction | Frames | None, source: str, frame_rate: Fraction | None) -> Fraction | None:
    if not isinstance(time, Frames):
        return time
    from ..video.reader import open_reader

    with open_reader(source, frame_rate) as reader:
        return time.number / reader.info.frame_rate


def _expand(text: str) -> list[str]:
    """The inputs that a text denotes: several for a folder or glob of videos, else one, even for an image sequence."""
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif any(sign in text for sign in "*?[") and not path.exists():
        found = [Path(name) for name in glob(text)]
    else:
        return [text]
    # without hidden files (macOS puts ._clip.mp4 beside clip.mp4) and partial outputs
    pictures = sum(is_picture(p) for p in found)
    videos = [p for p in found if p.suffix.lower() in VIDEO_SUFFIXES and not re.match(r"\.|.*\.partial\.", p.name)]
    if videos and pictures:
        log.warning("%s: its %d videos are matted, its %d pictures are ignored", text, len(videos), pictures)
    return sorted(map(str, videos)) or [text]


def matte_one(job: Job, engine: "Engine", arguments: argparse.Namespace, stop: threading.Event) -> "ClipReport":
    """Mattes one clip in its own session, shows the progress, and prints the result."""
    from ..clips.matte_file import matte

    style = "json" if arguments.json else "none" if arguments.quiet else "auto"
    with make_progress(style, job.source if arguments.json else Path(job.source).name) as progress:
        report = matte(
            job.source,
            **job.paths._asdict(),
            **keywords(arguments),
            **span(arguments, job.source),
            engine=engine,
            progress=progress,
            stopped=stop.is_set,
        )
    if arguments.json:
        event = {
            "event": "stopped" if report.stopped else "done",
            "input": job.source,
            "outputs": [str(path) for path in report.outputs],
            "frames": report.frames,
            "seconds": round(report.seconds, 3),
            "fps": round(report.frames_per_second, 3),
            "notes": report.notes,
            "damage": report.damage,
        }
        print(json.dumps(event), flush=True)
    elif not arguments.quiet:
        print_report(report)
    if report.damage:
        places = "; ".join(report.damage[:3])
        more = f"; and {len(report.damage) - 3} more" if len(report.damage) > 3 else ""
        print(f"rvm-studio: {job.source} is damaged ({places}{more}). The readable part was matted.", file=sys.stderr)
    return report


def print_report(report: "ClipReport") -> None:
    """Prints the result for one clip, with each path on its own line for copying."""
    what = "stopped after" if report.stopped else "matted"
    frames = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    print(f"{report.source}: {what} {frames} in {report.seconds:.1f} s ({report.frames_per_second:.1f} fps)")
    for path in report.outputs:
        print(f"  {path}")
    for note in report.notes:
        print(f"  note: {note}")
    if report.resumable:
        print("  to continue: run the same command with --resume")
    sys.stdout.flush()
