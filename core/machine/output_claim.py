"""A run's claim on the name of an output: whoever has it is the only one to write there, and nothing else is touched.

A hidden file beside the output, `.cut.partial.mov.claim`, is the lock (see name_lock) and lists every file that this
run and unfinished earlier ones have made for this output. Only files on the list are ever overwritten or removed. The
claim file goes with the last of them.

Unfinished files have names that no other file has, cut.0123abcd.partial.mov; what a stopped run keeps for its user is
called cut.partial.mov if that name is free or held by an earlier such file. The finished file gets its name in one step
that replaces nothing, unless this was asked for.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import StudioError
from .name_lock import HeldError, NameLock, holder, read_text
from .whole_file import LONGEST_NAME, create_new, fitting_name, new_name, rename_new

_FORM = 1  # of the list
_MARK = ".partial"  # in the names of all files on the list
_HALF = re.compile(r"(.*)\.[0-9a-f]{8}\.partial")
_MOST_KEPT = 1000


class OutputClaim:
    """The claim on `target`, from the construction to `release`.

    Args:
        target: The output; for an image sequence its pattern.
        kept: The name under which it is kept while it is unfinished. Its folder holds all temporary files, and is
            created if it is missing.
        inputs: Files and folders that this run reads: they are never removed, although an earlier run may have left
            them.

    Raises:
        StudioError: Another run writes this output.
        OSError: The folder cannot be written.
    """

    def __init__(self, target: Path, kept: Path, inputs: Collection[Path] = ()) -> None:
        assert _MARK in kept.name
        self.target, self.kept = target, kept
        self.folder = kept.parent
        self._inputs = inputs
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = NameLock(claim_path(kept))
        except HeldError as error:
            raise _held(target, str(error)) from None
        # name -> (size, time) of a file that may be touched while it is unchanged; None: whatever it contains
        self._ours: dict[str, tuple[int, int] | None] = dict(_listed(self._lock.text))
        self._lock.write(self._text())

    def new_file(self) -> Path:
        """Creates an empty file to write to, under a name of its own. Raises OSError."""
        path = self.folder / new_name(self.target, f"{_MARK}{self.target.suffix}")
        self.add(path)
        os.close(create_new(path))
        return path

    def new_folder(self) -> Path:
        """Creates an empty folder, under a name of its own. Raises OSError."""
        path = self.folder / new_name(self.kept, _MARK, self.kept.name.removesuffix(_MARK))
        self.add(path)
        path.mkdir()
        return path

    def add(self, path: Path) -> None:
        """Lists a file of the claim's folder that this run is about to create. Raises OSError."""
        assert path.parent == self.folder
        assert _MARK in path.name
        self._ours[path.name] = None
        self._lock.write(self._text())

    def owns(self, path: Path) -> bool:
        """Whether a run for this output has made this file, and nobody has changed it since."""
        if path.parent != self.folder or self._is_input(path):
            return False
        if path.name not in self._ours:
            return self._is_half(path)
        mark = self._ours[path.name]
        return mark is None or mark == _mark(path)

    def may_write(self, path: Path) -> bool:
        """Whether the name is free, or that of an own file."""
        return not os.path.lexists(path) or self.owns(path)

    def keep_name(self) -> Path:
        """The name under which an unfinished file can be kept: `kept` if it is free or ours, else with a number."""
        stem, mark, rest = self.kept.name.rpartition(_MARK)
        for number in range(1, _MOST_KEPT):
            ending = f"{mark}{rest}" if number == 1 else f".{number}{mark}{rest}"
            path = self.folder / fitting_name(stem, ending)
            if self.may_write(path):
                return path
        return self.folder / new_name(self.kept, f"{mark}{rest}", stem)

    def keep(self, working: Path, kept: Path) -> Path:
        """Renames an own file or folder to `kept`, a `keep_name`, if that is still free or ours. Returns its name."""
        if working == kept or not self.may_write(kept):
            return working
        before = self._ours.get(kept.name)
        self._ours[kept.name] = None if working.is_dir() else _mark(working)  # which renaming does not change
        self._lock.write(self._text())
        try:
            if working.is_dir():
                os.rename(working, kept)
            elif os.path.lexists(kept):
                os.replace(working, kept)
            else:
                rename_new(working, kept)
        except OSError:  # somebody else has taken the name, this very moment
            self._ours[kept.name] = before
            return working
        self._ours.pop(working.name, None)
        return kept

    def publish(self, working: Path, target: Path, *, replace: bool) -> None:
        """Gives the finished file its final name, in one step. Raises FileExistsError, and OSError if it cannot be
        renamed."""
        os.replace(working, target) if replace else rename_new(working, target)
        self._ours.pop(working.name, None)

    def remove(self, path: Path) -> None:
        """Removes a file or an empty folder if it is ours. Does not raise."""
        if self.owns(path):
            with contextlib.suppress(OSError):
                _remove(path)
            if not os.path.lexists(path):
                self._ours.pop(path.name, None)

    def leftovers(self) -> list[Path]:
        """The files and folders on the list that are ours, and what a killed process has left while it wrote one."""
        listed = [self.folder / name for name in self._ours]
        halves = [path for path in self.folder.glob(f"*{_MARK}") if self._is_half(path)]
        return [path for path in [*listed, *halves] if os.path.lexists(path) and self.owns(path)]

    def _is_half(self, path: Path) -> bool:
        """Whether this is the temporary name of a listed file, see whole_file."""
        half = _HALF.fullmatch(path.name)
        return half is not None and half[1] in self._ours

    def release(self) -> None:
        """Ends the claim. Files on the list that still exist stay listed for a later run; outputs as long as nobody
        changes them."""
        left: dict[str, tuple[int, int] | None] = {}
        for name, mark in self._ours.items():
            path = self.folder / name
            if os.path.lexists(path) and mark is None and path.is_file() and path.suffix == self.target.suffix:
                left[name] = _mark(path)
            elif os.path.lexists(path):
                left[name] = mark
        self._ours = left
        if left:
            with contextlib.suppress(OSError):
                self._lock.write(self._text())
        self._lock.release(remove=not left)

    def _text(self) -> dict:
        return {"form": _FORM, "output": self.target.name, "files": self._ours}

    def _is_input(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            place = path.resolve()
            return any(place == other or place in other.parents for other in (each.resolve() for each in self._inputs))
        return True


def claim_path(kept: Path) -> Path:
    """The claim file of an output that is kept under this name."""
    name = f".{kept.name}.claim"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(kept.name)).hexdigest()[:32]}.claim"
    return kept.with_name(name)


def refuse_held(target: Path, kept: Path) -> None:
    """Raises StudioError if another run writes this output."""
    who = holder(claim_path(kept))
    if who is not None:
        raise _held(target, who)


def leftovers(kept: Path) -> list[Path]:
    """What unfinished runs have left for an output."""
    names = [name for name, _ in _listed(read_text(claim_path(kept)))]
    return [kept.with_name(name) for name in names if os.path.lexists(kept.with_name(name))]


def _held(target: Path, who: str) -> StudioError:
    return StudioError(
        f"The output {target} is being written by another run ({who}): wait until it has ended, or choose another name."
    )


def _listed(text: dict) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """The list in a claim file, as far as it makes sense: names without a folder, which only such files have."""
    files = text.get("files")
    if text.get("form") != _FORM or not isinstance(files, dict):
        return
    for name, mark in files.items():
        if _MARK not in name or Path(name).name != name:
            continue
        if mark is None:
            yield name, None
        elif isinstance(mark, list) and len(mark) == 2 and all(isinstance(number, int) for number in mark):
            yield name, (mark[0], mark[1])


def _mark(path: Path) -> tuple[int, int] | None:
    """What changes when somebody puts another file there."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return (-1, -1)
    return found.st_size, found.st_mtime_ns


def _remove(path: Path) -> None:
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
