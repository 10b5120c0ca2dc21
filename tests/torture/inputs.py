"""The table of inputs for the torture suite: each is made by code, and its maker says what is right.

`video_inputs`, `sound_inputs`, `still_inputs` and `broken_inputs` fill it; `all_inputs` returns it.
"""

# N frames, H, W

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

GROUPS = (
    "containers and codecs",
    "times",
    "shape and orientation",
    "pixel formats and colours",
    "interlaced, timecode and other streams",
    "sound",
    "stills",
    "animations and sequences",
    "names",
    "damaged and wrong",
)


@dataclass(frozen=True)
class Input:
    """An input, and what is right for it.

    Attributes:
        make: Writes the input into an empty folder and returns what is given to the command: a path or a pattern.
        size: (W, H) of the output; None: there is no output.
        times: Seconds at which the frames are shown; None: k / rate.
        probed: "begin": the picture begins where ffprobe says, counted from the file's earliest track; "all": every
            time is ffprobe's. Of formats whose encoders put the picture after the sound's first samples.
        turn: From a frame as it is stored to how it is shown.
        reference: The frames as a second decoder sees them, [H, W, 3] of 8 or 16 bits; None: ffmpeg.
        drawn: The frames as they were drawn, before compression; None: there are none.
        difference: The mean by which the output may differ from the reference, of 255.
        tags: (matrix, primaries, transfer) of the output, as ffprobe names them; None: not compared.
        beeps: By how many seconds each beep is later than its flash; None: not compared.
        tracks: (channels, samples per second) of each track of sound.
        packets: The sound's packets are those of the input, byte by byte.
        damaged: Which part of the frames must come out right, with their times; how many come out is open.
        code: The exit code: 1 for a damaged clip, even if its readable part was matted.
        says: Regular expressions that the messages must contain.
    """

    name: str
    group: str
    about: str
    make: Callable[[Path], Path | str]
    out: str = "cut.mov"
    options: tuple[str, ...] = ()
    size: tuple[int, int] | None = (96, 64)
    frames: int = 12
    rate: Fraction = Fraction(25)
    times: tuple[Fraction, ...] | None = None
    probed: str = ""
    sar: Fraction = Fraction(1)
    turn: Callable[[np.ndarray], np.ndarray] = lambda frame: frame
    reference: Callable[[Path], list[np.ndarray]] | None = None
    drawn: Callable[[], list[np.ndarray]] | None = None
    difference: float = 1.5
    tags: tuple[str, str, str] | None = None
    timecode: str | None = None
    field_order: str | None = None
    beeps: tuple[float, ...] | None = None
    beep_tolerance: float = 0.03
    tracks: tuple[tuple[int, int], ...] = ()
    packets: bool = False
    damaged: float | None = None
    code: int = 0
    says: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.group in GROUPS, self.group

    @property
    def shown_at(self) -> list[Fraction]:
        return list(self.times) if self.times is not None else [k / self.rate for k in range(self.frames)]


def all_inputs() -> list[Input]:
    """All of them, by group."""
    from . import broken_inputs, shared_inputs, sound_inputs, still_inputs, video_inputs

    found = [
        *video_inputs.inputs(),
        *sound_inputs.inputs(),
        *still_inputs.inputs(),
        *broken_inputs.inputs(),
        *shared_inputs.inputs(),
    ]
    names = [item.name for item in found]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
    return sorted(found, key=lambda item: GROUPS.index(item.group))
