"""A folder of its own for each command, and a clip in it."""

import pytest


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(make_clip):
    return make_clip("clip.mp4", size=(64, 48), frames=6)
