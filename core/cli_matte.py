"""`rvm-studio matte`: which clips, which outputs, and how they are run one after the other."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import StudioError
from .progress import make_progress

if TYPE_CHECKING:
    from .engines import Engine
    from .video_matting import ClipOptions, ClipReport, Output

VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .mkv .webm .avi .mts .m2ts .ts .mpg .mpeg .wmv .flv .3gp .mxf .ogv".split())  # noqa: SIM905
STILL_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff .avif .heic".split())  # noqa: SIM905
WARM_UP = 12


def add_parser(subparsers) -> None:
    """Add `matte` to the command line's subparsers."""
    parser = subparsers.add_parser(
        "matte",
        help="matte videos, image sequences and pictures",
        description="Matte videos, image sequences and pictures. The suffix of OUTPUT chooses the format: .mov "
        "(ProRes 4444), .webm (VP9), .mkv (FFV1), .png (pictures), .apng, .webp: all with transparency; .mp4 (H.264): "
        "a composite over --background.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, a picture, an image sequence (folder, 'glob*.png' or shot_%%05d.png), or a folder of videos",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUTPUT", help="file to write; with several inputs a folder (see --format)"
    )
    parser.add_argument("--format", metavar="SUFFIX", help="format where OUTPUT is a folder: mov (default), webm, ...")
    parser.add_argument("--alpha", metavar="FILE", help="also write the alpha, as a grey video or pictures")
    parser.add_argument("--foreground", metavar="FILE", help="also write the person's colours without transparency")
    parser.add_argument(
        "--background",
        metavar="WHAT",
        help="composite over a colour (green, '#00b140'), a picture, a video, or the blurred source: blur",
    )
    parser.add_argument("--premultiplied", action="store_true", help="premultiplied instead of straight colours")
    parser.add_argument(
        "--quality",
        type=float,
        metavar="N",
        help="of lossy formats, smaller is better: crf of .mp4 and .webm (0: lossless), quantiser of .mov",
    )
    parser.add_argument("--preview", metavar="FILE", help="also draw a contact sheet (.png)")
    parser.add_argument("--fps", type=_frame_rate, metavar="RATE", help="of image sequences: 25 (default), 30000/1001")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--json", action="store_true", help="progress and results as lines of JSON on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress")

    matting = parser.add_argument_group("matting")
    matting.add_argument(
        "--downsample",
        default="auto",
        metavar="RATIO",
        help="how far the network's picture is reduced: auto (longest side 512), portrait, full_body, or 0.1 to 1",
    )
    matting.add_argument(
        "--warm-up", type=int, default=WARM_UP, metavar="N", help=f"frames replayed before the first ({WARM_UP})"
    )
    matting.add_argument(
        "--scene-cut",
        nargs="?",
        type=float,
        const=True,
        metavar="THRESHOLD",
        help="begin anew at cuts of an edited video",
    )
    matting.add_argument(
        "--chunk", type=int, metavar="N", help="frames through the network at once (default: by device)"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which network, and where it runs."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--variant", choices=("mobilenetv3", "resnet50"), default="mobilenetv3", help="the network's size"
    )
    model.add_argument("--weights", metavar="PATH", help="weights file (default: RVM_WEIGHTS, else fetched)")
    model.add_argument("--mirror", metavar="URL", help="where to fetch weights from instead")
    model.add_argument("--refiner", choices=("auto", "deep", "fast"), default="auto", help="guided filter to full size")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, xpu, mps")
    model.add_argument("--precision", default="auto", help="auto, fp32, fp16, bf16")
    model.add_argument("--threads", type=int, metavar="N", help="CPU threads for the network (default: all cores)")


def run(arguments: argparse.Namespace) -> int:
    """Mattes every input; a failed one does not keep the others from being done."""
    from .background import Background

    jobs = plan(arguments)
    if arguments.background:
        Background(arguments.background)  # refused now rather than in the middle of a batch
    engine = load_engine(arguments)
    exit_code = 0
    with stop_on_signal() as (stop, received):
        for source, outputs, preview in jobs:
            try:
                report = matte_one(source, outputs, engine, arguments, clip_options(arguments, preview), stop)
            except StudioError as error:
                _tell(arguments, {"event": "error", "input": str(source), "message": str(error)})
                print(f"rvm-studio: {error}", file=sys.stderr)
                exit_code = 1
                continue
            if report.damage:
                exit_code = 1
            if report.stopped:
                return 128 + received[0]
    return exit_code


def plan(arguments: argparse.Namespace) -> "list[tuple[str, list[Output], Path | None]]":
    """Every clip with its outputs and its contact sheet's path. Raises StudioError for what does not fit together."""
    sources = [source for text in arguments.inputs for source in _expand(text)]
    if not (arguments.output or arguments.alpha or arguments.foreground):
        raise StudioError("Nothing to write: give -o OUTPUT (or --alpha FILE, --foreground FILE).")
    several = len(sources) > 1
    if several and len(sources) == sum(Path(source).suffix.lower() in STILL_SUFFIXES for source in sources):
        print(
            f"note: {len(sources)} pictures are matted one by one, as photographs. For an image sequence give its "
            "folder, or a pattern in quotes.",
            file=sys.stderr,
        )
    jobs = [_job(source, several, arguments) for source in sources]
    names: dict[Path, str] = {}
    for source, outputs, _ in jobs:
        for output in outputs:
            first = names.setdefault(output.path.resolve(), source)
            if first != source:
                raise StudioError(
                    f"{first} and {source} would both become {output.path}. Matte them into different folders."
                )
    return jobs


def _expand(text: str) -> list[str]:
    """A folder or glob of videos is many inputs; anything else is one (also a sequence's folder, glob or pattern)."""
    path = Path(text)
    if path.is_dir():
        found = sorted(str(child) for child in path.iterdir() if child.suffix.lower() in VIDEO_SUFFIXES)
        return found or [text]
    if any(sign in text for sign in "*?[") and not path.exists():
        found = sorted(name for name in glob(text) if Path(name).suffix.lower() in VIDEO_SUFFIXES)
        return found or [text]
    return [text]


def _job(source: str, several: bool, arguments: argparse.Namespace) -> "tuple[str, list[Output], Path | None]":
    from .output_formats import format_for
    from .video_matting import Output

    outputs = []
    is_still = Path(source).suffix.lower() in STILL_SUFFIXES and "%" not in source and "*" not in source
    if arguments.output:
        usual = arguments.format or ("png" if is_still else "mov")
        path = _place(arguments.output, source, several, "", usual)
        sees_through = format_for(path).carries_alpha and not arguments.background
        outputs.append(Output(path, "matte" if sees_through else "composite"))
    usual = "png" if is_still else "mp4"
    if arguments.alpha:
        outputs.append(Output(_place(arguments.alpha, source, several, "_alpha", usual), "alpha"))
    if arguments.foreground:
        outputs.append(Output(_place(arguments.foreground, source, several, "_foreground", usual), "foreground"))
    for output in outputs:
        format_for(output.path)  # an unknown suffix is found before anything runs
    preview = _place(arguments.preview, source, several, "_sheet", "png") if arguments.preview else None
    return source, outputs, preview


def _place(wanted: str, source: str, several: bool, ending: str, suffix: str) -> Path:
    """The file to write for a source: what was asked for, or a file named after the source in a folder."""
    path = Path(wanted)
    if wanted.endswith(("/", "\\")) or path.is_dir() or not path.suffix:
        stem = Path(source).stem.replace("%", "").replace("*", "") or "matte"
        return path / f"{stem}{ending}.{suffix.lstrip('.')}"
    if several:
        raise StudioError(f"Several inputs cannot all become {wanted}. Give a folder (and --format mov, webm, ...).")
    return path


def load_engine(arguments: argparse.Namespace) -> "Engine":
    """The network with its weights on its device."""
    import torch

    from . import weights
    from .device import choose_device, choose_dtype
    from .engines import EagerEngine

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    refiner = {"auto": "auto", "deep": "deep_guided_filter", "fast": "fast_guided_filter"}[arguments.refiner]
    path = weights.find(arguments.variant, arguments.weights, arguments.mirror)
    return EagerEngine(weights.load_network(path, arguments.variant, refiner), device, dtype)


def clip_options(arguments: argparse.Namespace, preview: Path | None) -> "ClipOptions":
    from .video_matting import ClipOptions

    return ClipOptions(
        background=arguments.background or "green",
        premultiplied=arguments.premultiplied,
        quality=arguments.quality,
        overwrite=arguments.overwrite,
        preview=preview,
        frame_rate=arguments.fps,
    )


def matte_one(
    source: str,
    outputs: "list[Output]",
    engine: "Engine",
    arguments: argparse.Namespace,
    options: "ClipOptions",
    stop: threading.Event,
) -> "ClipReport":
    """Mattes one clip with a session of its own, shows progress, and says what became of it."""
    from .matting_session import MattingSession
    from .video_matting import matte_clip

    session = MattingSession(
        engine,
        downsample_ratio=arguments.downsample,
        chunk=arguments.chunk or "auto",
        warm_up=arguments.warm_up,
        scene_cut=arguments.scene_cut,
    )
    style = "json" if arguments.json else "none" if arguments.quiet else "auto"
    with make_progress(style, Path(source).name) as progress:
        report = matte_clip(source, outputs, session, options, on_progress=progress, stop=stop)
    _tell(
        arguments,
        {
            "event": "stopped" if report.stopped else "done",
            "input": str(report.source),
            "outputs": [str(path) for path in report.outputs],
            "frames": report.frames,
            "seconds": round(report.seconds, 3),
            "fps": round(report.frames_per_second, 3),
            "notes": report.notes,
            "damage": report.damage,
        },
    )
    if not arguments.json:
        _print_report(report)
    return report


def _print_report(report: "ClipReport") -> None:
    what = "stopped after" if report.stopped else "matted"
    print(
        f"{report.source}: {what} {report.frames} frames in {report.seconds:.1f} s ({report.frames_per_second:.1f} fps)"
    )
    for path in report.outputs:
        print(f"  {path}")
    for note in report.notes:
        print(f"  note: {note}")
    for line in report.damage:
        print(f"  damaged input: {line}", file=sys.stderr)


def _tell(arguments: argparse.Namespace, event: dict) -> None:
    if arguments.json:
        print(json.dumps(event), flush=True)


@contextmanager
def stop_on_signal() -> Iterator[tuple[threading.Event, list[int]]]:
    """Ctrl-C and SIGTERM set the event, so that files are finished; a second one ends at once.

    Gives the event and the list that receives the signal's number.
    """
    stop, received = threading.Event(), []

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        received.append(number)
        stop.set()
        print("\nrvm-studio: stopping, finishing the files (once more: at once) ...", file=sys.stderr)

    signals = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, on_signal) for number in signals]
    try:
        yield stop, received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _frame_rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate; use 25, 23.976 or 30000/1001")
    return rate
