"""Scores mattes against the ground truth with the official protocol: mattes in folders, or a network's results.

A clip is a folder with `pha`, and optionally `fgr` and `com`, the composite that is matted: each a folder of pictures
or a video file such as pha.mp4. A clip's score is the mean over its frames; the overall score is the mean over the
clips.
"""

# T frames, C channels, H, W

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import StudioError
from ..pictures.pixel_format import frames_from_pictures, quantise, to_float
from ..stream.session import MattingSession, Stopped
from ..video.frame_reader import FrameReader
from ..video.picture_sequence import VIDEO_SUFFIXES, find_pictures
from ..video.reader import open_reader
from .metrics import MetricAccumulator

PARTS = ("pha", "fgr", "com")
_CHUNK_PIXELS = {"cpu": 2**21, "cuda": 2**24}  # processed at once: limits the memory without changing any value
_JPEG_END = b"\xff\xd9"
_SHOWN = 3  # names in a message


class Clip(NamedTuple):
    """A clip to be scored.

    name: its folder relative to the true root, with slashes. dataset: the first folder of that path, "" if it is the
    only one. true, pred: the existing `PARTS`, each a folder of pictures or a video; pred is empty if the predicted
    root lacks the clip.
    """

    name: str
    dataset: str
    true: dict[str, Path]
    pred: dict[str, Path]
    pred_folder: Path | None = None


class Score(NamedTuple):
    """A clip's metrics by name, in the units of core.evaluation.metrics."""

    clip: Clip
    frames: int
    metrics: dict[str, float]


def find_clips(true_root: str | Path, pred_root: str | Path | None = None) -> list[Clip]:
    """All clips at or below true_root, sorted by name, each with its counterpart at the same relative path of
    pred_root. Two plain folders of pictures, or two videos, are also a clip: their alpha.

    Names that begin with a dot and partial outputs (.partial) are skipped. Raises StudioError if a root does not exist
    or the true one contains no clip.
    """
    true_root, pred_root = Path(true_root), None if pred_root is None else Path(pred_root)
    for root in (true_root, pred_root):
        if root is not None and not root.exists():
            raise StudioError(f"{root} does not exist. Expected a folder of clips: check the path.")
    folders = list(_folders_with_pha(true_root))
    if not folders:
        if pred_root is not None and _is_frames(true_root) and _is_frames(pred_root):
            return [Clip(true_root.stem, "", {"pha": true_root}, {"pha": pred_root}, pred_root)]
        raise StudioError(
            f"{true_root} contains no clip. Expected, at any depth, folders that contain a folder pha of pictures (or "
            "a video such as pha.mp4)."
        )
    clips = []
    for folder in folders:
        path = folder.relative_to(true_root)
        name = path.as_posix() if path.parts else true_root.resolve().name
        pred_folder = None if pred_root is None else pred_root / path
        pred = parts_of(pred_folder) if pred_folder else {}
        clips.append(Clip(name, path.parts[0] if len(path.parts) > 1 else "", parts_of(folder), pred, pred_folder))
    return clips


def parts_of(folder: Path) -> dict[str, Path]:
    """The PARTS in a clip's folder. A folder takes precedence over a video of the same name."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        is_video = entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()
        if entry.stem in PARTS and (is_video or (entry.is_dir() and not entry.suffix)):
            found.setdefault(entry.stem, entry)
    return found


def score_clip(
    clip: Clip,
    high_resolution: bool = False,
    device: torch.device | str = "cpu",
    session: MattingSession | None = None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Score:
    """The clip's score: of its predicted pictures, or of a new `session`'s results for its `com`, rounded to 8 bits as
    in files.

    device: where the metrics are computed. Foregrounds are compared where both sides have one. Raises StudioError if
    something is missing, damaged, or differs in size or number of frames; raises Stopped when `stopped` returns True.
    """
    paths = _paths(clip, matted=session is not None)
    for path in paths.values():
        for picture in (find_pictures(path) or ()) if path.is_dir() else ():
            refuse_cut_picture(picture.path)
    metrics = MetricAccumulator(high_resolution)
    with ExitStack() as stack:
        readers = {name: stack.enter_context(open_reader(path)) for name, path in paths.items()}
        _refuse_misfits(readers)
        info = readers["true pha"].info
        pixels = _CHUNK_PIXELS.get(torch.device(device).type, _CHUNK_PIXELS["cpu"])
        for chunk in _in_step(readers, max(1, pixels // (info.height * info.width))):
            if stopped():
                raise Stopped
            if session is not None:
                chunk = chunk | _matted(session, chunk.pop("com"), "true fgr" in chunk, clip, device)
            found = {name: frames.to(device) for name, frames in chunk.items()}
            metrics.update(
                found["predicted pha"][:, :1],
                found["true pha"][:, :1],
                found.get("predicted fgr"),
                found.get("true fgr"),
            )
            on_progress(metrics.frame_count, info.frame_count)
    return Score(clip, metrics.frame_count, metrics.result())


def score_table(scores: Sequence[Score], clips: int) -> tuple[list[str], list[list[object]]]:
    """Header and rows of a table: every clip, the mean of each data set if there are several, and the mean of all.

    clips: the number of clips to be evaluated, shown if not all have a score. Means are over the clips that have the
    metric, since some may have no foreground.
    """
    names = list(dict.fromkeys(name for score in scores for name in score.metrics))
    rows: list[list[object]] = []
    for score in scores:
        rows.append([score.clip.name, score.frames, *(score.metrics.get(name) for name in names)])
    datasets = list(dict.fromkeys(score.clip.dataset for score in scores))
    groups = [(f"{dataset or 'others'}: mean of", dataset) for dataset in datasets] if len(datasets) > 1 else []
    for title, dataset in [*groups, ("mean of", None)]:
        members = [score for score in scores if dataset is None or score.clip.dataset == dataset]
        count = f"{len(members)} clip{'' if len(members) == 1 else 's'}"
        if dataset is None and len(members) < clips:
            count = f"{len(members)} of {clips} clips"
        means = []
        for name in names:
            values = [score.metrics[name] for score in members if name in score.metrics]
            means.append(sum(values) / len(values) if values else None)
        rows.append([f"{title} {count}", sum(score.frames for score in members), *means])
    return ["clip", "frames", *names], rows


def surplus_clips(clips: Iterable[Clip], pred_root: str | Path) -> list[str]:
    """The names of clips in the predicted root that the true root lacks."""
    known = {clip.pred_folder for clip in clips}
    found = [folder for folder in _folders_with_pha(Path(pred_root)) if folder not in known]
    return [folder.relative_to(pred_root).as_posix() for folder in found]


def refuse_cut_picture(path: Path) -> None:
    """Refuses a truncated JPEG, which libav would decode without an error, with grey in place of the missing part.

    Args:
        path: A picture file; only .jpg and .jpeg are checked.

    Raises:
        StudioError: The file has no end-of-image marker.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from rvm_studio import core
        >>> Image.new("RGB", (64, 48)).save("picture.jpg")
        >>> core.refuse_cut_picture(Path("picture.jpg"))
    """
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        if _JPEG_END not in file.read():
            raise StudioError(f"{path} is truncated. Expected a complete JPEG: copy or create it again.")


def _folders_with_pha(root: Path) -> Iterator[Path]:
    for place, names, _ in os.walk(root):
        folder = Path(place)
        parts = parts_of(folder)
        names[:] = sorted(
            name for name in names if name not in parts and not name.startswith(".") and ".partial" not in name
        )
        if "pha" in parts:
            yield folder


def _is_frames(path: Path) -> bool:
    """Whether it is a video, or a folder that directly contains pictures."""
    if not path.is_dir():
        return True
    try:
        return bool(find_pictures(path))
    except StudioError:
        return False


def _paths(clip: Clip, matted: bool) -> dict[str, Path]:
    """The files to read, by their names in messages."""
    paths = {"true pha": clip.true["pha"]}
    if matted:
        if "com" not in clip.true:
            raise StudioError("it has no com to matte. Expected a folder com beside pha.")
        paths["com"] = clip.true["com"]
        if "fgr" in clip.true:
            paths["true fgr"] = clip.true["fgr"]
        return paths
    if "pha" not in clip.pred:
        raise StudioError(f"its prediction is missing: {clip.pred_folder} has no pha.")
    paths["predicted pha"] = clip.pred["pha"]
    if "fgr" in clip.true and "fgr" in clip.pred:
        paths["true fgr"], paths["predicted fgr"] = clip.true["fgr"], clip.pred["fgr"]
    return paths


def _refuse_misfits(readers: Mapping[str, FrameReader]) -> None:
    """Raises StudioError for differing sizes or, if known before reading, numbers of frames."""
    for name, reader in readers.items():
        if reader.damage:
            raise StudioError(f"{reader.info.path} is damaged: {reader.damage[0]}.")
        true = readers["true pha"].info
        info = reader.info
        if (info.width, info.height) != (true.width, true.height):
            raise StudioError(
                f"{name} is {info.width}x{info.height}, true pha {true.width}x{true.height}. Expected equal sizes: use "
                "pictures that were not scaled."
            )
    counts = {name: r.info.frame_count for name, r in readers.items() if r.info.kind != "video"}
    if len(set(counts.values())) > 1:
        counted = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise StudioError(
            f"the numbers of frames differ: {counted}{_lacking(readers)}. Expected one frame for each true frame."
        )


def _lacking(readers: Mapping[str, FrameReader]) -> str:
    """A text about the numbers that a sequence lacks; empty if the sequences have no numbers in common."""
    numbers = {
        name: {picture.number for picture in find_pictures(reader.info.path) or ()}
        for name, reader in readers.items()
        if reader.info.kind == "sequence"
    }
    every = set().union(*numbers.values())
    words = ""
    for name, own in numbers.items():
        gone = sorted(every - own)
        if gone and own & every:
            more = ", ..." if len(gone) > _SHOWN else ""
            words += f"; {name} lacks number {', '.join(map(str, gone[:_SHOWN]))}{more}"
    return words


def _in_step(readers: Mapping[str, FrameReader], at_once: int) -> Iterator[dict[str, Tensor]]:
    """The next frames of all readers, [T, 3, H, W] each, uint8 or float 0..1."""
    streams = {name: iter(reader) for name, reader in readers.items()}
    done = 0
    while True:
        images = {name: [frame.image for frame in islice(stream, at_once)] for name, stream in streams.items()}
        for reader in readers.values():
            if reader.damage:
                raise StudioError(f"{reader.info.path} is damaged: {reader.damage[0]}.")
        shortest = min(images, key=lambda name: len(images[name]))
        longest = max(images, key=lambda name: len(images[name]))
        if len(images[shortest]) < len(images[longest]):
            raise StudioError(
                f"the numbers of frames differ: {shortest} ends after {done + len(images[shortest])}, {longest} has "
                "more. Expected one frame for each true frame."
            )
        if not images[shortest]:
            return
        done += len(images[shortest])
        frames = {name: frames_from_pictures(pictures) for name, pictures in images.items()}
        yield {name: x if x.dtype == torch.uint8 else to_float(x) for name, x in frames.items()}


def _matted(
    session: MattingSession, com: Tensor, foreground: bool, clip: Clip, device: torch.device | str
) -> dict[str, Tensor]:
    fgr, pha = session.matte(com, foreground=foreground, out_device=device)
    if not (pha.isfinite().all() and fgr.isfinite().all()):
        raise StudioError(f"the network's output for {clip.name} is not finite. Use other weights.")
    predicted = {"predicted pha": quantise(pha, torch.uint8)}
    return predicted | {"predicted fgr": quantise(fgr, torch.uint8)} if foreground else predicted
