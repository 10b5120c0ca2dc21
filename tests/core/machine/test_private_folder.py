"""Compiled code is cached only where nobody else can write."""

import os
import sys

import pytest
from rvm_studio.core.engines.small_network import artefact_cache
from rvm_studio.core.machine.private_folder import is_private, make_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="access lists of Windows are not looked at")


def test_a_new_folder_is_the_users_alone(tmp_path):
    assert make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_an_own_folder_is_mended(tmp_path, mode):
    folder = tmp_path / "a"
    folder.mkdir()
    folder.chmod(mode)
    assert is_private(folder)
    assert not folder.stat().st_mode & 0o022


@pytest.mark.parametrize(("mode", "private"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_a_folder_that_others_can_replace(tmp_path, mode, private):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(mode)
    assert is_private(tmp_path / "a" / "b") == private


def test_a_folder_of_somebody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid:  # root may write anywhere
        assert not is_private(tmp_path)
    assert not is_private(tmp_path / "missing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert not is_private(tmp_path / "loop")


def test_compiled_networks(tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    artefact_cache.store(("key",), b"code")
    assert artefact_cache.folder().stat().st_mode & 0o777 == 0o700
    assert artefact_cache.load(("key",)) == b"code"
    (tmp_path / "models").chmod(0o777)
    assert artefact_cache.load(("key",)) is None
    artefact_cache.store(("other",), b"code")
    (tmp_path / "models").chmod(0o755)
    assert artefact_cache.load(("key",)) == b"code"
    assert artefact_cache.load(("other",)) is None


def test_numbas_pickles(tmp_path):
    pytest.importorskip("numba")
    import subprocess

    script = (
        "from rvm_studio.core.engines.full_size import kernels\n"
        "print(type(kernels.reduce_interleaved._cache).__name__, kernels.reduce_interleaved.stats.cache_path)"
    )
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for place, cached in ((shared, "NullCache"), (tmp_path / "own", "FunctionCache")):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(place)}
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert run.stdout.startswith(cached), run.stderr
