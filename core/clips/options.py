"""What is asked of a clip's matting, and what became of it."""

# T frames, C channels, H, W

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from torch import Tensor

from ..pictures.alpha_ops import check_number
from ..pictures.edges import EdgeOptions

Kind = Literal["matte", "composite", "alpha", "foreground", "preview"]


@dataclass(frozen=True)
class Output:
    """One file to write: "matte" (RGBA), "composite" over the background (RGB), "alpha" (grey), "foreground" (RGB,
    black where nothing is visible), or "preview" (.mp4: small, without sound, the matte over a checkerboard; of a job
    that is gone on with it shows the frames from there on)."""

    path: Path
    kind: Kind
    disposable: bool = False
    """Nobody will look for what a stop leaves of it: it is removed, without the time that completing it takes. Previews
    always are."""


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is written. background: see core.clips.background. premultiplied: of "matte" outputs. quality: see
    FrameWriter; of all but previews. preview: path of a contact sheet. frame_rate: of image sequences. start, duration:
    the part of the clip that is matted, see open_reader; outputs begin at time 0 then. keep_audio: copy the sound of a
    video. edges: what is done to the alpha, for all outputs. decontaminate: 1 takes the network's colours of the
    foreground, 0 the source's own, with what they have of the old background at soft edges; between them a mix.
    resume: go on with what a stopped run of the same job has left, see matte_clip. hwaccel: see open_reader."""

    background: str | Tensor = "#00b140"  # the green of green screens
    premultiplied: bool = False
    quality: float | None = None
    overwrite: bool = False
    preview: Path | None = None
    frame_rate: Fraction | None = None
    start: Fraction | float = 0
    duration: Fraction | float | None = None
    keep_audio: bool = True
    edges: EdgeOptions | None = None
    decontaminate: float = 1
    resume: bool = False
    hwaccel: str = "none"

    def __post_init__(self) -> None:
        check_number("decontaminate", self.decontaminate, 0, 1)


@dataclass
class ClipReport:
    """What became of a clip. outputs: the files written (partial ones after a stop). frames: in them, of which an
    earlier run made the first `resumed`. notes: what a user should know; damage: places of the source that could not be
    read; resumable: the same job with `resume` continues from what was done."""

    source: Path
    outputs: list[Path] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    stopped: bool = False
    resumed: int = 0
    resumable: bool = False

    @property
    def frames_per_second(self) -> float:
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0
