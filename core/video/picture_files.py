"""Numbered pictures, or a single one, as a FrameWriter writes them."""

import contextlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

import av
from av.error import FFmpegError

from ..errors import StudioError
from ..machine.output_claim import OutputClaim
from ..machine.whole_file import create_new, rename_new, sync_file, sync_folder
from .encoder_setup import EncoderSetup, drain
from .exr_encoder import ExrEncoder
from .partial_output import (
    NUMBER,
    RECORD_SUFFIX,
    NotResumable,
    Written,
    existing_output_error,
    numbered,
    partial_path,
    pattern_of,
)


class PictureFiles:
    """Writes numbered PNG, TIFF or EXR files in a `.partial` folder, or one picture (%05d in its name becomes the
    frame's number). inputs: files that this run reads, see OutputClaim."""

    def __init__(
        self,
        path: Path,
        setup: EncoderSetup,
        overwrite: bool,
        single: bool,
        resumed: Written | None = None,
        premultiplied: bool = False,
        inputs: Collection[Path] = (),
    ) -> None:
        self.complete = True
        self._single = single
        self._overwrite = overwrite
        self._target = path if single else pattern_of(path)
        self._find_old()
        self._context = setup.picture_encoder(premultiplied)
        self._expected = resumed
        self._resumed: list[Path] = []
        self._numbers: list[int] = []  # of pictures inside the encoder
        self._written: list[Path] = []
        self._synced = 0  # of those
        self._folder: Path | None = None  # with the unfinished pictures
        kept = self._target.with_name(_partial_name(self._target)) if single else partial_path(path)
        self.claim = OutputClaim(self._target, kept, inputs)
        try:
            self._old = self._find_old()
            if resumed is None:
                self._remove_leftovers()
            else:
                self._folder = resumed.find(self.claim.folder)
            if self._folder is None and not single:
                self._folder = self.claim.new_folder()
            self.names: tuple[str, ...] = ()
            if self._folder is not None:
                self.names = tuple(dict.fromkeys((self._folder.name, self.claim.keep_name().name)))
        except BaseException:
            self.claim.release()
            raise

    def _find_old(self) -> list[Path]:
        """The pictures that will be replaced. Raises StudioError if that is not wanted."""
        if self._single:
            old = [self._target] if os.path.lexists(self._target) and not NUMBER.search(self._target.name) else []
        else:
            old = list(self._matches(self._target.parent).values())
        if old and not self._overwrite:
            raise existing_output_error(old[0])
        return old

    def _remove_leftovers(self) -> None:
        """Removes what earlier runs have left."""
        for path in self.claim.leftovers():
            if path == self._folder:
                continue
            for picture in self._matches(path).values() if path.is_dir() else ():
                picture.unlink(missing_ok=True)
            self.claim.remove(path)

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        """Finds the pictures of the resumed run, and removes any later ones. Raises NotResumable if some are
        missing."""
        assert self._expected is not None
        assert self._folder is not None
        last, found = self._expected.number, self._matches(self._folder)
        self._resumed = [path for number, path in found.items() if number <= last]
        if len(self._resumed) != self._expected.frames:
            raise NotResumable(f"{self._folder} contains {len(self._resumed)} of {self._expected.frames} pictures")
        for number, path in found.items():
            if number > last:
                path.unlink()
        return True

    def _matches(self, folder: Path) -> dict[int, Path]:
        """The files in `folder` that match this sequence's pattern, by number."""
        before, after = NUMBER.split(self._target.name)[0], NUMBER.split(self._target.name)[-1]
        name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        hits = [(name.fullmatch(file.name), file) for file in sorted(folder.glob("*"))]
        return {int(hit[1]): file for hit, file in hits if hit}

    def write(self, frame: av.VideoFrame, number: int) -> None:
        if self._single and (self._numbers or self._written):
            raise StudioError(
                f"Cannot write a second frame to the single picture {self._target}: use a sequence (%05d)."
            )
        if self._single and NUMBER.search(self._target.name):
            self._target = self._target.with_name(numbered(self._target.name, number))
            if os.path.lexists(self._target) and not self._overwrite:
                raise existing_output_error(self._target)
        self._numbers.append(number)
        if isinstance(self._context, ExrEncoder):
            self._save(self._context.encode(frame, number))
        else:
            self._save(self._context.encode(frame))

    def _save(self, packets: list[av.Packet] | list[bytes]) -> None:
        for packet in packets:
            number = self._numbers.pop(0)
            if self._folder is None:
                path = self.claim.new_file()
            else:
                path = self._folder / numbered(self._target.name, number)
                os.close(create_new(path))
            try:
                path.write_bytes(bytes(packet))
            except BaseException:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
            self._written.append(path)

    def holds(self, frames: int, pts: int) -> bool:
        return len(self._resumed) + len(self._written) >= frames

    def sync(self) -> None:
        written = self._written[self._synced :]
        for path in written:
            sync_file(path)
        if self._folder is not None:
            sync_folder(self._folder)
        self._synced += len(written)

    def forget_earlier(self) -> None:
        pass  # the pictures stay where they are

    def finish(self) -> Path:
        self._save(self._context.encode(None))
        for path in [*self._resumed, *self._written[self._synced :]]:
            sync_file(path)
        try:
            result = self._publish()
        except FileExistsError:  # another program's, since the beginning
            raise existing_output_error(self._target) from None
        self._folder = None
        self._remove_leftovers()
        self.claim.release()
        return result

    def _publish(self) -> Path:
        written = [*self._resumed, *self._written]
        if self._folder is None:
            self.claim.publish(written[0], self._target, replace=self._overwrite)
            return self._target
        folder = self._target.parent
        if not folder.exists() and {path.name for path in written} == set(os.listdir(self._folder)):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # if it exists now, the pictures go into it
                os.rename(self._folder, folder)  # all of them in one step
                return folder
        folder.mkdir(parents=True, exist_ok=True)
        if not self._overwrite and any(os.path.lexists(folder / path.name) for path in written):
            raise FileExistsError
        for old in self._old:  # the rest of a longer old sequence must not remain
            old.unlink(missing_ok=True)
        for path in written:
            os.replace(path, folder / path.name) if self._overwrite else rename_new(path, folder / path.name)
        self.claim.remove(self._folder)  # unless a file manager has left a file there
        return folder

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def abandon(self, keep: bool) -> bool:
        if keep:
            try:
                self._save(self._context.encode(None))
            except (OSError, FFmpegError):
                self.complete = False  # pictures saved before are kept
        drain(self._context)
        if keep and (self._written or self._resumed):
            return True
        for path in self._written:
            path.unlink(missing_ok=True)
        self._written = []
        if self._folder is not None and not self._resumed and self._expected is None:
            self.claim.remove(self._folder)
        return False

    def readable_frames(self) -> int:
        return len(self._resumed) + len(self._written)

    def settle(self) -> Path | None:
        kept = self._folder
        if self._single and self._written:
            kept = self.claim.keep(self._written[0], self.claim.keep_name())
        elif kept is not None and (self._written or self._resumed):
            kept = self.claim.keep(kept, kept.with_name(self.names[-1]))
            for path in self.claim.leftovers():
                if RECORD_SUFFIX not in path.suffixes and path != kept:
                    self.claim.remove(path)
        else:
            kept = None
        self.claim.release()
        return kept


def _partial_name(path: Path) -> str:
    return f"{path.stem.replace('%', '#')}.partial{path.suffix}"
