"""Unfinished outputs: their names beside the target, what they contain, and what a FrameWriter needs of them.

The partial output of a stopped run can be resumed: pictures stay where they are, and the packets of a file are copied
unchanged into a new file beside it, which replaces it when complete. This requires frames that decode independently of
what was encoded before them: those of ProRes, FFV1, PNG and lossless VP9.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av

from ..errors import StudioError
from .output_formats import format_for

NUMBER = re.compile(r"%0?(\d*)d")
"""The place of a picture's number in the pattern of a sequence."""


class NotResumable(Exception):  # noqa: N818 - the work starts over, and a note says why
    """The earlier output cannot be resumed; the message says why."""


@dataclass(frozen=True)
class Written:
    """What an unfinished output contains.

    first_pts: as passed to the writer. last_pts: as written. number: that of the last picture. repeated_times: the
    count of frames whose pts was moved. size: of the file in bytes; 0 for pictures.
    """

    frames: int
    first_pts: int
    last_pts: int
    number: int
    repeated_times: int
    size: int


class OutputFile(Protocol):
    """The interface between a FrameWriter and its file. Errors are raised as OSError or FFmpegError.

    complete: False after an `abandon` that could not save every written frame.
    """

    complete: bool

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool: ...

    def write(self, frame: av.VideoFrame, number: int) -> None: ...

    def finish(self) -> Path: ...

    def abandon(self, keep: bool) -> Path | None: ...


def partial_path(path: Path) -> Path:
    """The temporary name of an unfinished output: a file, or the folder of an image sequence.

    A sequence's name includes its pattern, so that two sequences in one folder do not share partial files, but without
    the %, which other programs would expand.
    """
    if format_for(path).container:
        return path.with_name(f"{path.stem}.partial{path.suffix}")
    pattern = pattern_of(path)
    label = NUMBER.sub(lambda found: f"#{found[1] or 1}d", pattern.name.replace("#", "##"))
    folder = pattern.parent
    return folder / f"{label}.partial" if folder.exists() else folder.with_name(f"{folder.name}.{label}.partial")


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
