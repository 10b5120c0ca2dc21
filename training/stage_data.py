"""The micro-batches of a stage in the order in which its steps use them, prepared by workers, starting at any step.

The content of a micro-batch depends only on (seed, stage, step, part, number), not on the process that uses it. So a
run can be resumed at any step, and several processes together see what a single one would see.
"""

# B clips, T frames

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..core import StudioError
from .data_config import DataConfig, matting_data, segmentation_data
from .datasets.samples import Shuffle, collate
from .recipe import BATCH_CLIPS, Preset, Stage, segmentation_kind

PARTS = ("low", "high", "segmentation/video", "segmentation/image")
_SIDES = 2**20  # used instead of a micro-batch's number for what all micro-batches share


class Job(NamedTuple):
    """One micro-batch. number: its number within the pass `part` of the step."""

    step: int
    part: str
    number: int


class Sharing(NamedTuple):
    """How a batch is split: micro-batches of `clips` clips, `micro` of them in total, over `world` processes."""

    clips: int
    micro: int
    rank: int = 0
    world: int = 1

    @property
    def own(self) -> int:
        """The number of micro-batches per pass in this process."""
        return self.micro // self.world


def share(clips: int, rank: int = 0, world: int = 1) -> Sharing:
    """Splits BATCH_CLIPS clips (more, if there are more processes than clips). `clips` is reduced if too large."""
    clips = max(1, min(clips, BATCH_CLIPS // world))
    while BATCH_CLIPS % (clips * world) and clips > 1:
        clips -= 1
    rounds = -(-BATCH_CLIPS // (clips * world))
    return Sharing(clips, rounds * world, rank, world)


class StageData(Dataset):
    """The training data of all passes of a stage. Addresses are (part, epoch, index)."""

    def __init__(self, config: DataConfig, stage: Stage, preset: Preset, seed: int) -> None:
        """Raises StudioError if data is named that cannot be used for this stage."""
        self.stage = stage
        self.pictures = preset.segmentation_images or stage.low.frames  # per clip of a batch, instead of T frames
        low, high = stage.low, stage.high
        seeds = {part: mixed_seed(seed, stage.number, place) % 2**31 for place, part in enumerate(PARTS)}
        sets = {
            "low": matting_data(config, stage.data, low.frames, low.size, seeds["low"]),
            "high": high and matting_data(config, stage.data, high.frames, high.size, seeds["high"], high=True),
        }
        for kind, frames in (("video", low.frames), ("image", 1)):
            part = f"segmentation/{kind}"
            sets[part] = segmentation_data(config, kind, frames, low.size, seeds[part])
        self.sets = {part: data for part, data in sets.items() if data is not None}
        self.shuffles = {part: Shuffle(len(data), seeds[part]) for part, data in self.sets.items()}

    @property
    def missing(self) -> tuple[str, ...]:
        """Segmentation parts without data."""
        return tuple(part for part in PARTS[2:] if part not in self.sets)

    def parts(self, step: int) -> list[str]:
        """The parts that the passes of a step train on, in order."""
        wanted = [f"{name}/{segmentation_kind(step)}" if name == "segmentation" else name for name in self.stage.passes]
        return [part for part in wanted if part in self.sets]

    def steps_of_epoch(self, batch: int) -> int:
        """Steps per epoch. batch: clips per step."""
        return self.stage.steps or max(1, len(self.sets["low"]) // batch)

    def samples_per_clip(self, part: str) -> int:
        return self.pictures if part == "segmentation/image" else 1

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def __getitem__(self, address: tuple[str, int, int]) -> dict:
        part, epoch, index = address
        return self.sets[part][epoch, index]

    def __getitems__(self, addresses: Sequence[tuple[str, int, int]]) -> list[dict]:
        """Returns a StudioError as a sample, because a worker would wrap it in a traceback."""
        try:
            return [self[address] for address in addresses]
        except StudioError as error:
            return [{"failure": str(error)}]


class JobSampler(Sampler):
    """Lists of addresses, one list per micro-batch of this process, for the steps `start` to `stop`."""

    def __init__(self, data: StageData, sharing: Sharing, start: int, stop: int) -> None:
        self.data, self.sharing, self.start, self.stop = data, sharing, start, stop
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def jobs(self) -> Iterator[Job]:
        sharing = self.sharing
        for step in range(self.start, self.stop):
            for part in self.data.parts(step):
                for number in range(sharing.rank, sharing.micro, sharing.world):
                    yield Job(step, part, number)

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        for job in self.jobs():
            yield self.addresses(job)

    def addresses(self, job: Job) -> list[tuple[str, int, int]]:
        step, part, number = job
        turn = step // 2 if part.startswith("segmentation") else step  # each kind is used in every second step
        together = self.sharing.clips * self.data.samples_per_clip(part)
        first = (turn * self.sharing.micro + number) * together
        return [(part, *self._address(part, place)) for place in range(first, first + together)]

    def _address(self, part: str, place: int) -> tuple[int, int]:
        shuffle = self.data.shuffles[part]
        epoch = place // shuffle.length
        if self._orders.get(part, (-1,))[0] != epoch:
            self._orders[part] = epoch, shuffle.order(epoch)
        return epoch, int(self._orders[part][1][place % shuffle.length])


def load(
    data: StageData, sharing: Sharing, start: int, stop: int, workers: int, pin: bool
) -> Iterator[tuple[Job, dict]]:
    """(job, collated batch) for this process's micro-batches of the steps `start` to `stop`.

    workers: number of processes that prepare them; may be 0. Raises StudioError if too much of the data is unreadable.
    """
    sampler = JobSampler(data, sharing, start, stop)
    loader = DataLoader(
        data,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate_or_fail,
        pin_memory=pin,
        worker_init_fn=_ignore_interrupts if workers else None,
    )
    for job, batch in zip(sampler.jobs(), loader, strict=True):
        if "failure" in batch:
            raise StudioError(batch["failure"])
        yield job, batch


def collate_or_fail(samples: Sequence[dict]) -> dict:
    return samples[0] if "failure" in samples[0] else collate(samples)


def _ignore_interrupts(_worker: int) -> None:
    """Ctrl-C reaches the workers, too, but the main process ends them after it has written its checkpoint."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def mixed_seed(*numbers: int) -> int:
    """One seed below 2^63 from several whole numbers >= 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def job_generator(seed: int, stage: int, job: Job) -> torch.Generator:
    """The random numbers for the augmentation of a micro-batch."""
    return torch.Generator().manual_seed(mixed_seed(seed, stage, PARTS.index(job.part), job.step, job.number))


def sides_generator(seed: int, stage: int, job: Job) -> torch.Generator:
    """The random numbers for the size, which is the same for all micro-batches of a pass."""
    return job_generator(seed, stage, job._replace(number=_SIDES))
