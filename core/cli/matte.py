"""`rvm-studio matte`: finds clips and outputs, and mattes one clip after the other."""

import argparse
import contextlib
import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..clips.name_check import JobNames, refuse_overlap
from ..clips.outputs import OutputPaths, is_composite, place_outputs
from ..clips.programs import format_for_program
from ..clips.spool import spooled
from ..errors import StudioError
from ..machine.given_path import given_path
from ..machine.output_claim import refuse_held
from ..machine.process_tuning import loading
from ..video.output_formats import STANDARD_OUTPUT
from ..video.partial_output import partial_path, pattern_of
from . import watch
from .clip_process import NoEngineError, WorkElsewhere
from .clip_work import WorkHere, load_all, network_of
from .errors import report_failure
from .inputs import Source, find_sources, is_wanted, outputs_of, refuse_no_output, refuse_stdout, within
from .matte_options import DESCRIPTION, EPILOG, add_options, request_for
from .model_options import load_engine
from .progress import make_progress
from .safe_text import safe_name, safe_text
from .stop_signals import stop_on_signal
from .watch import FolderWatch

if TYPE_CHECKING:
    from ..clips.options import ClipReport

    Work = WorkHere | WorkElsewhere

STOPPED = -1  # instead of an exit code

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
    parser.set_defaults(run=run, misused=parser.error)


class Job(NamedTuple):
    """A clip and its outputs."""

    source: Source
    paths: OutputPaths


def run(arguments: argparse.Namespace) -> int:
    """Mattes every input; continues after one that fails."""
    if arguments.watch:
        return run_watch(arguments)
    if arguments.output == "-":
        return run_to_stdout(arguments)
    if not arguments.inputs:
        arguments.misused("the following arguments are required: INPUT")
    with loading():
        # missing inputs are reported before anything is loaded, which takes seconds
        sources, failed = find_sources(arguments)
        jobs = plan(arguments, sources, several=len(sources) + failed > 1)
        if not jobs:
            return 1
        work = start_work(arguments, jobs)
    with contextlib.closing(work):
        code = matte_all(jobs, work, arguments)
    return code or (1 if failed else 0)


def run_to_stdout(arguments: argparse.Namespace) -> int:
    """Mattes one clip into standard output; what is printed goes to standard error."""
    refuse_stdout(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        sources, failed = find_sources(arguments)
        if failed:
            return 1
        if len(sources) != 1:
            raise StudioError(f"{len(sources)} clips cannot all go to standard output: give one, or an output folder.")
        jobs = [Job(sources[0], place(arguments, sources[0], several=False))]
        return matte_all(jobs, start_work(arguments, jobs), arguments)


def start_work(arguments: argparse.Namespace, jobs: list[Job] | None) -> "Work":
    """What mattes the clips: a batch in a process of its own, a single clip here. jobs: None if they come later."""
    load = functools.partial(load_engine, network_of(arguments))
    if jobs is None or in_own_process(jobs):
        return WorkElsewhere(load, arguments.background)
    return WorkHere(load_all(load, arguments.background))


def in_own_process(jobs: list[Job]) -> bool:
    """Whether a crash must not end everything. The other process makes a start slower, so not for a single clip."""
    return len(jobs) > 1


def matte_all(jobs: list[Job], work: "Work", arguments: argparse.Namespace) -> int:
    """Mattes one clip after the other and returns the exit code. Raises NoEngineError."""
    exit_code = 0
    with stop_on_signal() as (stop, received):
        for job in jobs:
            if stop.is_set():  # between two clips
                return 128 + received[0]
            exit_code = attempt(job, work, arguments, stop) or exit_code
            if exit_code == STOPPED:
                return 128 + received[0]
    return exit_code


def attempt(job: Job, work: "Work", arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Mattes one clip and reports what goes wrong. Returns 0; 1 if it failed or is damaged; STOPPED if a signal ended
    it. Raises NoEngineError."""
    try:
        report = matte_one(job, work, arguments, stop)
    except (BrokenPipeError, NoEngineError):
        raise
    except Exception as error:
        if stop.is_set() and job.source.spooled:  # what had come of it by then is not a clip
            return STOPPED
        report_failure(error, arguments.json, job.source.text)
        return 1
    return STOPPED if report.stopped else 1 if report.damage else 0


def run_watch(arguments: argparse.Namespace) -> int:
    """Mattes the clips of a folder and those that come, until a signal."""
    refuse_no_output(arguments)
    if arguments.inputs:
        raise StudioError("--watch takes the place of INPUT: leave one of them out.")
    folder = given_path(arguments.watch)
    if not folder.is_dir():
        raise StudioError(f"The folder to watch, {folder}, does not exist.")
    if any(path.resolve() == folder.resolve() for path in outputs_of(arguments)):
        raise StudioError(
            "The outputs would lie in the watched folder, where they would count as new clips: give another folder, "
            f"such as {folder / 'cut'}."
        )
    place(arguments, Source("clip"), several=True)  # raises if the outputs are not folders
    found = FolderWatch(folder, is_wanted(arguments.photos), arguments.recursive, outputs_of(arguments))
    with contextlib.closing(start_work(arguments, None)) as work, stop_on_signal() as (stop, received):
        log.info("%s is watched for new %s until Ctrl-C", folder, "pictures" if arguments.photos else "videos")
        while not stop.is_set():
            for path in found.look(time.monotonic()):
                source = Source(str(path), within(path, folder))
                if stop.is_set() or is_done(job := Job(source, place(arguments, source, several=True)), arguments):
                    continue
                attempt(job, work, arguments, stop)
            stop.wait(watch.LOOK)
    return 128 + received[0]


def is_done(job: Job, arguments: argparse.Namespace) -> bool:
    """Whether a watched clip is skipped because its outputs are there, which a note says."""
    if arguments.overwrite or not all(path.exists() or pattern_of(path).parent.is_dir() for path in job.paths.files()):
        return False
    log.warning("%s is skipped: its output exists already (--overwrite replaces it)", job.source.text)
    return True


def plan(arguments: argparse.Namespace, sources: list[Source], several: bool) -> list[Job]:
    """All clips with their outputs. several: whether there were several inputs, including unreadable ones. Raises
    StudioError for options that contradict each other."""
    if len(sources) > 1 and not arguments.photos and all(source.is_still for source in sources):
        log.warning(
            "%d pictures are matted separately, as photographs. For an image sequence, give its folder or a quoted "
            "pattern.",
            len(sources),
        )
    jobs = [Job(source, place(arguments, source, several)) for source in sources]
    codec = arguments.codec
    over = {path.suffix for job in jobs for path in job.paths.output if is_composite(path, False, codec)}
    if over and not arguments.background:
        what = f"{', '.join(sorted(over))}{f' with {codec}' if codec else ''}"
        log.warning("%s has no transparency: the background will be green (see --background)", what)
    background = Path(arguments.background) if arguments.background else None
    refuse_overlap(
        JobNames(Path(job.source.text), tuple(job.paths.files()), job.paths.preview, background) for job in jobs
    )
    for job in jobs:
        for path in job.paths.files():
            refuse_held(path, partial_path(path))  # now, instead of after PyTorch was loaded
    return jobs


def place(arguments: argparse.Namespace, source: Source, several: bool) -> OutputPaths:
    """The outputs of a source."""
    still = source.is_still
    return place_outputs(
        source.name,
        STANDARD_OUTPUT if arguments.output == "-" else arguments.output,
        arguments.alpha,
        arguments.foreground,
        arguments.preview,
        format=format_for_program(arguments.program, arguments.format, still),
        several=several,
        suffix=arguments.suffix or "",
        below=source.within,
        still=still,
        codec=arguments.codec,
    )


@contextlib.contextmanager
def readable(source: Source, arguments: argparse.Namespace, stop: threading.Event) -> Iterator[str]:
    """A context that gives the path that is read for a source. Errors about a temporary file name the source."""
    if not source.spooled:
        yield source.text
        return
    with spooled(source.text, progress=not arguments.quiet, stopped=stop.is_set) as path:
        try:
            yield str(path)
        except StudioError as error:
            error.message = error.message.replace(str(path), source.text)
            raise


def matte_one(job: Job, work: "Work", arguments: argparse.Namespace, stop: threading.Event) -> "ClipReport":
    """Mattes one clip in its own session, shows the progress, and prints the result."""
    source = job.source.text
    style = "json" if arguments.json else "none" if arguments.quiet else "auto"
    with (
        readable(job.source, arguments, stop) as path,
        make_progress(style, source if arguments.json else Path(source).name) as progress,
    ):
        report = work.matte(request_for(arguments, path, job.paths), progress, stop)
    if arguments.json:
        event = {
            "event": "stopped" if report.stopped else "done",
            "input": source,
            "outputs": [str(path) for path in report.outputs],
            "frames": report.frames,
            "seconds": round(report.seconds, 3),
            "fps": round(report.frames_per_second, 3),
            "notes": report.notes,
            "damage": report.damage,
        }
        print(json.dumps(event), flush=True)
    elif not arguments.quiet:
        print_report(report, source)
    if report.damage:
        places = "; ".join(report.damage[:3])
        more = f"; and {len(report.damage) - 3} more" if len(report.damage) > 3 else ""
        text = safe_text(f"rvm-studio: {source} is damaged ({places}{more}). The readable part was matted.")
        print(text, file=sys.stderr)
    return report


def print_report(report: "ClipReport", source: str = "") -> None:
    """Prints the result for one clip, with each path on its own line for copying. source: its name."""
    what = "stopped after" if report.stopped else "matted"
    frames = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    speed = f"{report.seconds:.1f} s ({report.frames_per_second:.1f} fps)"
    print(f"{safe_name(str(source or report.source))}: {what} {frames} in {speed}")
    for path in report.outputs:
        print(f"  {safe_name(str(path))}")
    for note in report.notes:
        print(f"  note: {safe_text(note)}")
    if report.resumable:
        print("  to continue: run the same command with --resume")
    sys.stdout.flush()
