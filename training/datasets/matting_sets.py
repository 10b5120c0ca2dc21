"""Matting data on the disk: VideoMatte240K (frames or the published videos), ImageMatte, and backgrounds for both."""

# T frames, S side of the square pictures

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...core import VIDEO_SUFFIXES, quantise
from ..recipe import VIDEO_BACKGROUND_SHARE, VIDEOMATTE_VALIDATION
from .pictures import (
    PICTURES,
    VideoFrames,
    by,
    draw_frames,
    find,
    folders,
    load_picture,
    load_sequence,
    picture_size,
    some,
)
from .samples import CheckResult, FileDataset, UnreadableSampleError
from .synthesis.backdrop import draw_plate
from .synthesis.randomness import Dice

VIDEOMATTE_LICENCE = "MIT, as its author states; Lin et al. 2021, Real-Time High-Resolution Background Matting"
IMAGEMATTE_LICENCE = "Distinctions-646 and Adobe Image Matting: for research only, ask their authors"
BACKGROUND_LICENCE = "that of your own files"
_HELD_OUT = 20  # every 20th sample is for validation if there is no folder for it


@dataclass(frozen=True)
class Clip:
    """The frames of two folders, or two videos."""

    name: str
    fgr: tuple[Path, ...] | Path
    pha: tuple[Path, ...] | Path
    length: int


class Backgrounds:
    """Pictures, clips, or half of each if both are given. If neither is given, rendered places."""

    def __init__(self, images: Path | None = None, videos: Path | None = None, split: str = "train") -> None:
        """images: a folder of pictures. videos: a folder with a folder of frames or a video file per clip. Both may
        contain folders named train, valid, test."""
        self.images_folder, self.videos_folder = (
            folder and _split_folder(folder, split) for folder in (images, videos)
        )
        self.images = find(self.images_folder, PICTURES) if self.images_folder else []
        self.videos: list[Path] = []
        if self.videos_folder:
            self.videos = sorted(
                [
                    *(f for f in folders(self.videos_folder) if find(f, PICTURES)),
                    *find(self.videos_folder, VIDEO_SUFFIXES),
                ]
            )

    def check(self) -> CheckResult:
        missing = []
        for kind, folder, found, expected in (
            ("pictures", self.images_folder, self.images, "files such as .jpg or .png"),
            ("clips", self.videos_folder, self.videos, "a video file or a folder of frames per clip"),
        ):
            if folder and not folder.is_dir():
                missing.append(f"The folder {folder} does not exist. Check the path.")
            elif folder and not found:
                missing.append(f"{folder} contains no {kind}. Expected {expected}.")
        if not self.images and not self.videos:
            missing.append("Rendered places are used instead.")
        return CheckResult(
            f"backgrounds ({len(self.images)} pictures, {len(self.videos)} clips)",
            len(self.images) + len(self.videos),
            tuple(missing),
            BACKGROUND_LICENCE,
        )

    def draw(self, dice: Dice, frames: int, size: int) -> tuple[Tensor, str]:
        """[T, 3, S, S] uint8 and its name. Raises UnreadableSampleError."""
        moving = dice.happens(VIDEO_BACKGROUND_SHARE) if self.images and self.videos else bool(self.videos)
        if moving:
            path = self.videos[dice.whole(0, len(self.videos) - 1)]
            return self._draw_clip(dice, path, frames, size), path.name
        if self.images:
            path = self.images[dice.whole(0, len(self.images) - 1)]
            return load_picture(path, size)[None].expand(frames, -1, -1, -1), path.name
        plate = draw_plate(dice, size, size, torch.device("cpu"))
        return quantise(plate[None], torch.uint8).expand(frames, -1, -1, -1), "rendered"

    @staticmethod
    def _draw_clip(dice: Dice, path: Path, frames: int, size: int) -> Tensor:
        files = find(path, PICTURES) if path.is_dir() else None
        length = len(files) if files else VideoFrames(path).count()
        places, _ = draw_frames(dice, dice.whole(0, max(0, length - 1)), length, frames)
        if files:
            return load_sequence([files[k] for k in places], size)
        return VideoFrames(path).load(places, size)


class VideoMatte240K(FileDataset):
    """Filmed persons with alpha, in the layouts of the published archives:

    frames   train/fgr/0001/00000.jpg, train/pha/0001/00000.jpg, test/fgr/..., test/pha/...
    videos   train/fgr/0001.mp4, train/pha/0001.mp4, test/...

    `folder` contains train and test, or fgr and pha themselves. Clips 0000, 0100, 0200 and 0300 of train are for
    validation, unless there is a folder valid. A sample is T frames; an epoch uses every frame once.
    """

    name = "VideoMatte240K"

    def __init__(
        self, folder: Path, seed: int, frames: int, size: int, backgrounds: Backgrounds, split: str = "train"
    ) -> None:
        super().__init__(seed)
        assert split in ("train", "valid", "test"), split
        self.folder, self.frames, self.size, self.backgrounds, self.split = (
            Path(folder),
            frames,
            size,
            backgrounds,
            split,
        )
        self.missing: list[str] = []
        self.clips = self._find_clips()
        self._items = [
            (k, start)
            for k, clip in enumerate(self.clips)
            for start in range(0, max(1, clip.length - frames + 1), frames)
        ]

    def __len__(self) -> int:
        return len(self._items)

    def check(self) -> CheckResult:
        missing = list(self.missing)
        for clip in self.clips:
            try:
                sizes = [_clip_size(part) for part in (clip.fgr, clip.pha)]
            except UnreadableSampleError as error:
                missing.append(str(error))
                continue
            if sizes[0] != sizes[1]:
                missing.append(f"Clip {clip.name}: fgr is {by(sizes[0])}, pha {by(sizes[1])}. Expected the same size.")
        return CheckResult(
            f"{self.name} ({self.split}, {len(self.clips)} clips)", len(self), tuple(missing), VIDEOMATTE_LICENCE
        )

    def load(self, index: int, dice: Dice) -> dict:
        number, start = self._items[index]
        clip = self.clips[number]
        places, words = draw_frames(dice, start, clip.length, self.frames)
        if isinstance(clip.fgr, Path):
            assert isinstance(clip.pha, Path)
            fgr, pha = (
                VideoFrames(clip.fgr).load(places, self.size),
                VideoFrames(clip.pha).load(places, self.size, gray=True),
            )
        else:
            assert not isinstance(clip.pha, Path)
            first = places[0]
            if picture_size(clip.fgr[first]) != (size := picture_size(clip.pha[first])):
                raise UnreadableSampleError(
                    f"{clip.fgr[first]} is not {size[0]}x{size[1]} like its alpha {clip.pha[first].name}."
                )
            fgr = load_sequence([clip.fgr[k] for k in places], self.size)
            pha = load_sequence([clip.pha[k] for k in places], self.size, gray=True)
        bgr, background = self.backgrounds.draw(dice, self.frames, self.size)
        return {"fgr": fgr, "pha": pha, "bgr": bgr, "id": f"{self.name}/{clip.name} {words} over {background}"}

    def _find_clips(self) -> list[Clip]:
        folder, names = self._split()
        if not (folder / "fgr").is_dir() or not (folder / "pha").is_dir():
            self.missing.append(
                f"{folder} has no folders fgr and pha. "
                "Expected the unpacked data set with fgr and pha in train and test."
            )
            return []
        fgr, pha = (_clip_parts(folder / part) for part in ("fgr", "pha"))
        clips = []
        for name in sorted({*fgr, *pha}):
            if not names(name):
                continue
            if name not in fgr or name not in pha:
                lacking = "pha" if name in fgr else "fgr"
                self.missing.append(
                    f"Clip {name} has no {lacking}: {folder / lacking / name} is missing. The clip is not used."
                )
                continue
            clip = self._pair(name, fgr[name], pha[name])
            if clip is not None:
                clips.append(clip)
        if not clips and not self.missing:
            self.missing.append(f"{folder / 'fgr'} contains no clips for {self.split}.")
        return clips

    def _pair(self, name: str, fgr: Path, pha: Path) -> Clip | None:
        if fgr.is_dir() != pha.is_dir():
            self.missing.append(f"Clip {name}: one of fgr and pha is a video, the other a folder. It is not used.")
            return None
        if not fgr.is_dir():
            try:
                counts = VideoFrames(fgr).count(), VideoFrames(pha).count()
            except UnreadableSampleError as error:
                self.missing.append(f"Clip {name}: {error} The clip is not used.")
                return None
            if counts[0] != counts[1]:
                self.missing.append(
                    f"Clip {name}: fgr has {counts[0]} frames, pha {counts[1]}. Only the first {min(counts)} are used."
                )
            return Clip(name, fgr, pha, min(counts))
        alphas = {path.stem: path for path in find(pha, PICTURES)}
        colors = find(fgr, PICTURES)
        pairs = [(path, alphas[path.stem]) for path in colors if path.stem in alphas]
        lacking = [path.name for path in colors if path.stem not in alphas]
        if lacking:
            self.missing.append(f"Clip {name}: {len(lacking)} frames have no pha ({some(lacking)}). They are not used.")
        if not pairs:
            self.missing.append(f"Clip {name} has no frames with both fgr and pha. The clip is not used.")
            return None
        return Clip(name, tuple(a for a, _ in pairs), tuple(b for _, b in pairs), len(pairs))

    def _split(self):
        """(the folder of the split, a function that tells from a clip's name whether it belongs to the split)."""
        if (self.folder / "fgr").is_dir():
            return self.folder, lambda name: True
        if self.split == "test" or (self.split == "valid" and (self.folder / "valid").is_dir()):
            return self.folder / self.split, lambda name: True
        if (self.folder / "valid").is_dir():
            return self.folder / "train", lambda name: True
        held_out = self.split == "valid"
        return self.folder / "train", lambda name: (name in VIDEOMATTE_VALIDATION) == held_out


class ImageMatte(FileDataset):
    """Stills with alpha: fgr/NAME.jpg with pha/NAME.png (any picture format), in train, valid and test or directly.

    These may be Distinctions-646 and Adobe Image Matting together, or any other pairs. A sample repeats one picture T
    times. Without a folder valid, every 20th picture is for validation.
    """

    name = "ImageMatte"

    def __init__(
        self, folder: Path, seed: int, frames: int, size: int, backgrounds: Backgrounds, split: str = "train"
    ) -> None:
        super().__init__(seed)
        assert split in ("train", "valid", "test"), split
        self.frames, self.size, self.backgrounds, self.split = frames, size, backgrounds, split
        self.missing: list[str] = []
        self.folder = _split_folder(Path(folder), split)
        colors, alphas = ({path.stem: path for path in find(self.folder / part, PICTURES)} for part in ("fgr", "pha"))
        if not colors or not alphas:
            self.missing.append(
                f"{self.folder} has no pictures in folders fgr and pha. Expected fgr/NAME.jpg with pha/NAME.png."
            )
        for part, own, other in (("pha", colors, alphas), ("fgr", alphas, colors)):
            lacking = sorted(own.keys() - other.keys())
            if lacking:
                self.missing.append(f"{len(lacking)} pictures have no {part} ({some(lacking)}). They are not used.")
        pairs = [(colors[stem], alphas[stem]) for stem in sorted(colors.keys() & alphas.keys())]
        if self.folder == Path(folder) or (split == "train" and not (Path(folder) / "valid").is_dir()):
            pairs = [pair for k, pair in enumerate(pairs) if (k % _HELD_OUT == 0) == (split == "valid")] or pairs
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def check(self) -> CheckResult:
        missing = list(self.missing)
        for fgr, pha in self.pairs:
            try:
                sizes = picture_size(fgr), picture_size(pha)
            except UnreadableSampleError as error:
                missing.append(str(error))
                continue
            if sizes[0] != sizes[1]:
                missing.append(f"{fgr.name} is {by(sizes[0])}, its alpha {by(sizes[1])}. Expected the same size.")
        return CheckResult(f"{self.name} ({self.split})", len(self), tuple(missing), IMAGEMATTE_LICENCE)

    def load(self, index: int, dice: Dice) -> dict:
        fgr, pha = self.pairs[index]
        shape = picture_size(fgr)
        pictures = [
            load_picture(fgr, self.size)[None],
            load_picture(pha, self.size, True, like=shape)[None],
        ]
        bgr, background = self.backgrounds.draw(dice, self.frames, self.size)
        fgr_frames, pha_frames = (x.expand(self.frames, -1, -1, -1) for x in pictures)
        return {"fgr": fgr_frames, "pha": pha_frames, "bgr": bgr, "id": f"{self.name}/{fgr.stem} over {background}"}


def _split_folder(folder: Path, split: str) -> Path:
    """The split's folder in `folder`, or train, or `folder` itself, whichever exists first."""
    if (folder / split).is_dir():
        return folder / split
    return folder / "train" if (folder / "train").is_dir() else folder


def _clip_parts(folder: Path) -> dict[str, Path]:
    """Clip name -> its folder of frames or video file."""
    return {
        path.stem if path.is_file() else path.name: path for path in (*folders(folder), *find(folder, VIDEO_SUFFIXES))
    }


def _clip_size(part: tuple[Path, ...] | Path) -> tuple[int, int]:
    return VideoFrames(part).size() if isinstance(part, Path) else picture_size(part[0])
