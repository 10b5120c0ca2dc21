"""Writes pictures that a program holds or makes one by one to a file, with transparency, and with sound from memory."""

# T frames, C channels, H, W

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from torch import Tensor

from ..errors import StudioError, boundary
from ..pictures.alpha_ops import hide_invisible, premultiply
from ..pictures.pixel_format import frames_from_pictures, pictures_from_frames, quantise, rgba_pictures, to_float
from ..stream.session import Stopped
from ..video.color import MATRIX_BT709, PRIMARIES_BT709, RANGE_LIMITED, ColorTags
from ..video.output_formats import Content, format_for
from ..video.picture_spec import PictureSpec
from ..video.track_copy import USUAL_LAYOUTS
from ..video.writer import FrameWriter

_TAGS = ColorTags(MATRIX_BT709, RANGE_LIMITED, PRIMARIES_BT709, PRIMARIES_BT709)
_HIGHEST_RATE = 768_000  # samples a second
_CONTENTS: dict[int, Content] = {1: "gray", 3: "rgb", 4: "rgba"}


def write_frames(
    path: Path,
    pictures: Tensor | Iterable[np.ndarray],
    *,
    frame_rate: Fraction,
    bit_depth: int = 8,
    premultiplied: bool = False,
    audio: tuple[Tensor, int] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int | None], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Path, list[str]]:
    """Writes pictures of one size to `path`, whose suffix chooses the format (see FrameWriter); returns the file, or
    the folder of an image sequence, and a note for everything that the file does not hold as given.

    pictures: a tensor [T, H, W, C], or T arrays [H, W, C]; float 0..1, uint8 or uint16; C = 3 RGB, 4 straight RGBA,
        1 grey. They are converted one by one. RGBA becomes black where it is invisible, or premultiplied.
    bit_depth: 8, or more for formats that hold more.
    audio: (samples [channels, N], float -1..1; samples a second). It begins with the pictures and is cut to their
        length; formats without sound leave it out with a note.
    on_progress(frames done, T or None) is called after every frame, stopped before every frame.

    Raises Stopped, and StudioError if there are no pictures, they differ in size, or the file cannot be written; the
    unfinished file is removed.
    """
    total = len(pictures) if isinstance(pictures, Tensor) else None
    with contextlib.ExitStack() as tidy:
        sound = None
        if audio is not None and format_for(path).carries_audio:
            sound = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.partial.wav")
            tidy.callback(sound.unlink, missing_ok=True)
        writer: FrameWriter | None = None
        count = 0
        try:
            for picture in _singles(pictures):
                if stopped():
                    raise Stopped
                if writer is None:
                    if sound is not None and audio is not None:
                        length = None if total is None else Fraction(total) / frame_rate
                        _write_sound(sound, *audio, length)
                    writer = _open(path, picture, frame_rate, bit_depth, premultiplied, sound, overwrite)
                writer.write(_converted(picture, writer.bit_depth, premultiplied), count, count)
                count += 1
                if on_progress:
                    on_progress(count, total)
            if writer is None:
                raise StudioError(f"There are no pictures to write to {path}. Check the input.")
            finished = writer.finish()
        except BaseException:
            if writer is not None:
                writer.abandon(keep=False)
            raise
    notes = list(writer.notes)
    if audio is not None and sound is None:
        notes.append(f"{path.suffix} cannot hold sound: it was left out")
    return finished, notes


def _singles(pictures: Tensor | Iterable[np.ndarray]) -> Iterator[Tensor]:
    """Pictures [1, H, W, C], one by one, without a copy."""
    for picture in pictures:
        single = picture if isinstance(picture, Tensor) else torch.from_numpy(np.require(picture, requirements="W"))
        if single.ndim != 3 or single.shape[-1] not in _CONTENTS:
            raise StudioError(f"A picture has the shape {list(single.shape)}; expected [height, width, 1, 3 or 4].")
        yield single[None]


def _open(
    path: Path,
    picture: Tensor,
    frame_rate: Fraction,
    bit_depth: int,
    premultiplied: bool,
    sound: Path | None,
    overwrite: bool,
) -> FrameWriter:
    height, width, channels = picture.shape[1:]
    spec = PictureSpec(
        height=height,
        width=width,
        frame_rate=frame_rate,
        time_base=1 / frame_rate,
        tags=_TAGS,
        bit_depth=bit_depth,
    )
    return FrameWriter(
        path,
        spec,
        content=_CONTENTS[channels],
        premultiplied=premultiplied and channels == 4,
        copy_from=sound,
        overwrite=overwrite,
    )


def _converted(picture: Tensor, bit_depth: int, premultiplied: bool) -> np.ndarray:
    """[1, H, W, C] of any dtype -> [H, W, C], uint8 or uint16."""
    dtype = torch.uint16 if bit_depth > 8 else torch.uint8
    channels = picture.shape[-1]
    if channels == 1:
        grey = to_float(picture.permute(0, 3, 1, 2))
        return pictures_from_frames(quantise(grey, dtype))[0]
    color = to_float(frames_from_pictures(picture, "rgba"[:channels]))
    if channels == 3:
        return pictures_from_frames(quantise(color, dtype))[0]
    pha = to_float(picture[..., 3:].permute(0, 3, 1, 2))
    alpha = quantise(pha, dtype)
    if premultiplied:
        return rgba_pictures(quantise(premultiply(color, pha), dtype), alpha)[0]
    return rgba_pictures(hide_invisible(quantise(color, dtype), alpha), alpha)[0]


def _write_sound(path: Path, samples: Tensor, rate: int, seconds: Fraction | None) -> None:
    """Writes samples [channels, N], cut to `seconds`, to a WAV file of 32-bit floats, which is then copied like other
    sound."""
    if samples.ndim != 2 or len(samples) not in USUAL_LAYOUTS or not 0 < rate <= _HIGHEST_RATE:
        raise StudioError(
            f"The sound has the shape {list(samples.shape)} at {rate:.10g} samples a second; expected [channels, "
            f"samples], 1 to 8 channels, at most {_HIGHEST_RATE} samples a second."
        )
    count = samples.shape[1] if seconds is None else min(samples.shape[1], round(seconds * rate))
    layout = USUAL_LAYOUTS[len(samples)]
    with boundary(f"The sound cannot be written to {path.parent}", "check the folder and the sound"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path.absolute()), "w", format="wav") as container:
            stream = container.add_stream("pcm_f32le", rate=rate)
            assert isinstance(stream, AudioStream)
            stream.codec_context.layout = layout
            for start in range(0, count, rate):  # a second at a time
                part = samples[:, start : min(start + rate, count)].float().cpu().clamp(-1, 1)
                interleaved = np.ascontiguousarray(part.T.numpy()).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
