"""Makes test clips with known alpha, as in the paper: persons over new backgrounds, and pictures that are moved.

    python -m rvm_studio.training.evaluation_set --output FOLDER [--videomatte FOLDER] [--imagematte FOLDER]
        [--synthetic N] [--background-images FOLDER] [--background-videos FOLDER] [--size low | high | WxH]

writes FOLDER/DATA SET/CLIP/{com,pha,fgr,bgr}/0000.png ... for `rvm-studio eval`. The same options and files give the
same clips. A clip is written under a name that starts with a dot and renamed when it is complete. Complete clips are
not made again, so run the same command again to resume.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from ..core import StudioError, at_least, composite, pictures_from_frames, quantise, to_float
from .datasets.matting_sets import Backgrounds, ImageMatte, VideoMatte240K
from .datasets.synthesis.randomness import Dice
from .evaluation_frames import Behind, Frame, Person, over_background, scene

SIZES = {"low": (512, 288), "high": (1920, 1080)}  # width, height
FRAMES = 100
BACKGROUNDS = 10  # per person; half pictures and half videos if both are given
LAYERS = ("com", "pha", "fgr", "bgr")
_SYNTHETIC = 2002  # makes these scenes different from those of training and validation


@dataclass(frozen=True)
class Plan:
    """A clip to be made. address: numbers that determine all random choices for it."""

    dataset: str
    name: str
    person: Person | None  # None: a synthetic scene
    behind: Behind | None
    address: tuple[int, ...]

    def frames(self, frames: int, size: tuple[int, int]) -> Iterator[Frame]:
        if self.person is None:
            return scene(self.address, frames, size)
        assert self.behind is not None
        return over_background(self.person, self.behind, self.address, frames, size)

    def facts(self, frames: int, size: tuple[int, int]) -> dict[str, object]:
        """What the clip is made from, saved with its frames."""
        source = "synthetic" if self.person is None else f"{self.person.dataset}/{self.person.name}"
        path = self.behind and self.behind.path
        background = "rendered" if path is None else path.name
        return {
            "source": source,
            "background": background,
            "frames": frames,
            "size": list(size),
            "address": list(self.address),
        }


def make_set(plans: list[Plan], output: Path, frames: int, size: tuple[int, int]) -> Iterator[tuple[Plan, str | None]]:
    """Makes the clips that do not exist yet. Yields each plan with the error that prevented its clip, or None.

    size: (W, H). Raises StudioError if a clip exists that was made from something else, or if the folder cannot be
    written.
    """
    for plan in plans:
        folder = output / plan.dataset / plan.name
        facts = plan.facts(frames, size)
        if folder.exists():
            _require_same(folder, facts)
            yield plan, None
            continue
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for layer in LAYERS:
                (partial / layer).mkdir(parents=True)
            count = 0
            for number, frame in enumerate(plan.frames(frames, size)):
                _write(partial, number, frame)
                count = number + 1
            (partial / "clip.json").write_text(json.dumps(facts | {"written": count}) + "\n", encoding="utf-8")
            partial.rename(folder)
        except StudioError as error:
            shutil.rmtree(partial, ignore_errors=True)
            yield plan, str(error)
            continue
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StudioError(f"{folder} cannot be written ({error}). Check the folder and the disk.") from error
        yield plan, None


def plan_set(persons: list[Person], backgrounds: Backgrounds, per_person: int, synthetic: int, seed: int) -> list[Plan]:
    """Plans every person over `per_person` backgrounds, alternately pictures and videos, and `synthetic` scenes."""
    plans = []
    for person in persons:
        number = sum(plan.dataset == person.dataset for plan in plans)
        for turn in range(per_person):
            address = (seed, *person.name.encode(), turn)
            behind = _choose(backgrounds, Dice(*address, 0), turn)
            plans.append(Plan(person.dataset, f"{number + turn:04d}", person, behind, address))
    plans += [Plan("synthetic", f"{k:04d}", None, None, (seed, _SYNTHETIC, 0, k)) for k in range(synthetic)]
    return plans


def find_persons(videomatte: Path | None, imagematte: Path | None) -> list[Person]:
    """The test clips of VideoMatte240K, or all clips of a folder that contains fgr and pha itself; likewise pairs of
    pictures. Without a folder test, those that training holds out for validation. Raises StudioError if there are
    none."""
    persons, none = [], Backgrounds()
    if videomatte:
        split = "test" if (videomatte / "test").is_dir() else "valid"
        data = VideoMatte240K(videomatte, 0, 1, 64, none, split)
        if not data.clips:
            raise StudioError(str(data.check()))
        persons += [Person(data.name, clip.name, clip.fgr, clip.pha) for clip in data.clips]
    if imagematte:
        # if the folder contains fgr and pha itself, use all pairs, which the data set would split
        own = (imagematte / "fgr").is_dir()
        splits = ("train", "valid") if own else ("test",) if (imagematte / "test").is_dir() else ("valid",)
        sets = [ImageMatte(imagematte, 0, 1, 64, none, split) for split in splits]
        pairs = sorted({pair for data in sets for pair in data.pairs})
        if not pairs:
            raise StudioError(str(sets[0].check()))
        persons += [Person(ImageMatte.name, fgr.stem, (fgr,), (pha,), still=True) for fgr, pha in pairs]
    return persons


def _choose(backgrounds: Backgrounds, dice: Dice, turn: int) -> Behind:
    if not backgrounds.images and not backgrounds.videos:
        return Behind(None, False)
    moves = bool(turn % 2) if backgrounds.images and backgrounds.videos else bool(backgrounds.videos)
    return Behind(dice.one_of(backgrounds.videos if moves else backgrounds.images), moves)


def _write(folder: Path, number: int, frame: Frame) -> None:
    """Composites the 8-bit layers, so that the composite fits them to within one step of 255."""
    fgr, pha, bgr = (quantise(x, torch.uint8) for x in frame)
    com = quantise(composite(to_float(fgr), to_float(pha), to_float(bgr)), torch.uint8)
    for layer, x in zip(LAYERS, (com, pha, fgr, bgr), strict=True):
        picture = pictures_from_frames(x)[0]
        image = Image.fromarray(picture[..., 0] if layer == "pha" else picture)
        image.save(folder / layer / f"{number:04d}.png", compress_level=1)


def _require_same(folder: Path, facts: dict[str, object]) -> None:
    try:
        found = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
        same = all(found.get(key) == value for key, value in facts.items())
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        raise StudioError(
            f"{folder} exists, but was made from other files or with another size, number of frames or seed. "
            "Use another --output, or the same options as before."
        )


def _size(text: str) -> tuple[int, int]:
    if text in SIZES:
        return SIZES[text]
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; use low, high or WxH (at least 16x16)")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluation_set", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    data = parser.add_argument_group("persons", "give at least one of these")
    data.add_argument("--videomatte", type=Path, metavar="FOLDER", help="VideoMatte240K, or any clips in fgr and pha")
    data.add_argument("--imagematte", type=Path, metavar="FOLDER", help="pictures in fgr and pha, which will be moved")
    data.add_argument("--synthetic", type=at_least(0), default=0, metavar="N", help="N rendered clips; needs no files")
    behind = parser.add_argument_group("backgrounds", "without pictures or videos, rendered places are used")
    behind.add_argument("--background-images", type=Path, metavar="FOLDER", help="pictures without persons")
    behind.add_argument("--background-videos", type=Path, metavar="FOLDER", help="videos or folders of frames")
    behind.add_argument(
        "--backgrounds",
        type=at_least(1),
        default=BACKGROUNDS,
        metavar="N",
        help=f"backgrounds per person (default {BACKGROUNDS})",
    )
    parser.add_argument("--size", type=_size, default="low", help="low (512x288, default), high (1920x1080) or WxH")
    parser.add_argument(
        "--frames", type=at_least(1), default=FRAMES, metavar="T", help=f"frames per clip, at most (default {FRAMES})"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)
    return parser


def main(words: list[str] | None = None) -> int:
    options = _parser().parse_args(words)
    torch.set_num_threads(1)  # the operations are many and small, so more threads only wait for each other
    failed = 0
    try:
        persons = find_persons(options.videomatte, options.imagematte)
        if not persons and not options.synthetic:
            raise StudioError("No persons were given. Give --videomatte, --imagematte or --synthetic N.")
        backgrounds = Backgrounds(options.background_images, options.background_videos, "test")
        if options.background_images or options.background_videos:
            missing = backgrounds.check().missing
            if missing:
                raise StudioError("\n".join(missing))
        plans = plan_set(persons, backgrounds, options.backgrounds, options.synthetic, options.seed)
        for done, (plan, fault) in enumerate(make_set(plans, options.output, options.frames, options.size), 1):
            name = f"{plan.dataset}/{plan.name}"
            if fault:
                failed += 1
                print(f"{name}: {fault}", file=sys.stderr, flush=True)
            else:
                print(f"{done}/{len(plans)} {name}", flush=True)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run it again with the same options to resume.", file=sys.stderr)
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
