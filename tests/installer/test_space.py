"""Room on the disks, looked for before anything begins."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from rvm_studio.installer import console, pip, space

SIZE = space.Size(download=3, installed=5)


@pytest.fixture
def disks(monkeypatch, tmp_path):
    """`disks(environment=6, temporary=4, cache=10)` makes these folders, each on a disk of its own with so many GB
    free, and returns the first; all=8 puts all of them onto one disk; cache=None: pip has none."""

    def make(environment=0.0, temporary=0.0, cache=None, all=None) -> Path:
        free = {"environment": environment, "temporary": temporary, "cache": cache}
        for name in ("environment", "temporary", "cache"):
            (tmp_path / name).mkdir()
        there = tmp_path / "cache" / "made by pip later"
        monkeypatch.setattr(pip, "cache_folder", lambda python: None if cache is None else there)
        monkeypatch.setattr(space, "disk_of", lambda folder: "one" if all else folder.name)
        usage = {str(tmp_path / name): (all or gigabytes) for name, gigabytes in free.items()}
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=usage[str(folder)] * 1e9))
        return tmp_path / "environment"

    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "")
    return make


@pytest.mark.parametrize(
    "free",
    [{"environment": 5.1, "temporary": 3.1, "cache": 3.1}, {"all": 11.1, "cache": 0}, {"all": 8.1, "cache": None}],
)
def test_room_enough(disks, free):
    space.require_space(Path("python"), disks(**free), SIZE)
    assert os.environ["PIP_NO_CACHE_DIR"] == ""


def test_no_room_for_the_environment(disks):
    environment = disks(environment=4.9, temporary=9, cache=9)
    with pytest.raises(console.InstallError) as error:
        space.require_space(Path("python"), environment, SIZE)
    assert str(error.value) == (
        f"4.9 GB are free where 5.0 GB are needed (the environment in {environment} 5.0). Free some space, or choose"
        " another disk: --venv FOLDER moves the environment."
    )


def test_no_room_for_temporary_files(disks, tmp_path):
    """/tmp in memory, say."""
    with pytest.raises(console.InstallError) as error:
        space.require_space(Path("python"), disks(environment=9, temporary=2, cache=9), SIZE)
    assert f"pip's temporary files in {tmp_path / 'temporary'} 3.0" in str(error.value)
    assert str(error.value).endswith("another disk: TMPDIR=FOLDER moves those files.")


def test_what_shares_a_disk_is_added(disks):
    with pytest.raises(console.InstallError, match=r"7\.9 GB are free where 8\.0 GB are needed"):
        space.require_space(Path("python"), disks(all=7.9), SIZE)


@pytest.mark.parametrize("free", [{"environment": 9, "temporary": 9, "cache": 2}, {"all": 8.1, "cache": 0}])
def test_without_room_for_a_cache_there_is_none(disks, capsys, free):
    space.require_space(Path("python"), disks(**free), SIZE)
    assert ("is not used" in capsys.readouterr().out) is (os.environ["PIP_NO_CACHE_DIR"] == "1")
    assert os.environ["PIP_NO_CACHE_DIR"] == "1"


def test_the_real_disk(tmp_path):
    assert space.missing([space.Need("it", tmp_path / "not" / "made", 0.0, "")]) == []
    (problem,) = space.missing([space.Need("it", tmp_path / "not" / "made", 1e9, "do something")])
    assert problem.endswith("do something.")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (space.Size(0.5, 1.6), "0.5 GB to download, 1.6 GB on the disk, about 2 minutes at 100 Mbit/s"),
        (space.Size(0.1, 0.2), "0.1 GB to download, 0.2 GB on the disk, about 1 minute at 100 Mbit/s"),
    ],
)
def test_sizes_in_words(size, text):
    assert space.describe(size) == text
