"""The samples that every data set gives, and their addresses, so that a run can be resumed at any sample.

A sample depends only on (seed, epoch, index). `dataset[epoch, index]` is that sample in any process and any order;
`dataset[index]` is that of epoch 0. A sample that cannot be read is replaced by another one, which lists the fault.
"""

# B clips, T frames, H, W

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core import StudioError
from .synthesis.randomness import Dice, generator

Address = tuple[int, int]  # epoch, index
ATTEMPTS = 10  # to find a readable replacement for a broken sample
_SHUFFLE = 0x5F  # makes the order's random numbers different from those of the samples


class MattingSample(TypedDict):
    """All tensors are uint8. faults: one sentence for each sample that could not be read before this one."""

    fgr: Tensor  # [T, 3, H, W]
    pha: Tensor  # [T, 1, H, W]
    bgr: Tensor  # [T, 3, H, W]
    id: str
    faults: tuple[str, ...]


class SegmentationSample(TypedDict):
    """All tensors are uint8. seg is 0 or 255, with values in between where it was scaled."""

    img: Tensor  # [T, 3, H, W]
    seg: Tensor  # [T, 1, H, W]
    id: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class CheckResult:
    """The result of checking a data set's folder."""

    name: str
    samples: int  # per epoch
    missing: tuple[str, ...]  # sentences that say what is wrong and what to do
    licence: str

    @property
    def usable(self) -> bool:
        return self.samples > 0

    def __str__(self) -> str:
        head = f"{self.name}: {self.samples} samples" if self.usable else f"{self.name}: not usable"
        return "\n".join([f"{head} ({self.licence})", *(f"  - {line}" for line in self.missing)])


@dataclass
class Shuffle:
    """The random order of a data set's samples, a different one in each epoch. length: number of samples."""

    length: int
    seed: int

    def __post_init__(self) -> None:
        assert self.length > 0, "an empty data set has no order"

    def order(self, epoch: int) -> np.ndarray:
        """[length] indices in the order of this epoch."""
        return generator(self.seed, _SHUFFLE, epoch).permutation(self.length)


class UnreadableSampleError(Exception):
    """A sample's files cannot be used. The message is one sentence that names the file."""


class FileDataset(Dataset):
    """A data set of files. A sample that cannot be read is replaced by another one, whose `faults` says why."""

    name = ""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, index: int, dice: Dice) -> dict:
        """The sample without its faults; all random choices come from `dice`. Raises UnreadableSampleError."""
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
            f"{ATTEMPTS} samples of {self.name} in a row could not be read. The last error: {faults[-1]} Check that "
            "the folder's disk is connected and that the data set was unpacked completely."
        )


class Joined(Dataset):
    """Several data sets in sequence, as one."""

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
    """Samples of one data set -> a batch with the same keys: tensors [B, T, C, H, W], a list of ids, a list of all
    faults."""
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
