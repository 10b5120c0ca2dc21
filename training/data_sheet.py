"""A contact sheet of the training data: composites after augmentation, and below each one its alpha or mask.

python -m rvm_studio.training.data_sheet sheet.png [--kind image] [--segmentation] [--size 256] [data options]
"""

# B clips, T frames, h, w

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..core import StudioError, atomic_file, pictures_from_frames, quantise
from .augmentation import augment_matting, augment_segmentation
from .data_config import DataConfig, add_data_options, config_from_options, matting_data, segmentation_data
from .datasets.samples import collate
from .recipe import SEGMENTATION_AUGMENTATION, augmentation_for

COLUMNS = 8


def draw_sheet(pairs: list[tuple[Tensor, Tensor]], path: Path, columns: int = COLUMNS, side: int = 192) -> Path:
    """Draws pairs of a picture [3, h, w] and its alpha [1, h, w] (0..1, any size) in rows, to a .png or .jpg file.

    Raises StudioError if it cannot be written.
    """
    assert pairs, "nothing to draw"
    tiles = [torch.cat((_square(src, side), _square(pha.expand(3, -1, -1), side)), 1) for src, pha in pairs]
    tiles += [torch.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [torch.cat(tiles[k : k + columns], 2) for k in range(0, len(tiles), columns)]
    sheet = pictures_from_frames(quantise(torch.cat(rows, 1)[None].cpu(), torch.uint8))[0]
    try:
        with atomic_file(path) as partial:
            Image.fromarray(sheet).save(partial)
    except (OSError, ValueError) as error:
        raise StudioError(f"The sheet cannot be written to {path}: {error}. Use a writable .png path.") from error
    return path


def _square(picture: Tensor, side: int) -> Tensor:
    """[C, h, w] centred in a black square, with its aspect ratio kept."""
    h, w = picture.shape[-2:]
    high, wide = max(1, round(side * h / max(h, w))), max(1, round(side * w / max(h, w)))
    small = F.interpolate(picture[None].float(), (high, wide), mode="bilinear", antialias=True, align_corners=False)[0]
    left, top = (side - wide) // 2, (side - high) // 2
    return F.pad(small, (left, side - wide - left, top, side - high - top))


def sample_pairs(config: DataConfig, kind: str, segmentation: bool, size: int, clips: int, seed: int):
    """(the first frame of each of `clips` augmented samples with its alpha or mask, faults of the data)."""
    generator = torch.Generator().manual_seed(seed)
    frames = 1
    data = segmentation_data(config, kind, frames, size, seed) if segmentation else None
    if segmentation and data is None:
        raise StudioError(
            f"No folder with segmentation data of kind {kind!r} is named. Name one, or leave out --segmentation."
        )
    data = data or matting_data(config, kind, frames, size, seed)
    pairs, faults = [], []
    for k in range(clips):
        batch = collate([dict(data[k // len(data), k * 7919 % len(data)])])
        if segmentation:
            src, alpha = augment_segmentation(batch["img"], batch["seg"], size, generator, SEGMENTATION_AUGMENTATION)
        else:
            layers = batch["fgr"], batch["pha"], batch["bgr"]
            src, _, alpha = augment_matting(*layers, size, generator, augmentation_for(kind))
        pairs.append((src[0, 0], alpha[0, 0]))
        faults += batch["faults"]
    return pairs, faults


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="data_sheet", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("output", type=Path)
    parser.add_argument("--kind", choices=("video", "image"), default="video")
    parser.add_argument("--segmentation", action="store_true", help="show segmentation data instead of matting data")
    parser.add_argument("--size", type=int, default=256, metavar="S")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    add_data_options(parser)
    options = parser.parse_args(words)
    torch.set_num_threads(1)  # the operations are many and small, so more threads only wait for each other
    try:
        config = config_from_options(options)
        wanted = options.kind, options.segmentation, options.size, options.clips, options.seed
        pairs, faults = sample_pairs(config, *wanted)
        print(draw_sheet(pairs, options.output))
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    for fault in faults:
        print(fault, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
