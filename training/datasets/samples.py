"""What every data set gives and how it is addressed, so that a run can be continued at any sample.

A sample depends on (seed, epoch, index) alone. `dataset[epoch, index]` is that sample in any process, in any order;
`dataset[index]` is the one of epoch 0. Where a file cannot be read the sample is another one, and says so.
"""

# B clips, T frames, H, W

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ...core import StudioError
from .synthesis.randomness import Dice, generator

Address = tuple[int, int]  # epoch, index
ATTEMPTS = 10  # to find a readable sample in place of a broken one
_SHUFFLE = 0x5F  # keeps the order's random numbers apart from the samples' own


class MattingSample(TypedDict):
    """All uint8; `faults`: what could not be read on the way, one sentence each."""

    fgr: Tensor  # [T, 3, H, W]
    pha: Tensor  # [T, 1, H, W]
    bgr: Tensor  # [T, 3, H, W]
    id: str
    faults: tuple[str, ...]


class SegmentationSample(TypedDict):
    """All uint8; seg is 0 or 255, and between where it was scaled."""

    img: Tensor  # [T, 3, H, W]
    seg: Tensor  # [T, 1, H, W]
    id: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class CheckResult:
    """What a look at a data set's folder found."""

    name: str
    samples: int  # of an epoch
    missing: tuple[str, ...]  # sentences: what is wrong and what to do
    licence: str

    @property
    def usable(self) -> bool:
        return self.samples > 0

    def __str__(self) -> str:
        head = f"{self.name}: {self.samples} samples" if self.usable else f"{self.name}: not usable"
        return "\n".join([f"{head} ({self.licence})", *(f"  - {line}" for line in self.missing)])


class AddressSampler(Sampler[Address]):
    """Addresses for a DataLoader, endless: epoch after epoch, each in an order of its own.

    `start` is how many samples all processes together have taken so far: the only state a run has to keep. The process
    `rank` of `world` takes every world-th.
    """

    def __init__(
        self, length: int, seed: int, start: int = 0, rank: int = 0, world: int = 1, shuffle: bool = True
    ) -> None:
        assert length > 0, "an empty data set has no addresses"
        assert 0 <= rank < world, f"rank {rank} of {world}"
        self.length, self.seed, self.start, self.rank, self.world, self.shuffle = (
            length,
            seed,
            start,
            rank,
            world,
            shuffle,
        )

    def __iter__(self) -> Iterator[Address]:
        epoch, order = -1, np.empty(0, np.int64)
        position = self.start + self.rank
        while True:
            if position // self.length != epoch:
                epoch = position // self.length
                order = self.order(epoch)
            yield epoch, int(order[position % self.length])
            position += self.world

    def order(self, epoch: int) -> np.ndarray:
        """[length] indices in the order of an epoch."""
        if not self.shuffle:
            return np.arange(self.length)
        return generator(self.seed, _SHUFFLE, epoch).permutation(self.length)


class UnreadableSampleError(Exception):
    """Why a sample's files cannot be used: one sentence that names the file."""


class FileDataset(Dataset):
    """A data set of files: what cannot be read is replaced by another sample, and told in `faults`."""

    name = ""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, index: int, dice: Dice) -> dict:
        """The sample without its faults; what is random about it comes from `dice`. Raises UnreadableSampleError."""
        raise NotImplementedError

    def __getitem__(self, address: int | Address) -> dict:
        epoch, index = split_address(address)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} of {self.name}")
        faults: list[str] = []
        for attempt in range(ATTEMPTS):
            dice = Dice(self.seed, epoch, index, attempt)
            place = index if attempt == 0 else dice.whole(0, len(self) - 1)
            try:
                return {**self.load(place, dice), "faults": tuple(faults)}
            except UnreadableSampleError as error:
                faults.append(f"{self.name}, sample {place}: {error}")
        raise StudioError(
            f"{ATTEMPTS} samples of {self.name} in a row could not be read; the last: {faults[-1]} Expected readable "
            "files: look at the folder, perhaps its disk is gone or the unpacking was cut short."
        )


class Joined(Dataset):
    """Several data sets as one, one after the other."""

    def __init__(self, parts: Sequence) -> None:
        assert parts, "nothing to join"
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, address: int | Address) -> dict:
        epoch, index = split_address(address)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        part = int(np.searchsorted(self._ends, index, side="right"))
        return self.parts[part][epoch, index - (int(self._ends[part - 1]) if part else 0)]


def split_address(address: int | Address) -> Address:
    return (0, int(address)) if isinstance(address, int | np.integer) else (int(address[0]), int(address[1]))


def collate(samples: Sequence[dict]) -> dict:
    """Samples of one data set -> the same names with tensors [B, T, C, H, W], ids as a list, all faults as one list."""
    batch: dict = {}
    for name, value in samples[0].items():
        values = [sample[name] for sample in samples]
        if isinstance(value, Tensor):
            shapes = {tuple(x.shape) for x in values}
            assert len(shapes) == 1, f"samples of a batch differ in {name}: {sorted(shapes)}"
            batch[name] = torch.stack(values)
        elif name == "faults":
            batch[name] = [fault for faults in values for fault in faults]
        else:
            batch[name] = values
    return batch
