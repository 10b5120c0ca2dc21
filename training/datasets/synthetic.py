"""Synthetic clips of rendered persons, any number of them, with exact alpha, foreground and background. No files."""

# T frames, H, W = S

import torch
from torch.utils.data import Dataset

from ...core import composite, quantise
from ..recipe import CLIP_SPEEDS, REVERSED_SHARE
from .samples import Address, CheckResult, MattingSample, SegmentationSample, split_address
from .synthesis.randomness import Dice
from .synthesis.scene import Scene, draw_scene, render

LICENCE = "made by this program, free for any use"
SPLITS = ("train", "valid", "test")
_EMPTY_SHARE = 0.06  # share of the segmentation pictures that show nobody
_SEGMENTATION = 1000  # makes these scenes different from the matting scenes


class _Synthetic(Dataset):
    def __init__(self, seed: int, frames: int, size: int, length: int = 16000, split: str = "train") -> None:
        """frames: T. size: side of the square pictures. length: samples per epoch, any number. split: each one has its
        own scenes."""
        assert split in SPLITS, split
        assert min(frames, size, length) > 0, (frames, size, length)
        self.seed, self.frames, self.size, self.length, self.split = seed, frames, size, length, split

    def __len__(self) -> int:
        return self.length

    def check(self) -> CheckResult:
        return CheckResult("synthetic persons", self.length, (), LICENCE)

    def _address(self, address: int | Address, kind: int) -> tuple[int, ...]:
        epoch, index = split_address(address)
        assert 0 <= index < self.length, f"sample {index} of {self.length}"
        return self.seed, SPLITS.index(self.split) + kind, epoch, index

    def _scene(self, address: tuple[int, ...], frames: int, persons: int | None = None) -> Scene:
        dice = Dice(*address, 9)
        speed = dice.one_of(CLIP_SPEEDS) * (-1 if dice.happens(REVERSED_SHARE) else 1)
        return draw_scene(address, frames, speed=speed, persons=persons)


class SyntheticMatting(_Synthetic):
    """Matting clips. still: a sample repeats one picture T times, and the augmentation adds the motion."""

    def __init__(
        self, seed: int, frames: int, size: int, length: int = 16000, split: str = "train", still: bool = False
    ) -> None:
        super().__init__(seed, frames, size, length, split)
        self.still = still

    def __getitem__(self, address: int | Address) -> MattingSample:
        place = self._address(address, 10 if self.still else 0)
        clip = render(self._scene(place, 1 if self.still else self.frames), self.size, self.size)
        fgr, pha, bgr = (quantise(x, torch.uint8) for x in clip)
        if self.still:
            fgr, pha, bgr = (x.expand(self.frames, -1, -1, -1) for x in (fgr, pha, bgr))
        return MattingSample(fgr=fgr, pha=pha, bgr=bgr, id=_name("matting", place), faults=())


class SyntheticSegmentation(_Synthetic):
    """Composites with their masks: clips, or pictures if frames = 1. A few of them show nobody."""

    def __getitem__(self, address: int | Address) -> SegmentationSample:
        place = self._address(address, _SEGMENTATION)
        persons = 0 if Dice(*place, 8).happens(_EMPTY_SHARE) else None
        fgr, pha, bgr = render(self._scene(place, self.frames, persons), self.size, self.size)
        seg = (pha > 0.5).to(torch.uint8) * 255
        return SegmentationSample(
            img=quantise(composite(fgr, pha, bgr), torch.uint8), seg=seg, id=_name("segmentation", place), faults=()
        )


def _name(kind: str, place: tuple[int, ...]) -> str:
    return f"synthetic/{kind}/" + "/".join(map(str, place))
