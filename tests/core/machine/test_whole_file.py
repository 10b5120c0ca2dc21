"""A file appears complete or not at all."""

import os
import re

import pytest
from rvm_studio.core.machine.whole_file import whole_file


def test_the_name_beside_takes_the_place(tmp_path):
    path = tmp_path / "new" / "folder" / "a.b.txt"
    with whole_file(path) as partial:
        assert re.fullmatch(r"a\.b\.[0-9a-f]{8}\.partial\.txt", partial.name)
        assert partial.parent == path.parent
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.b.txt"]


def test_several_at_once_have_names_of_their_own(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path, keeps_suffix=False) as first:
        first.write_text("first")
        with whole_file(path, keeps_suffix=False) as second:
            assert first != second
            assert first.suffix == second.suffix == ".partial"  # no half weights file in a list of weights
            second.write_text("second")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("sync", [True, False])
def test_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, sync):
    """A power cut at any moment leaves the old file or the whole new one."""
    events, really_sync, really_replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: events.append(os.fstat(file).st_size) or really_sync(file))
    monkeypatch.setattr(os, "replace", lambda *names: events.append("named") or really_replace(*names))
    with whole_file(tmp_path / "a.txt", sync=sync) as partial:
        partial.write_text("whole")
    if not sync:
        assert events == ["named"]
    elif os.name == "posix":
        assert events[:2] == [5, "named"]
        assert len(events) == 3  # the folder's own
    else:
        assert events == [5, "named"]


def test_the_old_file_is_there_until_then(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("written", [True, False])
def test_after_an_error_all_is_as_before(tmp_path, error, written):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as partial:  # noqa: PT012
        if written:
            partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_empty_file_is_a_file(tmp_path):
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("")
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_a_target_that_cannot_be_replaced_leaves_no_half(tmp_path):
    (tmp_path / "a.txt" / "inside").mkdir(parents=True)
    with pytest.raises(OSError), whole_file(tmp_path / "a.txt") as partial:  # noqa: PT011
        partial.write_text("whole")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_cannot_be_removed_does_not_hide_the_error(tmp_path):
    """The caller's own fault is what is raised."""
    with pytest.raises(ValueError, match="mine"), whole_file(tmp_path / "a.txt") as partial:  # noqa: PT012
        partial.unlink()
        (partial / "inside").mkdir(parents=True)  # a folder, which unlink refuses
        raise ValueError("mine")
