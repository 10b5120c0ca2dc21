"""Whether only the user can write into a folder. Compiled code that was cached there is run, so nobody else may."""

import os
import stat
import sys
from pathlib import Path


def is_private(folder: Path) -> bool:
    """Whether nobody but the user (and root) can change what is in the folder, or put another one in its place.

    An own folder that is writable by others is mended first. On Windows, the folders of a user's profile are private by
    their access lists, which are not looked at."""
    if sys.platform == "win32":
        return True
    try:
        folder = folder.resolve(strict=True)
        mode = folder.stat().st_mode
        if folder.stat().st_uid == os.geteuid() and mode & 0o022:
            folder.chmod(stat.S_IMODE(mode) & ~0o022)
        return _is_ours(folder, 0) and all(_is_ours(parent, stat.S_ISVTX) for parent in folder.parents)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _is_ours(folder: Path, excuse: int) -> bool:
    """excuse: the bit with which a folder that everybody can write to keeps its entries from others."""
    found = folder.stat()
    return found.st_uid in (0, os.geteuid()) and (not found.st_mode & 0o002 or bool(found.st_mode & excuse))


def make_private(folder: Path) -> bool:
    """Creates the folder for the user alone, if it is missing. Returns whether it is private. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return is_private(folder)
