"""Scores of mattes against the truth: the official protocol over folders, or over what a network makes of the clips.

A clip is a folder that holds `pha`, and where there are such `fgr` and `com`, the composite that is matted: each a
folder of pictures or a video file such as pha.mp4. A clip's score is the mean over its frames; all in all it is the
mean over the clips.
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
_CHUNK_PIXELS = {"cpu": 2**21, "cuda": 2**24}  # of a clip at once: bounds the memory, changes no value
_JPEG_END = b"\xff\xd9"
_SHOWN = 3  # names in a message


class Clip(NamedTuple):
    """name: its folder below the true root, with slashes. dataset: that path's first folder, "" where it is the only
    one. true, pred: what there is of `PARTS`, each a folder of pictures or a video; pred is empty for a clip that the
    predicted root lacks."""

    name: str
    dataset: str
    true: dict[str, Path]
    pred: dict[str, Path]
    pred_folder: Path | None = None


class Score(NamedTuple):
    """A clip's metrics by name, as core.evaluation.metrics counts them."""

    clip: Clip
    frames: int
    metrics: dict[str, float]


def find_clips(true_root: str | Path, pred_root: str | Path | None = None) -> list[Clip]:
    """Every clip at or below true_root in the order of their names, each with its counterpart at the same relative path
    of pred_root. Two plain folders of pictures or two videos are a clip, too: their alpha.

    Names that begin with a dot and what a stopped run has left (.partial) are passed over. Raises StudioError where a
    root does not exist or the true one holds no clip.
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
            f"{true_root} holds no clip. Expected, at any depth, folders with a folder pha of pictures in them (or a "
            "video such as pha.mp4)."
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
    """Those of PARTS that a clip's folder holds. Of a folder and a video of one name the folder counts."""
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
    """The clip's score: of its predicted pictures, or of what a fresh `session` makes of its `com`, rounded to 8 bits
    as it would be in files.

    device: where the metrics are computed. Foregrounds are compared where both sides have one. Raises StudioError for
    whatever is missing, damaged, or differs in size or number of frames, and Stopped.
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
    """Header and rows for evaluation_table: every clip, the mean of every data set where there are several, and of all.

    clips: how many there were to be evaluated, told where it is more than were. A mean is over those clips that have
    the metric: not all may have a foreground.
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
    """Clips of the predicted root that the true one lacks, by name."""
    known = {clip.pred_folder for clip in clips}
    found = [folder for folder in _folders_with_pha(Path(pred_root)) if folder not in known]
    return [folder.relative_to(pred_root).as_posix() for folder in found]


def refuse_cut_picture(path: Path) -> None:
    """Raises StudioError for a JPEG that was cut off: libav shows it without a word, with grey in place of the rest."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        if _JPEG_END not in file.read():
            raise StudioError(f"{path} is cut off. Expected a whole JPEG: copy or make it again.")


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
    """Whether it is a video, or a folder with pictures right in it."""
    if not path.is_dir():
        return True
    try:
        return bool(find_pictures(path))
    except StudioError:
        return False


def _paths(clip: Clip, matted: bool) -> dict[str, Path]:
    """What is read, by a name for people."""
    paths = {"true pha": clip.true["pha"]}
    if matted:
        if "com" not in clip.true:
            raise StudioError("it has no com, so there is nothing to matte. Expected a folder com beside pha.")
        paths["com"] = clip.true["com"]
        if "fgr" in clip.true:
            paths["true fgr"] = clip.true["fgr"]
        return paths
    if "pha" not in clip.pred:
        raise StudioError(f"its prediction is missing: {clip.pred_folder} holds no pha.")
    paths["predicted pha"] = clip.pred["pha"]
    if "fgr" in clip.true and "fgr" in clip.pred:
        paths["true fgr"], paths["predicted fgr"] = clip.true["fgr"], clip.pred["fgr"]
    return paths


def _refuse_misfits(readers: Mapping[str, FrameReader]) -> None:
    """What differs in size, or, as far as it is known before reading, in number of frames."""
    for name, reader in readers.items():
        if reader.damage:
            raise StudioError(f"{reader.info.path} is damaged: {reader.damage[0]}.")
        true = readers["true pha"].info
        info = reader.info
        if (info.width, info.height) != (true.width, true.height):
            raise StudioError(
                f"{name} is {info.width}x{info.height}, true pha {true.width}x{true.height}. Expected one size: give "
                "pictures that were not scaled."
            )
    counts = {name: r.info.frame_count for name, r in readers.items() if r.info.kind != "video"}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise StudioError(f"the numbers of frames differ: {told}{_lacking(readers)}. Expected one for each true frame.")


def _lacking(readers: Mapping[str, FrameReader]) -> str:
    """Which numbers a numbered sequence lacks, in words; nothing where the numbering has another beginning."""
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
                f"the numbers of frames differ: {shortest} ends after {done + len(images[shortest])}, {longest} goes "
                "on. Expected one for each true frame."
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
        raise StudioError(f"the network gives values that are no numbers for {clip.name}. Use other weights.")
    predicted = {"predicted pha": quantise(pha, torch.uint8)}
    return predicted | {"predicted fgr": quantise(fgr, torch.uint8)} if foreground else predicted
