"""Finds the new files of a folder as they become complete. It looks from time to time, which also works on network
drives, where the system reports no changes.

A file is complete when its size and time have not changed for a while, no program has it open for writing (where the
system tells), and, for MP4 and MOV, its parts reach to its end: a copy may stall for longer than any while.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from .inputs import folder_files

QUIET = 2.0  # seconds without a change
QUIET_UNFINISHED = 60.0  # the same for a file that looks unfinished
LOOK = 0.5  # seconds between two looks
_MOVIES = (".mp4", ".mov", ".m4v", ".3gp")


class _Seen(NamedTuple):
    size: int
    time: int  # ns
    since: float  # seconds: when this size and time were first seen


class FolderWatch:
    """The files of a folder that are wanted and complete, each once, and again when it has changed.

    wanted: of a file's path. without: folders that are left out.
    """

    def __init__(self, folder: Path, wanted: Callable[[Path], bool], recursive: bool, without: Iterable[Path]):
        self.folder = folder
        self._wanted, self._recursive, self._without = wanted, recursive, list(without)
        self._seen: dict[Path, _Seen] = {}
        self._given: dict[Path, tuple[int, int]] = {}

    def look(self, now: float) -> list[Path]:
        """Those that have become complete since the last look. now: seconds of a steady clock."""
        complete, there = [], {}
        for path in sorted(filter(self._wanted, self._files()), key=str):
            with contextlib.suppress(OSError):  # it may have been moved away just now
                status = path.stat()
                stamp = status.st_size, status.st_mtime_ns
                seen = self._seen.get(path)
                if seen is None or seen[:2] != stamp:
                    seen = _Seen(*stamp, now)
                there[path] = seen
                quiet = now - seen.since
                if self._given.get(path) == stamp or not status.st_size or quiet < QUIET or is_being_written(path):
                    continue
                if quiet < QUIET_UNFINISHED and not is_whole_movie(path, status.st_size):
                    continue
                self._given[path] = stamp
                complete.append(path)
        self._seen = there
        return complete

    def _files(self) -> list[Path]:
        with contextlib.suppress(OSError):  # a network drive may be away for a while
            return folder_files(self.folder, self._recursive, self._without)
        return []


def is_being_written(path: Path) -> bool:
    """Whether a program has the file open for writing, as far as the system tells: Linux about one's own files, and
    Windows about programs that lock theirs."""
    if sys.platform == "win32":
        try:
            os.rename(path, path)
        except PermissionError:
            return True
        return False
    if sys.platform.startswith("linux"):
        import fcntl

        with path.open("rb") as file:
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # refused while it is open for writing
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            except BlockingIOError:
                return True
            except OSError:  # not one's own, or a file system without leases
                return False
    return False


def is_whole_movie(path: Path, size: int) -> bool:
    """Whether the parts of an MP4 or MOV file end where the file ends, and a table of contents is among them; True for
    other files."""
    if path.suffix.lower() not in _MOVIES:
        return True
    place, kinds = 0, set()
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:  # to the end of the file
                length = size - place
            if len(head) < 8 or length < 8 or not kind.isalnum():
                return False
            kinds.add(kind)
            place += length
    return place == size and b"moov" in kinds
