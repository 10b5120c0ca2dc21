"""A clip to read, and what reaches the disk, for the tests of outputs."""

import os
from pathlib import Path

import pytest

from .drawn_clips import chart, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """60 frames, a key frame every 10."""
    return write_clip(tmp_path / "clip.mp4", [chart(index=i) for i in range(60)], options={"g": "10"})


@pytest.fixture
def events(monkeypatch):
    """What reached the disk, in order: ("sync", inode, bytes then), ("rename", inode, new name, bytes then). A new name
    may also come from a link, and for pictures from their folder."""
    seen, sync, replace, link, rename = [], os.fsync, os.replace, os.link, os.rename

    def noted_sync(descriptor):
        sync(descriptor)
        found = os.fstat(descriptor)
        seen.append(("sync", found.st_ino, found.st_size))

    def noted(real):
        def named(old, new):
            inside = sorted(Path(old).iterdir()) if Path(old).is_dir() else []
            names = [(Path(old), Path(new).name), *((path, path.name) for path in inside)]
            seen.extend(("rename", path.stat().st_ino, name, path.stat().st_size) for path, name in names)
            real(old, new)

        return named

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted(replace))
    monkeypatch.setattr(os, "link", noted(link))
    monkeypatch.setattr(os, "rename", noted(rename))
    return seen
