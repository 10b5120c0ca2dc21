"""Small outputs for tests: a writer, its pictures, an encoder's setup."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.container_file import ContainerFile
from rvm_studio.core.video.encoder_setup import EncoderSetup
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.partial_output import Written
from rvm_studio.core.video.picture_files import PictureFiles
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

TIME_BASE = Fraction(1, 30000)
BT709 = ColorTags(1, 1, 1, 1)


def writer(path: Path, content="rgba", **more) -> FrameWriter:
    return FrameWriter(path, spec_of(), content=content, **more)


def spec_of(height=16, width=32, frame_rate=Fraction(30000, 1001), time_base=TIME_BASE) -> PictureSpec:
    return PictureSpec(height=height, width=width, frame_rate=frame_rate, time_base=time_base, tags=BT709)


def names(folder: Path) -> list[str]:
    """Of the files in a folder, but the claims on outputs, hidden files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


def image(step: int, channels=4) -> np.ndarray:
    picture = np.full((16, 32, channels), 20 * step + 40, np.uint8)
    picture[:, step : step + 4] = 230
    return picture


def setup_of(path: Path, content="rgba", quality=None, threads=None, size=(16, 32)) -> EncoderSetup:
    encoding = format_for(path).encoding_for(content, 1)
    options = encoding.options_for(quality, *size)
    name = encoding.pixel_format_for(8)[1]
    return EncoderSetup(encoding, name, spec_of(*size), options, threads)


def stopped(path: Path, count=3) -> Written:
    made = writer(path)
    for step in range(count):
        made.write(image(step), 1001 * step + 500, step)
    assert made.abandon(keep=True)
    return made.written


def file_resumed_from(path: Path, earlier: Written) -> ContainerFile | PictureFiles:
    if path.suffix == ".png":
        return PictureFiles(path, setup_of(path), False, False, earlier)
    return ContainerFile(path, format_for(path), setup_of(path), None, "straight", False, earlier)
