"""Samples per second of the training data path (decode, augment, composite) on one CPU core, compared with a plain
implementation that sends each frame separately through Pillow and torchvision, with the same augmentation.

    python bench/data_throughput.py [--size 512] [--frames 15] [--samples 24] [--kind video] [--step]

Both read the same small data set in VideoMatte240K's SD layout (768x432 JPEG), with half pictures and half clips as
backgrounds (1280x720), in a temporary folder. Runs alternate sample by sample in this process, with one thread each,
and use the same addresses, so they decode the same frames. A third row renders and augments synthetic persons. CPU
seconds are those of the process, so other programs on the machine hardly change them. --step: the network also trains
on each sample (forward, losses, backward, Adam), and the whole step is reported: data and training one after the other
on one core. With workers or a GPU, they would overlap.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from rvm_studio.core import MattingNetwork
from rvm_studio.core.network.torchvision_import import models  # noqa: F401 - makes torchvision importable anywhere
from rvm_studio.training.augmentation import MattingBatch, augment_matting, ease
from rvm_studio.training.datasets.matting_sets import Backgrounds, ImageMatte, VideoMatte240K
from rvm_studio.training.datasets.pictures import PICTURES, draw_frames, find
from rvm_studio.training.datasets.samples import collate
from rvm_studio.training.datasets.synthesis.randomness import Dice
from rvm_studio.training.datasets.synthetic import SyntheticMatting
from rvm_studio.training.distributed import World
from rvm_studio.training.recipe import STAGES, MattingAugmentation, augmentation_for
from rvm_studio.training.step import Trainer, make_optimiser, train_mode
from torchvision.transforms import functional as tv

FOREGROUND, BACKGROUND = (768, 432), (1280, 720)
CLIP_FRAMES, BACKGROUND_FRAMES = 60, 60


def write_data(folder: Path) -> None:
    """Writes rendered persons and places as JPEG files in the published layout."""
    scenes = SyntheticMatting(0, 1, 256)
    for part in ("fgr", "pha"):
        (folder / "VM" / "train" / part / "0001").mkdir(parents=True)
        (folder / "IM" / "train" / part).mkdir(parents=True)
    (folder / "videos" / "0000").mkdir(parents=True)
    (folder / "images").mkdir()
    for k in range(CLIP_FRAMES):
        sample = scenes[k]
        for part in ("fgr", "pha"):
            picture = picture_of(sample[part][0]).resize(FOREGROUND, Image.Resampling.BICUBIC)
            picture.save(folder / "VM" / "train" / part / "0001" / f"{k:05d}.jpg", quality=90)
            picture.save(folder / "IM" / "train" / part / f"{k:05d}.jpg", quality=90)
        picture = picture_of(sample["bgr"][0]).resize(BACKGROUND, Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{k:05d}.jpg", quality=90)
        picture.save(folder / "videos" / "0000" / f"{k:05d}.jpg", quality=90)


def picture_of(frame: torch.Tensor) -> Image.Image:
    return Image.fromarray(frame.permute(1, 2, 0).squeeze(2).numpy())


class PlainPipeline:
    """The obvious implementation: each frame is opened, resized, augmented and cropped separately, then composited."""

    def __init__(self, data: VideoMatte240K | ImageMatte, settings: MattingAugmentation, size: int) -> None:
        self.data, self.settings, self.size = data, settings, size

    def __call__(self, epoch: int, index: int) -> torch.Tensor:
        """[1, T, 3, h, w], composited."""
        fgr, pha, bgr = (
            [tv.resize(self.opened(path, mode), [self.size, self.size]) for path in paths]
            for paths, mode in zip(self.files(epoch, index), ("RGB", "L", "RGB"), strict=True)
        )
        return self.augmented(fgr, pha, bgr, random.Random(1000 * epoch + index))

    def files(self, epoch: int, index: int) -> tuple[list[Path], list[Path], list[Path]]:
        """The files that the data set reads for this address."""
        dice = Dice(self.data.seed, epoch, index, 0)
        frames = self.data.frames
        if isinstance(self.data, VideoMatte240K):
            number, start = self.data._items[index]
            clip = self.data.clips[number]
            assert not isinstance(clip.fgr, Path)
            assert not isinstance(clip.pha, Path)
            places, _ = draw_frames(dice, start, clip.length, frames)
            fgr, pha = [clip.fgr[k] for k in places], [clip.pha[k] for k in places]
        else:
            fgr, pha = ([path] * frames for path in self.data.pairs[index])
        backgrounds = self.data.backgrounds
        if dice.happens(0.5):
            path = backgrounds.videos[dice.whole(0, len(backgrounds.videos) - 1)]
            found = find(path, PICTURES)
            places, _ = draw_frames(dice, dice.whole(0, len(found) - 1), len(found), frames)
            return fgr, pha, [found[k] for k in places]
        return fgr, pha, [backgrounds.images[dice.whole(0, len(backgrounds.images) - 1)]] * frames

    @staticmethod
    def opened(path: Path, mode: str) -> Image.Image:
        with Image.open(path) as image:
            return image.convert(mode)

    def augmented(self, fgr: list, pha: list, bgr: list, dice: random.Random) -> torch.Tensor:
        odds = self.settings
        frames = len(fgr)
        for layers, limits in (((fgr, pha), odds.fgr_pose), ((bgr,), odds.bgr_pose)):
            pose = self.pose(dice, limits)
            for layer in layers:
                layer[:] = [self.moved(frame, pose) for frame in layer]
        for chance, choices in (
            (odds.fgr_motion, ((fgr, pha),)),
            (odds.bgr_motion, ((bgr,), (fgr, pha, bgr))),
        ):
            if dice.random() < chance:
                path = ease(frames, torch.Generator().manual_seed(dice.randrange(2**31))).tolist()
                ends = self.pose(dice, odds.motion), self.pose(dice, odds.motion)
                for layer in dice.choice(choices):
                    poses = [[a + (b - a) * t for a, b in zip(*ends, strict=True)] for t in path]
                    layer[:] = [self.moved(frame, pose) for frame, pose in zip(layer, poses, strict=True)]
        for layers in ((fgr, pha), (bgr,)):
            if dice.random() < odds.flip:
                for layer in layers:
                    layer[:] = [tv.hflip(frame) for frame in layer]
        if dice.random() < odds.grey:
            fgr, bgr = ([tv.to_grayscale(frame, 3) for frame in layer] for layer in (fgr, bgr))
        fgr, bgr = self.colored(fgr, dice), self.colored(bgr, dice)
        fgr_tensors, bgr_tensors = self.noisy(fgr, dice), self.noisy(bgr, dice)
        pha_tensors = [tv.to_tensor(frame) for frame in pha]
        h, w = (dice.randrange(self.size // 2, self.size) for _ in range(2))
        side = max(h, w)
        composites = []
        for f, a, b in zip(fgr_tensors, pha_tensors, bgr_tensors, strict=True):
            f, a, b = (tv.center_crop(tv.resize(x, [side, side], antialias=True), [h, w]) for x in (f, a, b))
            composites.append(f * a + b * (1 - a))
        return torch.stack(composites)[None]

    @staticmethod
    def pose(dice: random.Random, limits) -> list[float]:
        between = dice.uniform
        return [
            between(-limits.rotation, limits.rotation),
            between(-limits.shift, limits.shift),
            between(-limits.shift, limits.shift),
            math.exp(between(math.log(limits.scale[0]), math.log(limits.scale[1]))),
            between(-limits.shear, limits.shear),
        ]

    def moved(self, frame: Image.Image, pose: list[float]) -> Image.Image:
        angle, x, y, scale, shear = pose
        shift = [round(x * self.size), round(y * self.size)]
        return tv.affine(frame, angle, shift, scale, [shear, 0.0], tv.InterpolationMode.BILINEAR)

    def colored(self, frames: list, dice: random.Random) -> list:
        odds, jitter = self.settings, self.settings.jitter
        if dice.random() < odds.color_jitter:
            spans = (jitter.brightness, jitter.contrast, jitter.saturation)
            brightness, contrast, saturation = (dice.uniform(1 - span, 1 + span) for span in spans)
            hue = dice.uniform(-jitter.hue, jitter.hue)
            frames = [tv.adjust_brightness(frame, brightness) for frame in frames]
            frames = [tv.adjust_contrast(frame, contrast) for frame in frames]
            frames = [tv.adjust_saturation(frame, saturation) for frame in frames]
            frames = [tv.adjust_hue(frame, hue) for frame in frames]
        if dice.random() < odds.sharpness:
            factor = dice.uniform(0, odds.sharpness_factor)
            frames = [tv.adjust_sharpness(frame, factor) for frame in frames]
        if dice.random() < odds.blur:
            sigma = max(0.1, dice.uniform(0, odds.blur_sigma))
            frames = [tv.gaussian_blur(frame, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2) for frame in frames]
        return frames

    def noisy(self, frames: list, dice: random.Random) -> list[torch.Tensor]:
        tensors = [tv.to_tensor(frame) for frame in frames]
        if dice.random() >= self.settings.noise:
            return tensors
        sigma, grain = dice.uniform(0, self.settings.noise_sigma), dice.uniform(*self.settings.noise_grain)
        side = math.ceil(self.size / grain)
        for frame in tensors:
            frame += tv.resize(torch.randn(3, side, side) * sigma, [self.size, self.size])
        return [frame.clamp_(0, 1) for frame in tensors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--kind", choices=("video", "image"), default="video")
    parser.add_argument("--step", action="store_true", help="also train on the samples")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = augmentation_for(arguments.kind)
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        backgrounds = Backgrounds(folder / "images", folder / "videos")
        make, part = (VideoMatte240K, "VM") if arguments.kind == "video" else (ImageMatte, "IM")
        data = make(folder / part, 1, arguments.frames, arguments.size, backgrounds)
        plain = PlainPipeline(data, settings, arguments.size)
        rendered = SyntheticMatting(1, arguments.frames, arguments.size, still=arguments.kind == "image")

        def ours(source, epoch: int, index: int) -> torch.Tensor:
            nonlocal batch
            sample = collate([source[epoch, index]])
            batch = augment_matting(sample["fgr"], sample["pha"], sample["bgr"], arguments.size, generator, settings)
            return batch.src

        ways = {
            "plain, frame by frame": plain,
            "batched": lambda epoch, index: ours(data, epoch, index),
            "batched, synthetic persons": lambda epoch, index: ours(rendered, epoch, index),
        }
        took = {way: ([], []) for way in ways}
        batch: MattingBatch | None = None
        trainer, trained = make_trainer() if arguments.step else None, []
        for sample in range(-1, arguments.samples):
            for way, run in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                result = run(sample + 1, sample % len(data))
                assert result.shape[:3] == (1, arguments.frames, 3), result.shape
                if sample >= 0:  # the first one is a warm-up
                    took[way][0].append(time.perf_counter() - wall)
                    took[way][1].append(time.process_time() - cpu)
            if trainer is not None:
                cpu = time.process_time()
                trainer.run_pass("low", [(batch, ["sample"])], 1)
                if sample >= 0:
                    trained.append(time.process_time() - cpu)
    print(f"{arguments.kind} data, {arguments.frames} frames, S = {arguments.size}, one thread")
    print("| data path | samples/s | CPU s per sample | frames/s | against plain (CPU) |")
    print("|---|---|---|---|---|")
    reference = statistics.mean(took["plain, frame by frame"][1])
    for way, (walls, cpus) in took.items():
        wall, cpu = statistics.mean(walls), statistics.mean(cpus)
        rate = f"{1 / wall:.2f} | {cpu:.2f} | {arguments.frames / wall:.0f}"
        print(f"| {way} | {rate} | {reference / cpu:.2f}x |")
    if trained:
        step = statistics.mean(trained)
        print(f"\ntraining on a sample: {step:.2f} CPU s (the same for all)")
        print("| whole step | samples/s | share of the data path | against plain |")
        print("|---|---|---|---|")
        for way, (_, cpus) in took.items():
            cpu = statistics.mean(cpus)
            share = 100 * cpu / (cpu + step)
            print(f"| {way} | {1 / (cpu + step):.3f} | {share:.0f} % | {(reference + step) / (cpu + step):.2f}x |")


def make_trainer() -> Trainer:
    network = MattingNetwork()
    train_mode(network)
    optimiser = make_optimiser(network, STAGES[0].rates)
    assert optimiser is not None
    return Trainer(network, optimiser, World())


if __name__ == "__main__":
    main()
