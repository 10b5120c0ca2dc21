"""The outputs and settings of a clip, and the report about it."""

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
    black where nothing is visible), or "preview" (.mp4: small, without sound, the matte over a checkerboard; after
    a resume it shows the remaining frames only)."""

    path: Path
    kind: Kind
    disposable: bool = False
    """After a stop the unfinished file is removed instead of completed, which takes time. Previews are always
    disposable."""


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is written.

    background: see core.clips.background. premultiplied: for "matte" outputs. quality, bitrate: see FrameWriter; not
    for previews. codec: of the outputs instead of their formats' own, see OutputFormat.codecs; outputs other than the
    first keep their own, with a note, if they cannot hold it. preview: path of a contact sheet. frame_rate: of image
    sequences. start, duration: the part of the clip to matte, see open_reader; the outputs then begin at time 0.
    keep_audio: copy the sound of a video. edges: changes to the alpha of all outputs. decontaminate: 1 takes the
    network's foreground colours, 0 the source's own, which contain the old background at soft edges; values between
    are a mix. resume: continue a stopped run of the same job, see matte_clip. hwaccel: see open_reader. cfr: frames
    per second of a video's outputs, at equal distances; None: the times of the source. deinterlace: "no"; "frame" or
    "field" for one frame from each interlaced frame or each field. view_lut: a .cube file through which the network
    sees the clip, for log profiles; the outputs keep the clip's values (HDR clips are tone-mapped without one).
    max_size: see open_reader.
    """

    background: str | Tensor = "#00b140"  # the green of green screens
    premultiplied: bool = False
    quality: float | None = None
    codec: str | None = None
    bitrate: int | None = None
    view_lut: Path | None = None
    max_size: int | None = None
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
    cfr: Fraction | float | None = None
    deinterlace: str = "no"

    def __post_init__(self) -> None:
        check_number("decontaminate", self.decontaminate, 0, 1)


@dataclass
class ClipReport:
    """The result of a clip.

    outputs: the files written (partial ones after a stop). frames: in each of them; an earlier run wrote the first
    `resumed`. notes: what a user should know. damage: places of the source that could not be read. resumable: the same
    job can be resumed. kind: of the source, see ClipInfo.
    """

    source: Path
    outputs: list[Path] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    stopped: bool = False
    resumed: int = 0
    resumable: bool = False
    kind: str = ""

    @property
    def frames_per_second(self) -> float:
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0
