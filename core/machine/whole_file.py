"""Files that are written completely or not at all, that take no other file's place, and that survive a power cut."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

LONGEST_NAME = 255
"""Bytes, on nearly every file system."""

NO_SPACE = frozenset((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)))
"""The system's errors of a full disk or an exhausted quota."""

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def whole_file(path: Path, *, sync: bool = False, replace: bool = True, keeps_suffix: bool = True) -> Iterator[Path]:
    """A context that gives a temporary name beside `path` and then gives the file written there the name `path`.

    The temporary name is another one each time, and no file or link that exists is opened: several processes may write
    the same file at once, and the last one wins. After an error the temporary file is removed and an existing `path` is
    kept. A missing folder is created.

    Args:
        path: The final name.
        sync: Whether the file and its name are on the disk at the end, so that a power cut cannot undo them.
        replace: Whether an existing file is replaced. Otherwise it stays, even if it appears in the last moment.
        keeps_suffix: Whether the temporary name ends like `path`. If not, no program takes what a killed process left
            behind for a file of this kind.

    Yields:
        The name to write to, that of an empty file: a.0123abcd.partial.txt for a.txt; without `keeps_suffix`
        a.txt.0123abcd.partial.

    Raises:
        FileExistsError: `path` exists, without `replace`.
        OSError: The folder or the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from rvm_studio import core
        >>> with core.atomic_file(Path("notes.txt")) as partial:
        ...     written = partial.write_text("complete")
        >>> Path("notes.txt").read_text()
        'complete'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = new_name(path, f".partial{path.suffix}") if keeps_suffix else new_name(path, ".partial", path.name)
    partial = path.with_name(name)
    os.close(create_new(partial))
    try:
        yield partial
        if sync:
            sync_file(partial)
        os.replace(partial, path) if replace else rename_new(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def new_name(path: Path, ending: str, stem: str | None = None) -> str:
    """A name that no other file has: the stem (cut if the name would be too long), eight random digits, the ending."""
    return fitting_name(path.stem if stem is None else stem, f".{uuid.uuid4().hex[:8]}{ending}")


def fitting_name(stem: str, ending: str) -> str:
    """`stem` + `ending`, with so much of the stem as a file name can hold."""
    room = LONGEST_NAME - len(os.fsencode(ending))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + ending


def create_new(path: Path) -> int:
    """Creates an empty file and returns its descriptor, open for reading and writing. Nothing that exists is opened,
    and no link is followed. Raises FileExistsError, and OSError if it cannot be created."""
    return os.open(path, _CREATE, 0o666)


def rename_new(source: Path, target: Path) -> None:
    """Renames a file, in one step, to a name that nothing has. Raises FileExistsError if something has it."""
    if os.name == "nt":
        os.rename(source, target)  # which refuses on Windows
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system (exFAT, many shares): the next best
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.rename(source, target)
    else:
        source.unlink()


def sync_file(path: Path) -> None:
    """Waits until the contents of a file are on the disk. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, on systems that offer this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
