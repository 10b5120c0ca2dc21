"""Caches compiled artefacts on disk for the next start. A file is used only if it is complete and was made for exactly
the same key; anything else counts as absent and is compiled again."""

import hashlib
import logging
import os
from pathlib import Path

from ...machine.cache_folder import models_dir
from ...machine.private_folder import is_private, make_private
from ...machine.whole_file import whole_file

log = logging.getLogger(__name__)

SUFFIX = ".compiled"
MOST_BYTES = 2**30  # in total; the least recently used are removed first


def folder() -> Path:
    """Beside the weights: see `models_dir`."""
    return models_dir() / "compiled"


def load(key: tuple) -> bytes | None:
    """The artefact stored under the key; None if there is none or it is damaged."""
    path = _path(key)
    try:
        if not path.exists() or not is_private(path.parent):
            return None
        content = path.read_bytes()
        digest, artefact = content[:32], content[32:]
        if hashlib.sha256(artefact).digest() != digest:
            log.warning("%s is damaged; compiling again", path)
            return None
        os.utime(path)
        return artefact
    except Exception as error:  # a broken cache only costs time
        log.info("%s cannot be read (%s); compiling again", path, error)
        return None


def store(key: tuple, artefact: bytes) -> None:
    """Stores the artefact. If that fails (a full disk), it is compiled again at the next start."""
    try:
        if not make_private(folder()):
            log.info("%s can be written by others: compiled code is not cached there", folder())
            return
        with whole_file(_path(key), keeps_suffix=False) as partial:
            partial.write_bytes(hashlib.sha256(artefact).digest() + artefact)
        _prune()
    except Exception as error:
        log.info("compiled artefacts cannot be stored: %s", error)


def _path(key: tuple) -> Path:
    return folder() / (hashlib.sha256(repr(key).encode()).hexdigest()[:32] + SUFFIX)


def _prune() -> None:
    files = sorted(folder().glob(f"*{SUFFIX}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    kept = 0
    for path in files:
        kept += path.stat().st_size
        if kept > MOST_BYTES:
            path.unlink(missing_ok=True)
