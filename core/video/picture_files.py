"""Numbered pictures, or a single one, as a FrameWriter writes them."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import av
from av.error import FFmpegError

from ..errors import StudioError
from ..machine.whole_file import sync_file, whole_file
from .encoder_setup import EncoderSetup, drain
from .exr_encoder import ExrEncoder
from .partial_output import NUMBER, NotResumable, Written, existing_output_error, numbered, partial_path, pattern_of


class PictureFiles:
    """Writes numbered PNG, TIFF or EXR files in a `.partial` folder, or one picture (%05d in its name becomes the
    frame's number)."""

    def __init__(
        self,
        path: Path,
        setup: EncoderSetup,
        overwrite: bool,
        single: bool,
        resumed: Written | None = None,
        premultiplied: bool = False,
    ) -> None:
        self.complete = True
        self._single = single
        self._overwrite = overwrite
        self._target = path if single else pattern_of(path)
        folder = self._target.parent
        if single:
            self._old = [path] if path.exists() and not NUMBER.search(path.name) else []
        else:
            self._old = list(self._matches(folder).values())
        if self._old and not overwrite:
            raise existing_output_error(self._old[0])
        self._context = setup.picture_encoder(premultiplied)
        self._partial = folder if single else partial_path(path)
        self._partial.mkdir(parents=True, exist_ok=True)
        self._expected = resumed
        self._resumed: list[Path] = []
        if not single and resumed is None:
            for leftover in self._matches(self._partial).values():
                leftover.unlink()
        self._numbers: list[int] = []  # of pictures inside the encoder
        self._written: list[Path] = []

    def copy_resumed(self, stopped: Callable[[], bool]) -> bool:
        """Finds the pictures of the resumed run, and removes any later ones. Raises NotResumable if some are
        missing."""
        assert self._expected is not None
        last, found = self._expected.number, self._matches(self._partial)
        self._resumed = [path for number, path in found.items() if number <= last]
        if len(self._resumed) != self._expected.frames:
            raise NotResumable(f"{self._partial} contains {len(self._resumed)} of {self._expected.frames} pictures")
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

    def _name(self, number: int) -> Path:
        if self._single:
            return self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        return self._partial / numbered(self._target.name, number)

    def write(self, frame: av.VideoFrame, number: int) -> None:
        if self._single and (self._numbers or self._written):
            raise StudioError(
                f"Cannot write a second frame to the single picture {self._target}: use a sequence (%05d)."
            )
        if self._single and NUMBER.search(self._target.name):
            self._target = self._target.with_name(numbered(self._target.name, number))
            if self._target.exists() and not self._overwrite:
                raise existing_output_error(self._target)
        self._numbers.append(number)
        if isinstance(self._context, ExrEncoder):
            self._save(self._context.encode(frame, number))
        else:
            self._save(self._context.encode(frame))

    def _save(self, packets: list[av.Packet] | list[bytes]) -> None:
        for packet in packets:
            path = self._name(self._numbers.pop(0))
            with whole_file(path) as temporary:
                temporary.write_bytes(bytes(packet))
            self._written.append(path)

    def finish(self) -> Path:
        self._save(self._context.encode(None))
        written = [*self._resumed, *self._written]
        for path in written:
            sync_file(path)
        if self._single:
            os.replace(written[0], self._target)
            return self._target
        folder = self._target.parent
        folder.mkdir(parents=True, exist_ok=True)  # another sequence may have created it meanwhile
        for old in self._old:  # the rest of a longer old sequence must not remain
            old.unlink(missing_ok=True)
        for path in written:
            os.replace(path, folder / path.name)
        with contextlib.suppress(OSError):  # a file manager may have left a file there
            self._partial.rmdir()
        return folder

    def __del__(self) -> None:
        drain(getattr(self, "_context", None))

    def abandon(self, keep: bool) -> Path | None:
        if keep:
            try:
                self._save(self._context.encode(None))
            except (OSError, FFmpegError):
                self.complete = False  # pictures saved before are kept
        drain(self._context)
        if keep and (self._written or self._resumed):
            return self._written[0] if self._single else self._partial
        for path in self._written:
            path.unlink(missing_ok=True)
        if not self._single and self._partial.is_dir() and not any(self._partial.iterdir()):
            self._partial.rmdir()
        return None
