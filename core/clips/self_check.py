"""Checks whether this machine can matte, by running each part briefly.

`rvm-studio check` and `rvm-studio info` report a part as working only if it has just worked.
"""

# H, W

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ForeignError, StudioError
from ..machine.root import SAMPLE
from ..video.hardware_decoding import DeviceTrouble

if TYPE_CHECKING:
    import torch

    from ..engines import Choice, Engine
    from ..video.output_formats import OutputFormat

FRAMES = 2


class CheckError(StudioError):
    """A part that does not work: `step` names it ("decoding", "the network" ...), the message says why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


def matte_two_frames(load: "Callable[[], Engine]") -> "Engine":
    """Decodes two frames of the bundled sample, mattes them with the engine that `load` makes, encodes the matte as
    ProRes and reads it back, as `rvm-studio matte` does. Returns the engine; raises CheckError for the part that fails.
    """
    with _step("decoding"):
        from ..video.reader import open_reader

        with open_reader(SAMPLE) as reader:
            pictures = [frame.image for frame in islice(reader, FRAMES)]
            duration = FRAMES / Fraction(reader.info.frame_rate)
        _expect(len(pictures) == FRAMES, f"{SAMPLE.name} gave {len(pictures)} frames, {FRAMES} were expected")
    with _step("loading the network"):
        engine = load()
    with _step("the network"):
        _run(engine, pictures)
    with _step("encoding"), tempfile.TemporaryDirectory(prefix="rvm-check-") as folder:
        from ..stream.session import MattingSession
        from .matte_clip import ClipOptions, Output, matte_clip

        matte = Path(folder) / "matte.mov"
        report = matte_clip(SAMPLE, [Output(matte, "matte")], MattingSession(engine), ClipOptions(duration=duration))
        with open_reader(matte) as reader:
            _expect(
                report.frames == sum(1 for _ in reader) == FRAMES, f"{report.frames} frames were written, not {FRAMES}"
            )
    return engine


def run_engine(choice: "Choice") -> None:
    """Runs an engine with the bundled weights on a tiny picture. Raises the error if it fails."""
    import numpy as np

    from ..engines import build
    from ..weights.network_weights import STARTER_PATH, load_network

    picture = np.linspace(0, 255, 72 * 128 * 3, dtype=np.uint8).reshape(72, 128, 3)
    _run(build(load_network(STARTER_PATH), choice), [picture] * FRAMES)


def write_and_read(row: "OutputFormat", folder: Path, codec: str | None = None) -> None:
    """Encodes a few tiny frames in this format (in this codec instead of its own) in a folder and reads them back.
    Raises the error if it fails; for a hardware encoder also if software would take its place."""
    import numpy as np

    from ..video.color import ColorTags
    from ..video.picture_spec import PictureSpec
    from ..video.writer import FrameWriter

    content = "rgba" if row.holds("rgba", codec) else "rgb"
    path = folder / f"check{row.suffix}"
    one, levels = Fraction(1, 25), (60, 180)
    height, width = (64, 64) if codec is None else (128, 256)  # DNxHR's smallest is 120 by 256
    tags = ColorTags(matrix=1, range=1, primaries=1, transfer=13)  # sRGB, as which EXR is read back
    spec = PictureSpec(height=height, width=width, frame_rate=1 / one, time_base=one, tags=tags)
    writer = FrameWriter(path, spec, content=content, codec=codec, overwrite=True)
    if writer.replaced:
        writer.abandon(keep=False)
        raise StudioError(writer.replaced)

    def picture(level: int) -> np.ndarray:
        image = np.full((height, width, len(content)), 255, np.uint8)  # opaque
        image[..., :3] = level
        return image

    pictures = [picture(level) for level in levels]  # different, as WebP merges equal frames
    try:
        for number, image in enumerate(pictures):
            writer.write(image, number, number)
        writer.finish()
    except BaseException:
        writer.abandon(keep=False)
        raise
    wanted = [level / 255 for level in levels]
    found = list(_levels_in(path if path.exists() else path.with_suffix("")))
    same = len(found) == len(wanted) and all(abs(a - b) < 0.02 for a, b in zip(found, wanted, strict=True))
    _expect(same, f"the file does not read back as it was written (grey {found}, not {wanted})")


def _levels_in(path: Path) -> Iterator[float]:
    """The mean of each picture, 0..1."""
    import numpy as np
    from PIL import Image, ImageSequence

    from ..video.reader import open_reader

    if path.suffix == ".webp":  # libav writes animated ones but cannot read them
        with Image.open(path) as file:
            yield from (float(np.asarray(page.convert("RGB")).mean()) / 255 for page in ImageSequence.Iterator(file))
        return
    with open_reader(path) as reader:
        for frame in reader:
            yield float(frame.image.mean()) / np.iinfo(frame.image.dtype).max


def decode_on(device: str) -> None:
    """Decodes a frame of the sample on a device. Raises the error if it fails."""
    from ..video.container import open_container, video_stream
    from ..video.hardware_decoding import open_on_device

    with contextlib.closing(open_container(SAMPLE)) as software:
        container, _ = open_on_device(SAMPLE, video_stream(software, SAMPLE), device)
    with contextlib.closing(container):
        _expect(next(container.decode(video=0), None) is not None, "it returned no frame")


def in_words(error: BaseException) -> str:
    """The error in one line; of a library's exception in words, only the exception: the file is not at fault here."""
    if isinstance(error, ForeignError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    if isinstance(error, (StudioError, DeviceTrouble)) and text:
        return " ".join(text)
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if os.environ.get("RVM_DEBUG"):
            raise
        raise CheckError(name, in_words(error)) from error


def _run(engine: "Engine", pictures: list) -> None:
    from ..stream.session import MattingSession

    fgr, pha = MattingSession(engine).matte(pictures)
    _expect(_sound(fgr) and _sound(pha), "its result holds values that are not numbers, or not within 0 to 1")


def _sound(x: "torch.Tensor") -> bool:
    return bool(x.isfinite().all()) and bool((x >= 0).all()) and bool((x <= 1).all())


def _expect(fine: bool, otherwise: str) -> None:
    if not fine:
        raise StudioError(otherwise)
