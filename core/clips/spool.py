"""Inputs that are no files: an address on the web, standard input, a pipe. They are first copied into a temporary file.

Most containers need that: libav looks at the end of an MP4 before its beginning, and a clip's opening is read twice.
"""

import contextlib
import os
import re
import select
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ..errors import StudioError
from ..machine.whole_file import NO_SPACE
from ..video.picture_sequence import VIDEO_SUFFIXES, is_picture

STDIN = "-"
PATIENCE = 10.0  # seconds to wait for a program that writes into a pipe
_BLOCK = 1 << 20  # bytes
_ANY_SIZE = range(1 << 62)
_LOOK = 0.1  # seconds
# The first bytes of pictures; other content is opened as a video.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", ".png"),
    (rb"\xff\xd8\xff", ".jpg"),
    (rb"II\*\0|MM\0\*", ".tif"),
    (rb"RIFF....WEBP", ".webp"),
    (rb"....ftypavif", ".avif"),
    (rb"....ftyp(heic|heix|mif1)", ".heic"),
)


def is_spooled(text: str | os.PathLike[str]) -> bool:
    """Whether an input has to be copied before it can be read: "-", an http(s) address, or a pipe."""
    text = os.fspath(text)
    if text == STDIN or _is_web(text):
        return True
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISFIFO(os.stat(text).st_mode)
    return False


def spool_name(text: str) -> str:
    """The file name after which the outputs of such an input are named: "clip.mp4" of an address, "stdin", or the name
    of the pipe."""
    if text == STDIN:
        return "stdin"
    if _is_web(text):
        # also names for Windows: a server may write any sign into an address
        name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", PurePosixPath(unquote(urlsplit(text).path)).name)
        return name.strip(" .") or "clip"
    return "pipe" if re.fullmatch(r"/(dev|proc/\w+)/fd/\d+", text) else Path(text).name


@contextlib.contextmanager
def spooled(text: str, *, progress: bool = False, stopped: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """A context that copies such an input into a temporary file, which is removed at the end.

    progress: show that of a download on standard error. stopped: asked while it waits; once it returns True, what has
    come so far is taken.

    Raises StudioError if nothing comes, or it cannot be stored.
    """
    folder = Path(tempfile.mkdtemp(prefix="rvm-studio-"))
    try:
        try:
            path = _fill(text, folder, progress, stopped)
        except OSError as error:
            reason = "the disk is full" if error.errno in NO_SPACE else error.strerror or str(error)
            raise StudioError(
                f"{_shown(text)} cannot be copied to {folder.parent} ({reason}). Free some space there, or set TMPDIR "
                "to another folder."
            ) from error
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(text: str, folder: Path, progress: bool, stopped: Callable[[], bool]) -> Path:
    path = folder / spool_name(text)
    if _is_web(text):
        from ..weights.http_download import FetchError, receive  # which brings requests

        try:
            receive(text, path, _ANY_SIZE, progress)
        except FetchError as error:
            raise StudioError(f"{text} {error}. Check the address, or download the file and give its path.") from error
    elif text == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise StudioError("The input - is standard input, which is a terminal. Pipe a clip into it or name a file.")
        with path.open("wb") as file:
            _copy(sys.stdin.fileno(), file.write, stopped, waits=False)
    else:
        pipe = os.open(text, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            with path.open("wb") as file:
                _copy(pipe, file.write, stopped, waits=True)
        finally:
            os.close(pipe)
    size = path.stat().st_size
    if not size:
        why = "" if _is_web(text) else f": no program wrote into it within {PATIENCE:g} seconds, or it wrote nothing"
        raise StudioError(f"{_shown(text)} is empty{why}.")
    if not is_picture(path) and path.suffix.lower() not in VIDEO_SUFFIXES and (suffix := _suffix_of(path)):
        return path.rename(path.with_name(path.name + suffix))
    return path


def _copy(pipe: int, write: Callable[[bytes], object], stopped: Callable[[], bool], waits: bool) -> None:
    """Copies until the end. waits: nobody may have opened the pipe for writing yet, which looks like its end."""
    given_up, opened = time.monotonic() + PATIENCE, not waits
    while not stopped():
        if not waits and os.name == "posix" and not select.select([pipe], [], [], _LOOK)[0]:
            continue
        try:
            data = os.read(pipe, _BLOCK)
        except BlockingIOError:  # somebody has opened it, and has not written yet
            opened = True
            select.select([pipe], [], [], _LOOK)
            continue
        if data:
            opened = True
            write(data)
        elif opened or time.monotonic() > given_up:
            return
        else:
            time.sleep(_LOOK)


def _suffix_of(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(16)
    return next((suffix for pattern, suffix in _SIGNATURES if re.match(pattern, start, re.DOTALL)), "")


def _shown(text: str) -> str:
    return "Standard input" if text == STDIN else text


def _is_web(text: str) -> bool:
    return re.match(r"https?://", text, re.IGNORECASE) is not None
