"""Checkpoints of a run: written completely or not at all, verified when read, and only the last few kept."""

import hashlib
import io
import logging
import re
from pathlib import Path

import torch

from ..core import StudioError, atomic_file

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
_MAGIC = b"RVM training 1\n"
_NAME = re.compile(r"step-(\d{8})\.pt")
_DIGEST_BYTES = 32


def save_checkpoint(run: Path, step: int, content: dict, keep: int) -> Path:
    """Writes <run>/checkpoints/step-NNNNNNNN.pt and deletes all but the last `keep`.

    content: tensors, numbers, strings, lists and dicts. step: counted over the whole run; determines the order.
    Raises StudioError if it cannot be written; the earlier checkpoints are kept then.
    """
    assert keep > 0, keep
    path = run / FOLDER / f"step-{step:08d}.pt"
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    try:
        with atomic_file(path, sync=True) as partial, partial.open("wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
        for old in checkpoints(run)[:-keep]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise StudioError(
            f"The checkpoint {path} cannot be written ({error}). Free some space, then run again with --resume."
        ) from error
    return path


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    folder = run / FOLDER
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def load_newest(run: Path) -> tuple[Path, dict]:
    """The newest intact checkpoint, on the CPU. Damaged ones are skipped with a warning.

    Raises StudioError if there is none.
    """
    found = checkpoints(run)
    for path in reversed(found):
        try:
            return path, read_checkpoint(path)
        except StudioError as error:
            logger.warning("%s Trying the previous checkpoint.", error)
    if found:
        raise StudioError(
            f"None of the {len(found)} checkpoints in {run / FOLDER} is intact. Start a new run in another --output."
        )
    raise StudioError(f"There is no checkpoint in {run / FOLDER} to resume from. Leave out --resume.")


def read_checkpoint(path: Path) -> dict:
    """Reads a checkpoint. Raises StudioError if the file is damaged, truncated or not a checkpoint."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} cannot be read ({error}).") from error
    head = len(_MAGIC) + _DIGEST_BYTES
    payload = memoryview(data)[head:]
    if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != data[len(_MAGIC) : head]:
        raise StudioError(f"{path} is damaged or truncated.")
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
