"""Files as they come from strangers: empty, cut, text, programs, wrapped."""

import logging
import os
import pickle
import stat
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.weights.tensor_file import read_names, read_tensors, write_tensors
from safetensors.torch import save_file


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "b.weight": torch.randn(4, 3, 5, 5, generator=generator),
        "a.bias": torch.randn(7, generator=generator),
        "a.count": torch.tensor(12),
        "a.half": torch.randn(3, generator=generator).bfloat16(),
        "a.none": torch.zeros(0, 3),
    }


def _assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def _refused(path: Path, message: str) -> str:
    with pytest.raises(StudioError, match=message) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip(tensors, tmp_path):
    path = tmp_path / "new" / "folder" / "x.safetensors"
    write_tensors(path, tensors, {"licence": "CC0-1.0"})
    found, metadata = read_tensors(path)
    _assert_same(found, tensors)
    assert metadata.pop("tensors_sha256")
    assert metadata == {"licence": "CC0-1.0"}
    assert sorted(read_names(path)) == sorted(tensors)
    assert list(path.parent.iterdir()) == [path]


def test_what_was_read_does_not_change_with_the_file(tensors, tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {})
    found, _ = read_tensors(path)
    with open(path, "r+b") as file:
        file.seek(-200, os.SEEK_END)
        file.write(b"\0" * 200)
    _assert_same(found, tensors)


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX file modes")
def test_others_may_read_what_the_umask_lets_them(tensors, tmp_path):
    before = os.umask(0o022)
    try:
        write_tensors(tmp_path / "x.safetensors", tensors, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.safetensors").stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tensors, tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {})
    content = path.read_bytes()

    write = Path.write_bytes

    def full(path, data):
        write(path, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StudioError, match=r"x\.safetensors cannot be written .*No space left"):
        write_tensors(path, {"other": torch.ones(1)}, {})
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_writing_where_it_cannot_be(tensors, tmp_path):
    with pytest.raises(StudioError, match=r"x\.pth: weights are written as \.safetensors"):
        write_tensors(tmp_path / "x.pth", tensors, {})
    (tmp_path / "file").touch()
    with pytest.raises(StudioError, match="cannot be written"):
        write_tensors(tmp_path / "file" / "x.safetensors", tensors, {})


@pytest.mark.parametrize("wrapping", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pth_bare_and_wrapped(tensors, tmp_path, wrapping, suffix):
    path = tmp_path / f"x{suffix}"
    torch.save({wrapping: tensors, "epoch": 3} if wrapping else tensors, path)
    found, metadata = read_tensors(path)
    _assert_same(found, tensors)
    assert metadata == {}
    assert sorted(read_names(path)) == sorted(tensors)


def test_parameters_come_without_gradient(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "x.pth")
    assert not read_tensors(tmp_path / "x.pth")[0]["a"].requires_grad


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_missing_empty_and_text_files(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    _refused(path, "does not exist or is not a file")
    path.mkdir()
    _refused(path, "is not a file")
    path.rmdir()
    path.touch()
    _refused(path, "is empty")
    path.write_text("<!DOCTYPE html>\n<title>Nicht gefunden – schade</title>", encoding="utf-8")
    assert "<!DOCTYPE html>" in _refused(path, "is text, not weights")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 15\n")
    assert "git-lfs" in _refused(path, "is text, not weights")
    path.write_bytes(bytes(range(128, 256)) * 8)
    _refused(path, "damaged or truncated|is not a PyTorch checkpoint")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07")
    _refused(tmp_path / "x.onnx", r"expected \.safetensors, \.pth, \.pt")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files(tensors, tmp_path, keep):
    for path in (tmp_path / "x.safetensors", tmp_path / "x.pth"):
        if path.suffix == ".pth":
            torch.save(tensors, path)
        else:
            save_file(tensors, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        _refused(path, "damaged or truncated")
        with pytest.raises(StudioError, match="damaged or truncated"):
            read_names(path)


def test_one_changed_bit_is_noticed(tensors, tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x10
    path.write_bytes(content)
    _refused(path, "its tensors have changed since it was saved")


class _Program:
    """Pickles as a call that makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_is_refused_and_not_run(tensors, tmp_path):
    made = tmp_path / "made"
    torch.save({**tensors, "program": _Program(made)}, tmp_path / "x.pth")
    message = _refused(tmp_path / "x.pth", "contains Python code or objects .*none of it was run")
    assert f"{os.mkdir.__module__}.mkdir" in message
    (tmp_path / "y.pth").write_bytes(pickle.dumps(_Program(made)))
    _refused(tmp_path / "y.pth", "is not a PyTorch checkpoint")
    torch.save(tensors, tmp_path / "z.pth", _use_new_zipfile_serialization=False)
    _refused(tmp_path / "z.pth", "is not a PyTorch checkpoint")
    assert not made.exists()


def test_whole_modules_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    assert "Linear" in _refused(tmp_path / "x.pth", "contains Python code or objects")


def test_torchscript_is_refused(tensors, tmp_path):
    path = tmp_path / "x.pth"
    torch.save(tensors, path)
    with zipfile.ZipFile(path, "a") as archive:  # what tells a TorchScript archive from a checkpoint
        archive.writestr("x/constants.pkl", b"\x80\x02).")
    _refused(path, "is a TorchScript program")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "contains a list"),
        ({}, "contains a dict"),
        ({"a": 3}, "contains a int under 'a'"),
        ({"a": torch.ones(1), "b": {"c": torch.ones(1)}}, "contains a dict under 'b'"),
        ({3: torch.ones(1)}, "under 3"),
        (torch.ones(1), "contains a Tensor"),
    ],
)
def test_pth_without_a_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    _refused(tmp_path / "x.pth", message)


def test_reading_is_silent(tensors, tmp_path, caplog, recwarn, capsys):
    torch.save(tensors, tmp_path / "x.pth")
    with caplog.at_level(logging.DEBUG):
        read_tensors(tmp_path / "x.pth")
    assert caplog.text == ""
    assert not list(recwarn)
    assert capsys.readouterr() == ("", "")
