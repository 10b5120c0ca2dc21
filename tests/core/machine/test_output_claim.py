"""Who may write an output, and which files are theirs: nothing else is ever overwritten or removed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.output_claim import OutputClaim, claim_path, leftovers, refuse_held

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


def claim(folder: Path, name="o.mov", inputs=()) -> OutputClaim:
    path = folder / name
    return OutputClaim(path, path.with_name(f"{path.stem}.partial{path.suffix}"), inputs)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


KILLED = """
import os, sys
from pathlib import Path
from rvm_studio.core.machine.output_claim import OutputClaim
claim = OutputClaim(Path("o.mov"), Path("o.partial.mov"))
claim.new_file().write_bytes(b"half")
print("ready", flush=True)
sys.stdin.read(1)
os._exit(9)
"""


def test_a_second_claim_says_who_has_the_first(tmp_path):
    first = claim(tmp_path)
    for taken in (claim, lambda folder: refuse_held(folder / "o.mov", first.kept)):
        with pytest.raises(StudioError, match=r"o\.mov is being written by another run \(this process on .*, since 20"):
            taken(tmp_path)
    claim(tmp_path, "other.mov").release()
    first.release()
    claim(tmp_path).release()
    assert os.listdir(tmp_path) == []


def test_a_dead_process_loses_its_claim_and_its_files_are_ours(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(StudioError, match=rf"process {process.pid} on "):
        claim(tmp_path)
    process.communicate("x")
    (left,) = names(tmp_path)
    assert leftovers(tmp_path / "o.partial.mov") == [tmp_path / left]
    again = claim(tmp_path)
    assert again.leftovers() == [tmp_path / left]
    again.remove(tmp_path / left)
    again.release()
    assert os.listdir(tmp_path) == []


def test_a_temporary_file_opens_nothing_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "mine.mov").write_bytes(b"mine")
    monkeypatch.setattr("uuid.UUID.hex", "0" * 32, raising=False)
    (tmp_path / "o.00000000.partial.mov").symlink_to(tmp_path / "mine.mov")
    made = claim(tmp_path)
    with pytest.raises(FileExistsError):
        made.new_file()
    made.release()
    assert (tmp_path / "mine.mov").read_bytes() == b"mine"


def test_a_kept_file_has_a_free_name(tmp_path):
    (tmp_path / "o.partial.mov").write_bytes(b"somebody's")
    kept = []
    for number in range(2):
        made = claim(tmp_path)
        working = made.new_file()
        working.write_bytes(b"x" * (number + 1))
        kept.append(made.keep(working, made.keep_name()))
        made.release()
    assert [path.name for path in kept] == ["o.2.partial.mov"] * 2  # the second replaces our first
    assert kept[0].read_bytes() == b"xx"
    assert (tmp_path / "o.partial.mov").read_bytes() == b"somebody's"


def test_a_kept_file_that_somebody_changed_is_theirs(tmp_path):
    made = claim(tmp_path)
    working = made.new_file()
    working.write_bytes(b"ours")
    kept = made.keep(working, made.keep_name())
    made.release()
    kept.write_bytes(b"another clip under this name")
    made = claim(tmp_path)
    assert made.leftovers() == []
    made.remove(kept)
    assert made.keep_name().name == "o.2.partial.mov"
    made.release()
    assert kept.read_bytes() == b"another clip under this name"


def test_an_input_is_never_removed(tmp_path):
    """The README's own way: the unfinished file becomes the next input."""
    made = claim(tmp_path)
    working = made.new_file()
    working.write_bytes(b"ours")
    kept = made.keep(working, made.keep_name())
    made.release()
    for inputs in ([kept], [tmp_path / "folder" / ".." / kept.name]):
        (tmp_path / "folder").mkdir(exist_ok=True)
        made = claim(tmp_path, inputs=inputs)
        assert made.leftovers() == []
        made.remove(kept)
        made.release()
    assert kept.read_bytes() == b"ours"


@pytest.mark.parametrize("links", [True, False])
def test_the_final_name_replaces_nothing(tmp_path, monkeypatch, links):
    """Even if the file has appeared in the last moment, and where a file system has no hard links."""
    if not links:

        def refused(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    for there in (False, True):
        made = claim(tmp_path)
        working = made.new_file()
        working.write_bytes(b"new")
        if there:
            with pytest.raises(FileExistsError):
                made.publish(working, made.target, replace=False)
            made.publish(working, made.target, replace=True)
        else:
            made.publish(working, made.target, replace=False)
        made.release()
        assert (tmp_path / "o.mov").read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["o.mov"]
        (tmp_path / "o.mov").write_bytes(b"old")


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"form": 1, "files": {"../x.partial.mov": null, "mine": null}}']
)
def test_a_strange_claim_file_gives_nothing_away(tmp_path, text):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "x.partial.mov", folder / "mine"):
        path.write_bytes(b"mine")
    claim_path(folder / "o.partial.mov").write_text(text)
    made = claim(folder)
    assert made.leftovers() == []
    made.release()
    assert (tmp_path / "x.partial.mov").exists()
    assert names(folder) == ["mine"]


@posix
def test_a_link_in_place_of_the_claim_is_not_followed(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    claim_path(tmp_path / "o.partial.mov").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError):  # noqa: PT011
        claim(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_long_names(tmp_path):
    """As long as the file system allows: no name of ours is longer."""
    made = claim(tmp_path, "ü" * 120 + "abcdefghi.mov")
    working = made.new_file()
    assert made.keep(working, made.keep_name()).exists()
    made.release()


def test_of_ten_processes_one_has_the_claim(tmp_path):
    code = KILLED.replace("claim = Output", "try: claim = Output").replace(
        "claim.new_file", "except Exception as error: sys.exit(str(error))\nclaim.new_file"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, **pipes) for _ in range(10)]
    said = [process.stdout.readline() for process in processes]
    (winner,) = (process for process, line in zip(processes, said, strict=True) if line == "ready\n")
    for process in processes:
        _, error = process.communicate("x")
        assert process is winner or f"written by another run (process {winner.pid} on " in error
