"""Validation at the end of a stage: how well the network mattes clips that it was not trained on.

It is deterministic: the same network, data and seed give the same scores. It runs at the low resolution and, in stages
that train the refiner, also at the high resolution, with the refiner.
"""

# B = 1 clip, T frames, S side of the square pictures

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ..core import MattingNetwork, MetricAccumulator, StudioError, atomic_file, no_autocast
from .augmentation import prepare_matting
from .data_config import DataConfig, matting_data
from .datasets.samples import collate
from .recipe import Pass, Stage
from .validation_sheet import SheetRow, draw_rows

ROWS = 6  # clips on the contact sheet
_CHUNK_PIXELS = 2**20  # pixels of a clip that are matted at once; limits the memory, values change by rounding only


@dataclass
class ValidationResult:
    """Scores by the names in core.evaluation.metrics (lower is better), each one the mean over the clips.

    low: at ratio 1. high: with the refiner, without `conn`; None if the stage does not train the refiner. For
    comparison, the scores of a constant alpha: `constant` is the mean of the low clips' true alpha and `constant_mad`
    its MAD; `best_constant`, their median, is the constant with the lowest MAD.
    """

    stage: int
    low: dict[str, float]
    high: dict[str, float] | None
    constant: float
    constant_mad: float
    best_constant: float
    best_constant_mad: float
    clips: int
    sizes: dict[str, tuple[int, int]]  # "low", "high" -> frames T, side S
    faults: list[str] = field(default_factory=list)  # samples that could not be read
    pictures: list[SheetRow] = field(default_factory=list, repr=False)

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Writes validation_stageN.json and the contact sheet validation_stageN.png; returns both paths. Raises
        StudioError if they cannot be written."""
        name = folder / f"validation_stage{self.stage}"
        record = {key: value for key, value in vars(self).items() if key != "pictures"}
        path = name.with_suffix(".json")
        try:
            with atomic_file(path) as partial:
                partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StudioError(f"The validation cannot be written to {path} ({error}). Check the folder.") from error
        return path, draw_rows(self.pictures, name.with_suffix(".png"))


def validation_sets(config: DataConfig, stage: Stage, seed: int, frames: int | None = None) -> dict[str, tuple]:
    """ "low" and, if the stage has it, "high" -> (data set, its Pass). frames: upper limit for T.

    Raises StudioError if the data is missing; call it before a long run to find that out early.
    """
    passes = {"low": stage.low} if stage.high is None else {"low": stage.low, "high": stage.high}
    sets = {}
    for name, part in passes.items():
        length = part.frames if frames is None else min(frames, part.frames)
        data = matting_data(config, stage.data, length, part.size, seed, split="valid", high=name == "high")
        sets[name] = data, Pass(length, part.size, part.ratio)
    return sets


def validate(
    network: MattingNetwork,
    config: DataConfig,
    stage: Stage,
    *,
    seed: int,
    device: torch.device | str,
    clips: int,
    frames: int | None = None,
) -> ValidationResult:
    """Mattes `clips` clips of the split "valid" (or all, if there are fewer) and compares them with the truth.

    network: on `device`, not wrapped for distributed training. It runs in eval mode; afterwards every module is in its
    previous mode again. The global random state does not change. frames: upper limit for T; None: the stage's T.

    Raises StudioError if the data is missing or the network's output is not finite.
    """
    assert clips > 0, clips
    device = torch.device(device)
    scores: dict[str, dict[str, float]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    pictures: list[SheetRow] = []
    faults: list[str] = []
    histogram = torch.zeros(256, dtype=torch.float64)
    count = 0
    with _in_eval_mode(network), torch.no_grad(), no_autocast(torch.empty(0, device=device)):
        for name, (data, part) in validation_sets(config, stage, seed, frames).items():
            of_clips = []
            number = min(clips, len(data))
            for k in range(number):
                sample = collate([dict(data[0, k * len(data) // number])])
                faults += sample["faults"]
                if name == "low":
                    histogram += torch.bincount(sample["pha"].flatten().cpu().long(), minlength=256)
                values, row = _matte(network, sample, part, name == "high", device)
                of_clips.append(values)
                if k * ROWS // number != (k - 1) * ROWS // number or number <= ROWS:
                    pictures.append(row)
            scores[name] = {key: sum(clip[key] for clip in of_clips) / number for key in of_clips[0]}
            sizes[name] = part.frames, part.size
            count = max(count, number)
    alphas = torch.arange(256) / 255.0
    share = histogram / histogram.sum()
    mean = float((share * alphas).sum())
    median = float(alphas[int((share.cumsum(0) >= 0.5).nonzero()[0])])
    return ValidationResult(
        stage=stage.number,
        low=scores["low"],
        high=scores.get("high"),
        constant=mean,
        constant_mad=float((share * (alphas - mean).abs()).sum()) * 1e3,
        best_constant=median,
        best_constant_mad=float((share * (alphas - median).abs()).sum()) * 1e3,
        clips=count,
        sizes=sizes,
        faults=faults,
        pictures=pictures,
    )


def _matte(
    network: MattingNetwork, sample: dict, part: Pass, high: bool, device: torch.device
) -> tuple[dict[str, float], SheetRow]:
    """(the scores of a clip, the row for the sheet with its middle frame)."""
    layers = [sample[name] for name in ("fgr", "pha", "bgr")]  # [1, T, C, S, S] uint8
    T = layers[0].shape[1]  # noqa: N806
    sides = part.size, part.size
    metrics = MetricAccumulator(high_resolution=high)
    rec, row = None, None
    at_once = max(1, _CHUNK_PIXELS // part.size**2)
    for begin in range(0, T, at_once):
        fgr, pha, bgr = (x[:, begin : begin + at_once].to(device) for x in layers)
        src, fgr, pha = prepare_matting(fgr, pha, bgr, sides)
        pred_fgr, pred_pha, rec = network(src, rec, part.ratio)
        if not (pred_pha.isfinite().all() and pred_fgr.isfinite().all()):
            raise StudioError(
                f"The network's output for {sample['id'][0]} is not finite: the training has diverged. Start a new run "
                "with lower rates (--rate-factor)."
            )
        metrics.update(pred_pha[0], pha[0], pred_fgr[0], fgr[0])
        if row is None and begin + src.shape[1] > T // 2:
            shown = (x[0, T // 2 - begin].float() for x in (src, pha, pred_pha, pred_fgr))
            row = SheetRow.of(f"{'high' if high else 'low'} {part.size}", *shown)
    assert row is not None
    return metrics.result(), row


@contextmanager
def _in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode inside the block. Afterwards each module is in its own previous mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
