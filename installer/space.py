"""The size of the downloads and of what is installed; checks the disk space before anything is installed."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import pip
from .console import InstallError, note


class Size(NamedTuple):
    """Gigabytes."""

    download: float
    installed: float


# Measured on Linux with Python 3.11 (CPU) and 3.13 (CUDA 13), rounded up. Other systems need less, except for Windows'
# CUDA builds, which contain in one file what Linux gets as several packages.
CORE = Size(0.1, 0.3)
FAST = Size(0.15, 0.4)
EXTRAS = {"export": Size(0.1, 0.2), "train": Size(0.1, 0.2), "test": Size(0.2, 0.5)}
TORCH_CPU = Size(0.25, 0.9)
TORCH_CUDA = Size(2.8, 4.8)

UNPACKING = 0.3  # minutes per gigabyte
AT_100_MBIT = 1.35  # minutes per gigabyte


def total(sizes: list) -> Size:
    return Size(sum(size.download for size in sizes), sum(size.installed for size in sizes))


def describe(size: Size) -> str:
    """ "0.5 GB to download, 1.6 GB on the disk, about 2 minutes at 100 Mbit/s"."""
    minutes = max(1, math.ceil(size.download * AT_100_MBIT + size.installed * UNPACKING))
    time = f"about {minutes} minute{'' if minutes == 1 else 's'} at 100 Mbit/s"
    return f"{size.download:.1f} GB to download, {size.installed:.1f} GB on the disk, {time}"


class Need(NamedTuple):
    """Disk space that is needed in a folder."""

    what: str
    folder: Path
    gigabytes: float
    remedy: str


def require_space(python: Path, environment: Path, size: Size) -> None:
    """Raises InstallError if there is too little disk space. If only pip's cache does not fit, turns the cache off."""
    needs = [
        Need("the environment", environment, size.installed, "--venv FOLDER moves the environment"),
        Need("pip's temporary files", Path(tempfile.gettempdir()), size.download, "TMPDIR=FOLDER moves those files"),
    ]
    cache = pip.cache_folder(python)
    with_cache = [*needs, Need("pip's cache", cache, size.download, "")] if cache else needs
    if cache and missing(with_cache) and not missing(needs):
        note(f"pip's cache in {cache} is not used: the disk has too little space for it")
        os.environ["PIP_NO_CACHE_DIR"] = "1"
        return
    if problems := missing(needs):
        raise InstallError(" ".join(problems))


def missing(needs: list) -> list:
    """A message for each disk that has too little space."""
    disks = {}
    for need in needs:
        folder = existing(need.folder)
        disks.setdefault(disk_of(folder), []).append((folder, need))
    problems = []
    for entries in disks.values():
        free = shutil.disk_usage(entries[0][0]).free / 1e9
        needed = sum(need.gigabytes for _, need in entries)
        if free < needed:
            parts = ", ".join(f"{need.what} in {need.folder} {need.gigabytes:.1f}" for _, need in entries)
            remedies = [need.remedy for _, need in entries if need.remedy]
            problems.append(
                f"{free:.1f} GB are free where {needed:.1f} GB are needed ({parts}). Free some space, or choose another"
                f" disk: {'; '.join(remedies)}."
            )
    return problems


def disk_of(folder: Path) -> int:
    return folder.stat().st_dev


def existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())
