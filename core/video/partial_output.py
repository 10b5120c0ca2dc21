"""Unfinished outputs: their names beside the target, what they contain, and what a FrameWriter needs of them.

The partial output of a run that was stopped or killed can be resumed: pictures stay where they are, and the packets of
a file are copied unchanged into a new file beside it. This requires frames that decode independently of what was
encoded before them: those of ProRes, FFV1, PNG and lossless VP9.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import StudioError
from ..machine.output_claim import OutputClaim
from ..machine.whole_file import fitting_name
from .output_formats import format_for

if TYPE_CHECKING:
    import av

RECORD_SUFFIX = ".safetensors"
"""Of the record of a job, beside its first unfinished output."""

NUMBER = re.compile(r"%0?(\d*)d")
"""The place of a picture's number in the pattern of a sequence."""


class NotResumable(Exception):  # noqa: N818 - the work starts over, and a note says why
    """The earlier output cannot be resumed; the message says why."""


@dataclass(frozen=True)
class Written:
    """What an unfinished output contains.

    first_pts: as passed to the writer. last_pts: as written. number: that of the last picture. repeated_times: the
    count of frames whose pts was moved. size: of the file in bytes; 0 for pictures. names: the file has one of these,
    the first that exists. complete: whether it was ended in order; otherwise more frames may follow, and it may be
    longer.
    """

    frames: int
    first_pts: int
    last_pts: int
    number: int
    repeated_times: int
    size: int
    names: tuple[str, ...] = ()
    complete: bool = True

    def find(self, folder: Path) -> Path | None:
        """The file or the folder of pictures."""
        return next((folder / name for name in self.names if (folder / name).exists()), None)


class OutputFile(Protocol):
    """The interface between a FrameWriter and its file. Errors are raised as OSError or FFmpegError.

    claim: on the output's name. names: of the unfinished file, now and if it is kept. complete: False after an
    `abandon` that could not save every written frame.
    """

    names: tuple[str, ...]
    complete: bool

    @property
    def claim(self) -> OutputClaim | None: ...

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool: ...

    def write(self, frame: "av.VideoFrame", number: int) -> None: ...

    def holds(self, frames: int, pts: int) -> bool:
        """Whether that many frames, the last with this pts, have left all buffers of this process."""
        ...

    def sync(self) -> None:
        """Waits until what has left the buffers is on the disk. In any thread."""
        ...

    def forget_earlier(self) -> None:
        """Removes what is resumed, once a record of this run has been saved."""
        ...

    def finish(self) -> Path: ...

    def abandon(self, keep: bool) -> bool:
        """Ends the file early and closes it; returns whether it is kept, still under its first name."""
        ...

    def readable_frames(self) -> int:
        """After an `abandon`: how many frames the kept file gives."""
        ...

    def settle(self) -> Path | None:
        """After an `abandon`: gives the kept file its other name, and the claim up."""
        ...


def partial_path(path: Path) -> Path:
    """The name under which an unfinished output is kept, if it is free: a file, or the folder of an image sequence.

    A sequence's name includes its pattern, so that two sequences in one folder do not share partial files, but without
    the %, which other programs would expand.
    """
    if format_for(path).container:
        return path.with_name(fitting_name(path.stem, f".partial{path.suffix}"))
    pattern = pattern_of(path)
    label = NUMBER.sub(lambda found: f"#{found[1] or 1}d", pattern.name.replace("#", "##"))
    folder = pattern.parent
    if folder.exists():
        return folder / fitting_name(label, ".partial")
    return folder.with_name(fitting_name(f"{folder.name}.{label}", ".partial"))


def pattern_of(path: Path) -> Path:
    """The pattern of a sequence: a plain matte.png stands for matte/%05d.png, matte.exr for matte/matte.%04d.exr, as
    compositing programs name theirs."""
    if NUMBER.search(path.name):
        return path
    name = f"{path.stem}.%04d" if path.suffix.lower() == ".exr" else "%05d"
    return path.with_suffix("") / f"{name}{path.suffix}"


def numbered(pattern: str, number: int) -> str:
    """The name of a picture in a sequence."""
    return NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", pattern, count=1)


def existing_output_error(path: Path) -> StudioError:
    """The error about an output that exists already."""
    return StudioError(f"The output {path} exists already.", use=("overwrite",), or_else="choose another name")
