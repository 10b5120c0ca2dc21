"""`rvm-studio matte`: which clips, which outputs, and how they are run one after the other."""

import argparse
import json
import logging
import re
import sys
import threading
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .cli_errors import report_failure
from .cli_matte_options import DESCRIPTION, EPILOG, add_options
from .cli_model import load_engine
from .errors import StudioError
from .picture_sequence import VIDEO_SUFFIXES, is_picture
from .process_tuning import loading
from .progress import make_progress
from .stop_signals import stop_on_signal

if TYPE_CHECKING:
    from .engines import Engine
    from .video_matting import ClipReport, Output

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

log = logging.getLogger(__name__)


def add_parser(subparsers) -> None:
    """Add `matte` to the command line's subparsers."""
    parser = subparsers.add_parser(
        "matte",
        help="cut the person out of videos, image sequences and pictures",
        usage="rvm-studio matte INPUT [INPUT ...] -o OUTPUT [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


class Job(NamedTuple):
    """A clip and what is made of it."""

    source: str
    outputs: "list[Output]"
    preview: Path | None  # of the contact sheet


def run(arguments: argparse.Namespace) -> int:
    """Mattes every input; a failed one does not keep the others from being done."""
    with loading():
        from .background import Background

        jobs = plan(arguments)
        if arguments.background is not None:
            Background(arguments.background).close()  # refused now rather than in the middle of a batch
        engine = load_engine(arguments)
    exit_code = 0
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


def plan(arguments: argparse.Namespace) -> list[Job]:
    """Every clip with its outputs. Raises StudioError for what does not fit together."""
    if not (arguments.output or arguments.alpha or arguments.foreground):
        raise StudioError("nothing to write: give -o OUTPUT (or --alpha FILE, --foreground FILE).")
    sources = list(dict.fromkeys(source for text in arguments.inputs for source in _expand(text)))
    several = len(sources) > 1
    if several and all(_is_still(source) for source in sources):
        log.warning(
            "%d pictures are matted one by one, as photographs. For an image sequence give its folder, or a pattern "
            "in quotes.",
            len(sources),
        )
    jobs = [_job(source, several, arguments) for source in sources]
    over = {output.path.suffix for job in jobs for output in job.outputs if output.kind == "composite"}
    if over and not arguments.background:
        log.warning("%s has no transparency: the person is put over green (see --background)", ", ".join(sorted(over)))
    names: dict[Path, str] = {}
    for job in jobs:
        for output in job.outputs:
            first = names.setdefault(output.path.resolve(), job.source)
            if first != job.source:
                raise StudioError(
                    f"{first} and {job.source} would both become {output.path}. Matte them into different folders."
                )
    return jobs


def _expand(text: str) -> list[str]:
    """A folder or glob of videos is many inputs; anything else is one (also a sequence's folder, glob or pattern)."""
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif any(sign in text for sign in "*?[") and not path.exists():
        found = [Path(name) for name in glob(text)]
    else:
        return [text]
    # without hidden files (macOS puts a ._clip.mp4 beside clip.mp4) and what a stopped run has left
    pictures = sum(is_picture(p) for p in found)
    videos = [p for p in found if p.suffix.lower() in VIDEO_SUFFIXES and not re.match(r"\.|.*\.partial\.", p.name)]
    if videos and pictures:
        log.warning("%s: its %d videos are matted, its %d pictures are left out", text, len(videos), pictures)
    return sorted(map(str, videos)) or [text]


def _is_still(source: str) -> bool:
    return is_picture(Path(source)) and Path(source).is_file()


def _job(source: str, several: bool, arguments: argparse.Namespace) -> Job:
    from .output_formats import format_for
    from .video_matting import Output

    still = _is_still(source)
    outputs = []
    if arguments.output:
        path = _place(arguments.output, source, several, "", arguments.format or ("png" if still else "mov"))
        if arguments.format and path.suffix.lower() != f".{arguments.format.lower().lstrip('.')}":
            raise StudioError(f"{path} and --format {arguments.format} contradict each other: leave one out.")
        sees_through = format_for(path).carries_alpha
        outputs.append(Output(path, "matte" if sees_through and not arguments.background else "composite"))
    usual = "png" if still else "mp4"
    if arguments.alpha:
        outputs.append(Output(_place(arguments.alpha, source, several, "_alpha", usual), "alpha"))
    if arguments.foreground:
        outputs.append(Output(_place(arguments.foreground, source, several, "_foreground", usual), "foreground"))
    for output in outputs:
        format_for(output.path)  # an unknown suffix is found before anything runs
    preview = _place(arguments.preview, source, several, "_sheet", "png") if arguments.preview else None
    if preview and preview.suffix.lower() not in SHEET_SUFFIXES:
        raise StudioError(f"The contact sheet {preview} is a picture: name it {' or '.join(SHEET_SUFFIXES)}.")
    return Job(source, outputs, preview)


def _place(wanted: str, source: str, several: bool, ending: str, suffix: str) -> Path:
    """The file to write for a source: what was asked for, or a file named after the source in a folder."""
    path = Path(wanted)
    if wanted.endswith(("/", "\\")) or path.is_dir() or not path.suffix:
        clip = Path(source)
        name = clip.resolve().name if clip.is_dir() else clip.stem
        name = re.sub(r"%\d*d", "", name)  # in the name of an output it would mean a sequence
        if not clip.exists():  # a glob or pattern
            name = re.sub(r"[*?\[\]]", "", name).strip(" _-.")
        name = name or clip.parent.name or "matte"
        return path / f"{name}{ending}.{suffix.lstrip('.')}"
    if several:
        raise StudioError(f"Several inputs cannot all become {wanted}. Give a folder (and --format mov, webm, ...).")
    return path


def matte_one(job: Job, engine: "Engine", arguments: argparse.Namespace, stop: threading.Event) -> "ClipReport":
    """Mattes one clip with a session of its own, shows progress, and says what became of it."""
    from .matting_session import MattingSession
    from .video_matting import ClipOptions, matte_clip

    session = MattingSession(
        engine,
        downsample_ratio=arguments.downsample,
        chunk=arguments.chunk or "auto",
        warm_up=arguments.warm_up,
        scene_cut=arguments.scene_cut,
    )
    options = ClipOptions(
        background=arguments.background or ClipOptions.background,
        premultiplied=arguments.premultiplied,
        quality=arguments.quality,
        overwrite=arguments.overwrite,
        preview=job.preview,
        frame_rate=arguments.fps,
        resume=arguments.resume,
        hwaccel=arguments.hwaccel,
    )
    style = "json" if arguments.json else "none" if arguments.quiet else "auto"
    with make_progress(style, job.source if arguments.json else Path(job.source).name) as progress:
        report = matte_clip(job.source, job.outputs, session, options, on_progress=progress, stopped=stop.is_set)
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
        print(f"rvm-studio: {job.source} is damaged ({places}{more}). What could be read is matted.", file=sys.stderr)
    return report


def print_report(report: "ClipReport") -> None:
    """What became of a clip, for people: the paths are the lines to copy."""
    what = "stopped after" if report.stopped else "matted"
    frames = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    print(f"{report.source}: {what} {frames} in {report.seconds:.1f} s ({report.frames_per_second:.1f} fps)")
    for path in report.outputs:
        print(f"  {path}")
    for note in report.notes:
        print(f"  note: {note}")
    sys.stdout.flush()
