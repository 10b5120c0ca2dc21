"""The training loop over stages and steps, with checkpoints, scalars, and a validation at the end of every stage."""

# B clips, T frames, h, w

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..core import DTYPES, MattingNetwork, Stopped, StudioError, save_weights
from .augmentation import MattingBatch, SegmentationBatch, augment_matting, augment_segmentation, draw_sides
from .checkpoint import checkpoints, load_newest, save_checkpoint
from .code_version import code_version
from .data_config import licences
from .distributed import World
from .recipe import SEGMENTATION_AUGMENTATION, LearningRates, Stage, augmentation_for, stages_for
from .recomputation import recompute_activations
from .run_log import RunLog
from .run_progress import RunProgress
from .run_settings import RunOptions, RunSettings
from .stage_data import Job, Sharing, StageData, job_generator, load, share, sides_generator
from .start_weights import start_network
from .step import Trainer, make_optimiser, train_mode
from .validation import validate, validation_sets

logger = logging.getLogger(__name__)

SKIPPED_AT_MOST = 20  # in a row; more mean that the weights are broken or the rate is far too high
WARM_UP_STEPS = 20  # of each stage, if the run starts from trained weights
PICTURES_EVERY = 200  # steps
PICTURES = 6
_TOLD = 50  # faults and skipped batches that are recorded one by one; the others are only counted


@dataclass
class State:
    """What a checkpoint contains in addition to network, optimiser and scaler."""

    stage: int  # number of the current stage
    step: int = 0  # finished steps of the stage; with the seed, they determine the position in the data
    global_step: int = 0
    faults: int = 0  # replaced samples, in all processes
    skipped: int = 0  # passes
    told: dict[str, list[str]] = field(default_factory=lambda: {"faults": [], "skipped": []})
    metrics: dict[str, dict] = field(default_factory=dict)  # of finished stages, by number


class Run:
    def __init__(
        self,
        settings: RunSettings,
        folder: Path,
        world: World,
        options: RunOptions,
        resume: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """folder: of the run; created if missing. resume: resume from its newest intact checkpoint.
        stopping: called after every step; if it returns True, a checkpoint is written and `Stopped` raised.

        Raises StudioError for weights or data that cannot be used.
        """
        self.settings, self.folder, self.world, self.options, self.stopping = settings, folder, world, options, stopping
        self.stages = [stage for stage in stages_for(settings.preset) if stage.number in settings.stages]
        self.sharing = share(options.clips or settings.preset.clips, world.rank, world.size)
        self.batch = self.sharing.clips * self.sharing.micro
        self.state = State(self.stages[0].number)
        self.data = {stage.number: self._data(stage) for stage in self.stages}
        self._loaded: dict | None = None
        if resume and checkpoints(folder):
            path, self._loaded = load_newest(folder)
            self.state = State(**self._loaded["state"])
            logger.info("resumed from %s: stage %d, step %d", path, self.state.stage, self.state.step)
        elif resume:
            logger.warning("%s has no checkpoint yet: the run starts from the beginning.", folder)
        network, self.fixed = start_network(settings.variant, settings.seed, settings.init, settings.statistics)
        self.fixed = tuple(dict.fromkeys((*self.fixed, *settings.frozen)))
        if settings.preset.statistics_momentum is not None:
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = settings.preset.statistics_momentum
        if self._loaded is not None:
            network.load_state_dict(self._loaded["network"])
        prepared, note = world.prepare(network)
        assert isinstance(prepared, MattingNetwork)
        self.network = prepared
        if note and world.first:
            logger.warning("%s", note)
        world.copy_from_first(self.network)
        if settings.preset.checkpoint_frames:
            recompute_activations(self.network, settings.preset.checkpoint_frames)
        self._last_save = time.monotonic()

    def train(self) -> None:
        """Trains all remaining stages. Raises Stopped, or StudioError if the run cannot continue."""
        data = {number: x for number, x in self.data.items() if number >= self.state.stage}
        steps = {n: x.steps_of_epoch(self.batch) * x.stage.epochs for n, x in data.items()}
        progress = RunProgress(
            [(stage, steps[stage.number]) for stage in self.stages if stage.number in steps],
            self.settings.preset,
            self.world.first and not self.options.quiet,
        )
        if self.world.first:
            self._record()
        log = RunLog(self.folder, self.state.global_step) if self.world.first else None
        try:
            for stage in self.stages:
                if stage.number < self.state.stage:
                    continue
                if stage.number > self.state.stage:
                    self.state.stage, self.state.step = stage.number, 0
                progress.begin(stage, self.state.step, steps[stage.number])
                self._train_stage(stage, data[stage.number], steps[stage.number], progress, log)
                progress.close()
                self._finish_stage(stage)
        finally:
            progress.close()
            if log is not None:
                log.close()

    def _data(self, stage: Stage) -> StageData:
        data = StageData(self.settings.data, stage, self.settings.preset, self.settings.seed)
        validation_sets(self.settings.data, stage, self.settings.seed)  # tells now what would fail at the stage's end
        for part in data.missing if self.world.first else ():
            logger.warning("stage %d: no data for %s, that pass is left out", stage.number, part)
        return data

    def _train_stage(
        self, stage: Stage, data: StageData, steps: int, progress: RunProgress, log: RunLog | None
    ) -> None:
        trainer = self._trainer(stage)
        epoch = data.steps_of_epoch(self.batch)
        done = self.state.step
        jobs = load(data, self.sharing, done, steps, self.options.workers, self.world.device.type == "cuda")
        for step in range(done, steps):
            started = time.perf_counter()
            scalars: dict[str, float] = {}
            samples, total = 0, 0.0
            if self.settings.init not in (None, "imagenet"):
                warm_up(trainer.optimiser, stage.rates, step)
            for part in data.parts(step):
                batches = Batches(jobs, self.sharing, stage, self.settings.seed, self.world.device)
                ratio = stage.high.ratio if part == "high" and stage.high else 1.0
                result = trainer.run_pass(part, batches, self.sharing.own, ratio)
                name = part.split("/")[0]
                scalars |= {f"{name}/{term}": value for term, value in result.terms.items()}
                total += result.terms["total"]
                samples += self.batch * data.samples_per_clip(part)
                self._count_faults(batches.faults)
                if result.skipped:
                    self._note("skipped", f"stage {stage.number}, step {step}, {part}: {result.trouble}")
                self.state.skipped = trainer.skipped
                if part == "low" and log is not None and log.wants_pictures and step % PICTURES_EVERY == 0:
                    log.picture("low", self.state.global_step, self._pictures(batches.last))
                if trainer.skipped_in_a_row >= SKIPPED_AT_MOST:
                    raise StudioError(
                        f"{SKIPPED_AT_MOST} batches in a row had a loss or gradient that is not finite or far too "
                        "large: the training has diverged. Start a new run with lower rates (--rate-factor) or with "
                        "float32 (--precision fp32)."
                    )
            took = time.perf_counter() - started
            scalars |= {f"lr/{group['name']}": group["lr"] for group in trainer.optimiser.param_groups}
            scalars |= {"samples_per_s": samples / took, "memory_mb": memory_mb(self.world.device)}
            scalars |= {"skipped": trainer.skipped, "faults": self.state.faults}
            if log is not None:
                log.scalars(stage.number, step, self.state.global_step, scalars)
            self.state.step, self.state.global_step = step + 1, self.state.global_step + 1
            progress.step(stage, step + 1, total)
            late = time.monotonic() - self._last_save > 60 * self.options.checkpoint_minutes
            stop, save = self.world.any(self.stopping(), late or (step + 1) % epoch == 0 or step + 1 == steps)
            if stop or save:
                self._save(trainer)
            if stop:
                raise Stopped

    def _trainer(self, stage: Stage) -> Trainer:
        optimiser = make_optimiser(self.network, stage.rates, self.settings.frozen)
        if optimiser is None:
            raise StudioError("There is nothing to train: every group of parameters is frozen.")
        trainer = Trainer(
            self.network, optimiser, self.world, DTYPES[self.settings.precision], self.settings.foreground
        )
        train_mode(self.network, self.fixed)
        trainer.skipped = self.state.skipped
        loaded, self._loaded = self._loaded, None
        if loaded is not None:  # from a checkpoint of this stage
            optimiser.load_state_dict(loaded["optimiser"])
            trainer.scaler.load_state_dict(loaded["scaler"])
            trainer.usual = {part: (passes, usual) for part, (passes, usual) in loaded["usual"].items()}
            trainer.skipped_in_a_row = loaded["skipped_in_a_row"]
        return trainer

    def _save(self, trainer: Trainer) -> None:
        self._last_save = time.monotonic()
        if self.world.first:
            content = {
                "state": dict(vars(self.state)),
                "network": self.network.state_dict(),
                "optimiser": trainer.optimiser.state_dict(),
                "scaler": trainer.scaler.state_dict(),
                "usual": dict(trainer.usual),
                "skipped_in_a_row": trainer.skipped_in_a_row,
            }
            save_checkpoint(self.folder, self.state.global_step, content, self.options.keep)
        self.world.wait()

    def _count_faults(self, faults: Sequence[str]) -> None:
        self.state.faults += int(self.world.total(len(faults))[0])
        for fault in faults:
            logger.warning("A sample was replaced (%d so far): %s", self.state.faults, fault)
            self._note("faults", fault)

    def _note(self, kind: str, text: str) -> None:
        if len(self.state.told[kind]) < _TOLD:
            self.state.told[kind].append(text)

    def _record(self) -> None:
        """Writes run.json: the settings, and notes for the report."""
        notes = {
            "recipe": {f"stage {stage.number}": str(stage) for stage in self.stages},
            "licences": licences(self.settings.data),
            "code_version": code_version(),
            **self.state.told,
        }
        self.settings.save(self.folder, notes)

    def _finish_stage(self, stage: Stage) -> None:
        """Validates, and writes the weights file and the report, all in the first process."""
        if self.world.first:
            from .report import write_report

            logger.info("stage %d: validation", stage.number)
            result = validate(
                self.network,
                self.settings.data,
                stage,
                seed=self.settings.seed,
                device=self.world.device,
                clips=self.options.validation_clips,
            )
            result.save(self.folder)
            metrics = {"low": dict(result.low), "high": result.high and dict(result.high)}
            constants = {"constant_mad": result.constant_mad, "best_constant_mad": result.best_constant_mad}
            self.state.metrics[str(stage.number)] = metrics | constants
            path = self.folder / f"stage{stage.number}.safetensors"
            save_weights(self.network, path, self._metadata(stage, metrics))
            self._record()
            write_report(self.folder)
            scores = (
                f"MAD {result.low['mad']:.1f} (for comparison: {result.constant_mad:.1f} with alpha "
                f"{result.constant:.2f} everywhere, {result.best_constant_mad:.1f} with the best constant alpha)"
            )
            print(f"stage {stage.number} is done: {path}, {scores}", file=sys.stderr, flush=True)
        self.world.wait()

    def _metadata(self, stage: Stage, metrics: dict) -> dict[str, str]:
        settings = self.settings
        sets = licences(settings.data)
        return {
            "source": f"trained by rvm-studio, preset {settings.preset.name}, seed {settings.seed}",
            "training_stage": str(stage.number),
            "training_step": str(self.state.global_step),
            "training_recipe": repr([s for s in self.stages if s.number <= stage.number]),
            "training_init": settings.init or "from scratch",
            "training_data": "; ".join(f"{name}: {licence}" for name, licence in sets.items()),
            "training_metrics": repr(metrics),
            "code_version": code_version(),
            "licence": "GPL-3.0-or-later; the data's own terms apply, see training_data",
        }

    @torch.no_grad()
    def _pictures(self, batch: MattingBatch | SegmentationBatch | None) -> Tensor:
        """[3, h, w]: a few composites with their predicted and true alpha below them."""
        assert isinstance(batch, MattingBatch)
        self.network.eval()
        src, true = batch.src[:PICTURES], batch.pha[:PICTURES, -1]
        pha = self.network(src).pha[:, -1]
        train_mode(self.network, self.fixed)
        rows = (src[:, -1], pha.expand(-1, 3, -1, -1), true.expand(-1, 3, -1, -1))
        return torch.cat([torch.cat(list(row), 2) for row in rows], 1).clamp(0, 1).cpu()


def warm_up(optimiser: torch.optim.Optimizer, rates: LearningRates, step: int) -> None:
    """Ramps the rates up for trained weights: in its first steps Adam moves every weight by the full rate."""
    for group in optimiser.param_groups:
        group["lr"] = getattr(rates, group["name"]) * min(1.0, (step + 1) / WARM_UP_STEPS)


class Batches:
    """Iterates over the augmented micro-batches of one pass, with the names of their samples; collects the faults."""

    def __init__(
        self, jobs: Iterator[tuple[Job, dict]], sharing: Sharing, stage: Stage, seed: int, device: torch.device
    ) -> None:
        self._jobs, self._sharing, self._stage, self._seed, self._device = jobs, sharing, stage, seed, device
        self.faults: list[str] = []
        self.last: MattingBatch | SegmentationBatch | None = None

    def __iter__(self) -> Iterator[tuple[MattingBatch | SegmentationBatch, Sequence[str]]]:
        for _ in range(self._sharing.own):
            job, batch = next(self._jobs)
            self.faults += batch["faults"]
            self.last = augment(job, batch, self._stage, self._seed, self._device)
            yield self.last, batch["id"]


def augment(job: Job, batch: dict, stage: Stage, seed: int, device: torch.device) -> MattingBatch | SegmentationBatch:
    """Moves a collated batch to the device and augments it for its pass."""
    step_pass = stage.high if job.part == "high" else stage.low
    assert step_pass is not None
    generator = job_generator(seed, stage.number, job)
    sides = draw_sides(step_pass.size, sides_generator(seed, stage.number, job))

    def get(name: str) -> Tensor:
        return batch[name].to(device, non_blocking=True)

    size = step_pass.size
    if job.part.startswith("segmentation"):
        return augment_segmentation(get("img"), get("seg"), size, generator, SEGMENTATION_AUGMENTATION, sides)
    settings = augmentation_for(stage.data)
    return augment_matting(get("fgr"), get("pha"), get("bgr"), size, generator, settings, sides)


def memory_mb(device: torch.device) -> float:
    """Peak memory so far, in MB: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
