"""The background of a composite: a colour, a picture, a video, or the blurred source."""

# T frames, C channels, H, W

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import ImageColor
from torch import Tensor

from ..errors import StudioError
from ..machine.given_path import given_path
from ..pictures.alpha_ops import blurred_background
from ..pictures.pixel_format import INTEGER_SCALE, frames_from_pictures, to_float
from ..video.reader import open_reader


class Background:
    """Provides the background of each frame, on the device of the frames.

    what: "blur", a colour (a name such as "green", "#00b140", "rgb(0,177,64)"), the path of a picture, a video or a
    folder of pictures (25 per second), or frames [T, 3, h, w] (float 0..1, uint8 or uint16), one for each of the
    clip's, repeated from the first if there are fewer. They are scaled to cover the frame and cropped around the
    centre; a video plays at its own speed and loops. Raises StudioError for anything else and for a file that cannot be
    read.
    """

    def __init__(self, what: str | Tensor):
        self.needs_source = isinstance(what, str) and what == "blur"
        """Whether `frames` uses the source."""
        self._still: Tensor | None = None  # [1, 3, h, w], or [1, 3, 1, 1] for a colour
        self._frames: Tensor | None = None  # [T, 3, h, w], T > 1
        self._moving: Generator[tuple[float, Tensor], None, None] | None = None
        if self.needs_source:
            return
        if isinstance(what, Tensor):
            self._take_frames(what)
            return
        try:
            self._still = parse_color(what).view(1, 3, 1, 1)
        except StudioError:
            self._open_file(what)

    def _take_frames(self, frames: Tensor) -> None:
        known = frames.is_floating_point() or frames.dtype in INTEGER_SCALE
        if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape or not known:
            raise StudioError(
                f"The background is {frames.dtype} of the shape {list(frames.shape)}; expected at least one frame "
                "[T, 3, H, W], float 0..1, uint8 or uint16."
            )
        if len(frames) == 1:
            self._still = to_float(frames)
        else:
            self._frames = frames

    def _open_file(self, text: str) -> None:
        path = given_path(text or "?")
        if not text or not path.exists():
            raise StudioError(
                f"The background {text!r} is neither a colour nor a file. Use a name such as green, "
                "a colour such as #00b140, the path of a picture or video, or blur."
            )
        with closing(open_reader(path)) as reader:
            if reader.info.kind != "still":
                self._moving = _looped(path)
                self._current = next(self._moving)
                self._next = next(self._moving)
            else:
                self._still = to_float(frames_from_pictures([next(iter(reader)).image]))

    def frames(self, src: Tensor | None, pha: Tensor, seconds: list[float], first: int = 0) -> Tensor:
        """src [T, 3, H, W] (None unless `needs_source`) and pha [T, 1, H, W] shown at `seconds`, from frame number
        `first` of the clip on -> bgr [T, 3, H, W], or [1, 3, 1, 1] or [1, 3, H, W] if all are equal."""
        H, W = pha.shape[-2:]  # noqa: N806
        if self.needs_source:
            assert src is not None
            return blurred_background(src, pha)
        if (still := self.still(H, W)) is not None:
            self._still = still.to(pha.device)
            return self._still
        return torch.cat([cover(self._frame_at(t, n).to(pha.device), H, W) for n, t in enumerate(seconds, first)])

    def still(self, height: int, width: int) -> Tensor | None:
        """bgr [1, 3, 1, 1] or [1, 3, H, W] of every frame; None if the frames differ."""
        if self._still is None:
            return None
        if self._still.shape[-2:] not in ((1, 1), (height, width)):
            self._still = cover(self._still, height, width)
        return self._still

    def close(self) -> None:
        """Closes a video's file; may be called again."""
        if self._moving is not None:
            self._moving.close()

    def _frame_at(self, second: float, number: int) -> Tensor:
        if self._frames is not None:
            number %= len(self._frames)
            return to_float(self._frames[number : number + 1])
        assert self._moving is not None
        while self._next[0] <= second:
            self._current, self._next = self._next, next(self._moving)
        return self._current[1]


def parse_color(text: str) -> Tensor:
    """A colour's name, "#00b140" or "rgb(0,177,64)" -> [3] float 0..1. Raises StudioError for anything else."""
    try:
        return torch.tensor(ImageColor.getrgb(text.strip())[:3], dtype=torch.float32) / 255
    except ValueError as error:
        raise StudioError(f"{text!r} is not a colour. Use a name such as green, or #00b140.") from error


def _looped(path: Path) -> Generator[tuple[float, Tensor], None, None]:
    """(second, frame [1, 3, h, w]) of a video in an endless loop; each round begins one frame after the last frame."""
    start = 0.0
    while True:
        second = start
        with closing(open_reader(path)) as reader:
            first, frame_time = None, float(1 / (reader.info.frame_rate or Fraction(25)))
            for frame in reader:
                first = frame.pts if first is None else first
                second = start + float((frame.pts - first) * reader.info.time_base)
                yield second, to_float(frames_from_pictures([frame.image]))
        start = second + frame_time


def cover(bgr: Tensor, height: int, width: int) -> Tensor:
    """[1, 3, h, w] scaled, keeping its aspect ratio, until it covers height x width, and cropped around the centre."""
    scale = max(height / bgr.shape[2], width / bgr.shape[3])
    size = (max(height, round(bgr.shape[2] * scale)), max(width, round(bgr.shape[3] * scale)))
    if size != tuple(bgr.shape[2:]):
        bgr = F.interpolate(bgr, size, mode="bilinear", antialias=True).clamp_(0, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return bgr[:, :, top : top + height, left : left + width]
