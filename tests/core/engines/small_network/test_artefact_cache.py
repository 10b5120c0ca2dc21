"""The folder of compiled artefacts on a machine that has none yet, and where it cannot be written to."""

import os

import pytest
from rvm_studio.core.engines.small_network import artefact_cache


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "not" / "yet" / "there"))
    return tmp_path / "not" / "yet" / "there"


def test_the_first_start_on_a_machine(models):
    assert artefact_cache.load(("network", 1)) is None
    assert not models.exists()
    artefact_cache.store(("network", 1), b"compiled")
    assert artefact_cache.load(("network", 1)) == b"compiled"
    (file,) = (models / "compiled").iterdir()
    assert file.suffix == artefact_cache.SUFFIX


def test_another_key_is_another_artefact(models):
    keys = [("network", 1), ("network", 2), ("network", "1"), ("slope", 1), ("network", 1, None)]
    for number, key in enumerate(keys):
        artefact_cache.store(key, bytes([number]))
    assert [artefact_cache.load(key) for key in keys] == [bytes([number]) for number in range(5)]
    artefact_cache.store(keys[0], b"newer")
    assert artefact_cache.load(keys[0]) == b"newer"
    assert len(list((models / "compiled").iterdir())) == 5


@pytest.mark.parametrize("place", [0, 16, 31, 32, -1])
def test_one_byte_that_changed(models, place, caplog):
    artefact_cache.store(("key",), b"a compiled network")
    (file,) = (models / "compiled").iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert artefact_cache.load(("key",)) is None
    assert f"{file} is damaged" in caplog.text


def test_a_folder_that_cannot_be_written_to_costs_nothing_but_time(models, monkeypatch):
    models.parent.mkdir(parents=True)
    models.write_text("a file in the way")
    artefact_cache.store(("key",), b"compiled")
    assert artefact_cache.load(("key",)) is None
    assert models.read_text() == "a file in the way"


def test_a_fault_while_storing_leaves_no_half(models, monkeypatch):
    artefact_cache.store(("key",), b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    artefact_cache.store(("key",), b"new")
    assert artefact_cache.load(("key",)) == b"old"
    assert len(list((models / "compiled").iterdir())) == 1
