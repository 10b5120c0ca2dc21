"""Compiled networks on disk: used where they fit, compiled again if missing, stale or broken; never too many."""

import logging
import os
import sys
import threading
from pathlib import Path

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.engines.choice import openvino_problem
from rvm_studio.core.engines.small_network import artefact_cache
from rvm_studio.core.engines.split import SplitEngine
from rvm_studio.core.machine import root


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    return artefact_cache.folder()


@pytest.fixture
def parts():
    if openvino_problem():
        pytest.skip(openvino_problem())
    from rvm_studio.core.engines.small_network import openvino_parts

    return openvino_parts


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MattingNetwork(refiner="fast_guided_filter").eval()


FRAMES = torch.arange(3 * 40 * 60, dtype=torch.uint8).view(1, 3, 40, 60)


def matte(parts, network):
    return SplitEngine(parts.OpenVINOParts(network), "test").run(FRAMES, None, 0.5).pha


def test_the_second_start_converts_nothing(parts, network, folder, monkeypatch):
    first = matte(parts, network)
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(parts, "_converted", lambda *_: pytest.fail("converted again"))
    assert (matte(parts, network) - first).abs().max() < 1e-6


@pytest.mark.slow
def test_another_network_or_version_is_made_anew(parts, network, folder, monkeypatch):
    matte(parts, network)
    other = MattingNetwork(refiner="fast_guided_filter").eval()
    matte(parts, other)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(parts, "_environment", lambda: ("another version",))
    matte(parts, network)
    assert len(list(folder.iterdir())) == 3


def test_a_changed_source_is_made_anew(parts, monkeypatch):
    """Whatever of ours runs while a network is arranged and converted: each of these files is part of the key."""
    torch.manual_seed(0)
    refined = MattingNetwork(refiner="deep_guided_filter").eval()
    ran = set()

    def note(frame, event, _):
        if event == "call":
            ran.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        made = parts.OpenVINOParts(refined)
        states = [
            torch.zeros(1, size, size, channels)
            for size, channels in zip((32, 16, 8, 4), (16, 20, 40, 64), strict=True)
        ]
        pictures = [torch.zeros(1, size, size, 3) for size in (64, 32, 16, 8)]
        made._whole(True, True).model([tuple(x.shape) for x in (*pictures, *states)])
        made._slope(True).model([(1, 64, 64, 8), (1, 64, 64, 16)])
    finally:
        sys.setprofile(None)
    ours = {path for name in ran if (path := Path(name).resolve()).is_relative_to(root.CORE)}
    assert {"backbone.py", "recurrent_decoder.py"} <= {path.name for path in ours}
    environment = parts._environment.__wrapped__  # which keeps its answer
    before, read = environment(), Path.read_bytes
    assert before == environment()
    for changed in ours:

        def with_a_line_more(path, changed=changed):
            return read(path) + (b"#" if path.resolve() == changed else b"")

        monkeypatch.setattr(Path, "read_bytes", with_a_line_more)
        assert environment() != before, f"{changed} is changed"


@pytest.mark.slow
def test_what_is_broken_repairs_itself(parts, network, folder, caplog):
    first = matte(parts, network)
    files = sorted(folder.iterdir())
    for file in files:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert (matte(parts, network) - first).abs().max() < 1e-6
    assert "is damaged; compiling again" in caplog.text
    assert all(len(file.read_bytes()) > 1000 for file in files)
    caplog.clear()
    artefact_cache.store(("key",), b"no network")
    for file in files:  # intact, and yet nothing OpenVINO can read
        file.write_bytes((folder / artefact_cache._path(("key",)).name).read_bytes())
    with caplog.at_level(logging.WARNING):
        assert (matte(parts, network) - first).abs().max() < 1e-6
    assert "cannot be used" in caplog.text


@pytest.mark.parametrize("spoil", [lambda good: b"", lambda good: good[:1000], lambda good: good[:-1] + b"?"])
def test_an_artefact_that_is_damaged_counts_as_none(folder, caplog, spoil):
    artefact_cache.store(("a",), b"x" * 5000)
    (file,) = folder.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert artefact_cache.load(("a",)) is None
    assert "is damaged; compiling again" in caplog.text


@pytest.mark.slow
def test_one_engine_from_several_threads(parts, network):
    engine = SplitEngine(parts.OpenVINOParts(network), "test")
    expected = engine.run(FRAMES, None, 0.5).pha
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend(engine.run(FRAMES, None, 0.5).pha for _ in range(5)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 15
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.slow
def test_the_thread_count_is_respected(parts, network):
    before = torch.get_num_threads()
    engine = SplitEngine(parts.OpenVINOParts(network), "test")
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            engine.run(FRAMES, None, 0.5)
    finally:
        torch.set_num_threads(before)
    counts = {part.threads for part in engine.parts._compiled.values()}
    assert counts == {1, 2}


@pytest.mark.slow
def test_two_sizes_in_turn_are_compiled_once_each(parts, monkeypatch):
    """With the deep refiner each takes two parts: a preview beside the clip must not compile at every frame."""
    torch.manual_seed(0)
    made, real = [], parts.CompiledPart
    monkeypatch.setattr(parts, "CompiledPart", lambda part, *rest: made.append(part.name[0]) or real(part, *rest))
    engine = SplitEngine(parts.OpenVINOParts(MattingNetwork(refiner="deep_guided_filter").eval()), "test")
    for _ in range(3):
        engine.run(FRAMES, None, 0.5)
        engine.run(FRAMES[..., :40], None, 0.5)
    assert sorted(made) == ["network", "network", "slope", "slope"]


def test_few_compiled_parts_are_held(parts, network):
    engine = SplitEngine(parts.OpenVINOParts(network), "test")
    for width in range(20, 60, 8):
        engine.run(FRAMES[..., :width], None, 0.5)
    assert len(engine.parts._compiled) == parts.PARTS_KEPT


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 53), (5, 9), (6, 5)])
def test_pictures_are_halved_as_the_decoder_does(parts, monkeypatch, height, width, numba):
    if not numba:
        monkeypatch.setattr(parts, "compiled_kernels", lambda: None)
    elif parts.compiled_kernels() is None:
        pytest.skip("numba is not installed")
    small = torch.rand(1, height, width, 3)
    expected = small.permute(0, 3, 1, 2)
    pool = MattingNetwork().decoder.pool
    for halved in parts._halved_thrice(small, pool):
        assert halved.is_contiguous()
        assert (halved.permute(0, 3, 1, 2) - expected).abs().max() < 1e-6
        expected = pool(expected)


def test_artefacts_are_kept_and_forgotten(folder, monkeypatch):
    assert artefact_cache.load(("a", 1)) is None
    artefact_cache.store(("a", 1), b"x" * 100)
    assert artefact_cache.load(("a", 1)) == b"x" * 100
    assert artefact_cache.load(("a", 2)) is None
    os.utime(artefact_cache._path(("a", 1)), (1, 1))
    monkeypatch.setattr(artefact_cache, "MOST_BYTES", 400)
    artefact_cache.store(("b",), b"y" * 100)
    assert artefact_cache.load(("a", 1)) is not None, "a use makes it young again"
    os.utime(artefact_cache._path(("b",)), (1, 1))
    artefact_cache.store(("c",), b"z" * 200)
    assert artefact_cache.load(("b",)) is None
    assert artefact_cache.load(("c",)) == b"z" * 200


def test_a_folder_that_cannot_be_written(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file in its place")
    artefact_cache.store(("a",), b"x")
    assert artefact_cache.load(("a",)) is None
