"""A lock that says who holds it, also where the file system has none."""

import errno
import json
import os
import socket

import pytest
from rvm_studio.core.machine import name_lock
from rvm_studio.core.machine.name_lock import HeldError, NameLock, holder, read_text


def test_held_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None
    lock = NameLock(path)
    lock.write({"a": 1})
    with pytest.raises(HeldError, match="this process"):
        NameLock(path)
    assert "this process" in str(holder(path))
    lock.release(remove=False)
    assert holder(path) is None
    assert read_text(path)["a"] == 1
    again = NameLock(path)
    assert again.text["a"] == 1
    again.release(remove=True)
    again.release(remove=True)
    assert not path.exists()


def test_a_file_that_was_removed_meanwhile_is_made_again(tmp_path, monkeypatch):
    """Between opening and locking it, its last holder has gone, with the file."""
    path, real = tmp_path / "lock", name_lock._lock
    calls = []

    def removed_first(file):
        if not calls:
            path.unlink()
        calls.append(file)
        return real(file)

    if os.name == "posix":
        monkeypatch.setattr(name_lock, "_lock", removed_first)
        lock = NameLock(path)
        assert (len(calls), path.exists()) == (2, True)
        lock.release(remove=True)


def other(process, computer=None) -> str:
    return json.dumps({"process": process, "computer": computer or socket.gethostname(), "since": "then"})


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """A process that lives has the lock, a dead one has not; of another computer's nobody knows."""

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    path = tmp_path / "lock"
    for text, held in (("", False), (other(2**22 + 1), False), (other(os.getppid()), True), (other(1, "far"), True)):
        path.write_text(text)
        assert (holder(path) is not None) == held, text
        if held:
            with pytest.raises(HeldError):
                NameLock(path)
        else:
            NameLock(path).release(remove=True)
    lock = NameLock(tmp_path / "mine")
    lock.write({})
    with pytest.raises(HeldError, match="this process"):
        NameLock(tmp_path / "mine")
    lock.release(remove=False)
    NameLock(tmp_path / "mine").release(remove=True)
