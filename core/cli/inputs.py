"""What the inputs of `rvm-studio matte` denote: clips, pictures, sequences, folders, addresses on the web, pipes."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from glob import glob
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..clips.outputs import is_still
from ..clips.spool import is_spooled, spool_name
from ..errors import StudioError
from ..machine.given_path import given_path
from ..video.output_formats import STANDARD_OUTPUT
from ..video.picture_sequence import VIDEO_SUFFIXES, is_picture
from .errors import report_failure
from .hints import matte_command

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A clip. text: as it is shown. within: its folder below the given folder (--recursive). spooled: it is copied into
    a temporary file first."""

    text: str
    within: str = ""
    spooled: bool = False

    @property
    def name(self) -> str:
        """What the outputs in a folder are named after."""
        return spool_name(self.text) if self.spooled else self.text

    @property
    def is_still(self) -> bool:
        """Whether it is a single picture, as far as its name tells."""
        return is_picture(Path(self.name)) if self.spooled else is_still(self.text)


def find_sources(arguments: argparse.Namespace) -> tuple[list[Source], int]:
    """The clips that the inputs denote, and the number of unreadable inputs, which are reported here. Raises
    StudioError if there is no output, or an option has nothing to apply to.
    """
    refuse_no_output(arguments)
    sources, failed = [], 0
    inputs = list(dict.fromkeys(arguments.inputs))
    if arguments.recursive and not any(Path(text).is_dir() for text in inputs):
        raise StudioError("--recursive looks into the folders of a folder, but no input is a folder: leave it out.")
    for text in inputs:
        try:
            found = _expand(text, arguments)
            if found == [Source(text)]:
                _check(text, alone=len(inputs) == 1)
        except StudioError as error:
            report_failure(error, arguments.json, text)
            failed += 1
            continue
        sources += found
    return list(dict.fromkeys(sources)), failed


def refuse_no_output(arguments: argparse.Namespace) -> None:
    """Raises StudioError if nothing is to be written."""
    if arguments.output or arguments.alpha or arguments.foreground:
        return
    meant = f" Did you mean `{matte_command(arguments.inputs)}`?" if arguments.inputs else ""
    raise StudioError(f"nothing to write: give -o OUTPUT (or --alpha FILE, --foreground FILE).{meant}")


def refuse_stdout(arguments: argparse.Namespace) -> None:
    """Raises StudioError where standard output cannot take the video."""
    if sys.stdout.isatty():
        raise StudioError(
            "The output - is standard output, which is a terminal. Pipe it into a program, such as `| ffplay -`, or "
            "name a file."
        )
    if arguments.format is not None and arguments.format.lower().lstrip(".") != STANDARD_OUTPUT.suffix[1:]:
        raise StudioError(
            f"Standard output takes one format, mkv (FFV1 with transparency and sound), not {arguments.format}."
        )
    if arguments.program is not None:
        raise StudioError("Standard output takes one format, mkv: leave --for out, or name a file.")
    for option in ("json", "resume", "watch"):
        if getattr(arguments, option):
            raise StudioError(f"--{option} and the video cannot both use standard output: leave one of them out.")


def _check(text: str, alone: bool) -> None:
    """Raises StudioError for a clip that cannot be matted: before anything is loaded. One of several is opened only
    in the process that survives a crash."""
    from ..video.picture_sequence import find_pictures
    from ..video.reader import check_source

    path = given_path(text)
    if alone or not path.exists():
        check_source(text)
    elif path.is_dir():
        find_pictures(path)


def _expand(text: str, arguments: argparse.Namespace) -> list[Source]:
    """The clips that a text denotes: several for a folder or glob of videos, and for photos; else one, even for an
    image sequence. Raises StudioError."""
    if text.lower().startswith("file:"):
        text = _local(text)
    if is_spooled(text):
        return [Source(text, spooled=True)]
    path = given_path(text)
    if path.is_dir():
        found = folder_files(path, arguments.recursive, outputs_of(arguments))
    elif any(sign in text for sign in "*?[") and not path.exists():
        found = [Path(name) for name in glob(text)]
    else:
        if arguments.photos and path.exists() and not is_picture(path):
            raise StudioError(f"{text} is not a picture, and --photos mattes pictures: leave one of them out.")
        return [Source(text)]
    wanted, others = _wanted(found, arguments.photos)
    if arguments.photos and not wanted:
        raise StudioError(f"{text} contains no pictures. Expected files such as .png, .jpg or .tif.")
    if arguments.recursive and path.is_dir() and not wanted:
        raise StudioError(
            f"{text} and its folders contain no videos. Give --photos for pictures that are matted one by one."
        )
    if wanted and others:
        kinds = ("pictures", "videos") if arguments.photos else ("videos", "pictures")
        log.warning("%s: its %d %s are matted, its %d %s are ignored", text, len(wanted), kinds[0], others, kinds[1])
    if not wanted:
        return [Source(text)]
    root = path if path.is_dir() else None
    return [Source(str(file), within(file, root)) for file in wanted]


def is_wanted(photos: bool) -> Callable[[Path], bool]:
    """Whether a path is that of a video (a picture) that is matted by itself."""
    if photos:
        return lambda path: is_whole_name(path.name) and is_picture(path)
    return lambda path: is_whole_name(path.name) and path.suffix.lower() in VIDEO_SUFFIXES


def _wanted(found: Iterable[Path], photos: bool) -> tuple[list[Path], int]:
    """The videos (pictures) in order, and the number of the pictures (videos) beside them."""
    found = list(found)
    return sorted(filter(is_wanted(photos), found), key=str), sum(map(is_wanted(not photos), found))


def is_whole_name(name: str) -> bool:
    """Whether a file is neither hidden (macOS puts ._clip.mp4 beside clip.mp4) nor a partial output."""
    return re.match(r"\.|.*\.partial\.", name) is None


def folder_files(folder: Path, recursive: bool, without: Iterable[Path] = ()) -> list[Path]:
    """The files of a folder, with `recursive` of its folders too, except hidden ones and those in `without`: the
    outputs may lie inside the inputs."""
    if not recursive:
        return list(folder.iterdir())
    left_out = {path.resolve() for path in without} - {folder.resolve()}
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if is_whole_name(name) and (Path(place) / name).resolve() not in left_out
        ]
        files += [Path(place) / name for name in names]
    return files


def outputs_of(arguments: argparse.Namespace) -> list[Path]:
    """The folders that are written to."""
    given = (arguments.output, arguments.alpha, arguments.foreground, arguments.preview)
    paths = [Path(text) for text in given if text and text != "-"]
    return [path if path.is_dir() or not path.suffix else path.parent for path in paths]


def within(file: Path, root: Path | None) -> str:
    """The folder of a file below `root`; "" if it lies there, or there is no root."""
    inside = "" if root is None else file.relative_to(root).parent.as_posix()
    return "" if inside == "." else inside


def _local(url: str) -> str:
    """ "file:///clips/a.mp4" -> "/clips/a.mp4"; on Windows "file:///C:/clip.mp4" -> "C:/clip.mp4"."""
    path = unquote(urlsplit(url).path)
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path
