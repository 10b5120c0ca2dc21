"""A lock on a name, which only one process at a time holds, and which says who holds it.

The system releases it when the process ends in any way, so that a dead process never keeps a name. On a file system
without such locks, the process that the file names holds the lock as long as it lives.
"""

import contextlib
import errno
import json
import os
import socket
import sys
import time
from pathlib import Path

_FAR = 2**30  # what is locked on Windows: one byte far behind the text, which others may then read
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
_TRIES, _WAIT = 10, 0.02  # seconds
_MOST = 1_000_000  # bytes of a text; a longer one is not ours


class HeldError(Exception):
    """Somebody else has the lock; the message says who."""


class NameLock:
    """The lock whose file is `path`, held from the construction to `release`.

    Attributes:
        text: What the last holder wrote, even if it was killed: a dict, empty if there was none.

    Raises:
        HeldError: Another process, or another part of this one, holds it.
        OSError: The file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        while True:
            self._file = os.open(path, _OPEN, 0o666)
            try:
                locked = _lock(self._file)
                self.text = _read(self._file)
                if locked is False or (locked is None and _lives(self.text)):
                    raise HeldError(_who(self._file))
                if os.name == "nt" or _is_same(self._file, path):  # else its last holder removed it meanwhile
                    break
            except BaseException:
                os.close(self._file)
                raise
            os.close(self._file)

    def write(self, text: dict) -> None:
        """Stores a text, which the next holder reads. Raises OSError."""
        me = {"process": os.getpid(), "computer": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self._store({**text, **me})

    def _store(self, text: dict) -> None:
        self.text = text
        content = json.dumps(text).encode()
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, content)
        os.ftruncate(self._file, len(content))

    def release(self, *, remove: bool) -> None:
        """Gives the lock up. remove: the file too; otherwise its text stays for the next holder."""
        if self._file < 0:
            return
        if not remove:  # the process lives on, but holds it no longer
            with contextlib.suppress(OSError):
                self._store({key: value for key, value in self.text.items() if key != "process"})
        file, self._file = self._file, -1
        if remove and os.name != "nt":  # while it is still locked
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(file)
        if remove and os.name == "nt":  # fails if somebody has opened it meanwhile, and then it is theirs
            with contextlib.suppress(OSError):
                self.path.unlink()


def holder(path: Path) -> str | None:
    """Who holds the lock; None if nobody does."""
    try:
        file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        locked = _lock(file)
        return None if locked or (locked is None and not _lives(_read(file))) else _who(file)
    finally:
        os.close(file)


def read_text(path: Path) -> dict:
    """What the last holder wrote into a lock's file; {} if there is none."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return {}
    try:
        return _read(file)
    finally:
        os.close(file)


def _lock(file: int) -> bool | None:
    """Whether the lock was free and is ours now; None: this file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _read(file: int) -> dict:
    os.lseek(file, 0, os.SEEK_SET)
    with contextlib.suppress(ValueError, RecursionError):
        text = json.loads(os.read(file, _MOST))
        if isinstance(text, dict):
            return text
    return {}


def _who(file: int) -> str:
    text, process = {}, None
    for _ in range(_TRIES):
        text = _read(file)
        process = text.get("process")
        if process is not None:
            break
        time.sleep(_WAIT)  # it has the lock already, and will write its name in a moment
    if not isinstance(process, int):
        return "another process"
    who = "this process" if process == os.getpid() and _is_here(text) else f"process {process}"
    return f"{who} on {text.get('computer')}, since {text.get('since')}"


def _is_here(text: dict) -> bool:
    return text.get("computer") == socket.gethostname()


def _lives(text: dict) -> bool:
    """Whether the process that wrote the text may still be there; of another computer's, nobody knows."""
    process = text.get("process")
    if not isinstance(process, int) or process <= 0:
        return False
    if not _is_here(text) or sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False
