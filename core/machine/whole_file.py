"""Files that are written completely or not at all, and that survive a power cut."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path, *, sync: bool = False, unique: bool = False) -> Iterator[Path]:
    """A context that gives a temporary name beside `path` and then replaces `path` by the file written there.

    After an error the temporary file is removed and an existing `path` is kept. A missing folder is created.

    Args:
        path: The final name.
        sync: Whether the file and its name are on the disk at the end, so that a power cut cannot undo them.
        unique: Whether the temporary name is another one each time, for files that several processes write at once. A
            killed process then leaves its file behind; without `unique` the next one overwrites it.

    Yields:
        The name to write to: a.partial.txt for a.txt. With `unique` it is a.txt.0123abcd.partial, so that no program
        takes what a killed process left behind for a file of this kind.

    Raises:
        OSError: The folder or the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from rvm_studio import core
        >>> with core.atomic_file(Path("notes.txt")) as partial:
        ...     written = partial.write_text("complete")
        >>> Path("notes.txt").read_text()
        'complete'
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    if unique:
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        if sync:
            sync_file(partial)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Waits until the contents of a file are on the disk. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, on systems that offer this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
