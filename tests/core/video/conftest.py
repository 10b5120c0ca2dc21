"""What reaches the disk, for the tests of outputs."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def events(monkeypatch):
    """What reached the disk, in order: ("sync", inode, bytes then), ("rename", inode, new name, bytes then)."""
    seen, sync, replace = [], os.fsync, os.replace

    def noted_sync(descriptor):
        sync(descriptor)
        found = os.fstat(descriptor)
        seen.append(("sync", found.st_ino, found.st_size))

    def noted_replace(old, new):
        found = os.stat(old)
        seen.append(("rename", found.st_ino, Path(new).name, found.st_size))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return seen
