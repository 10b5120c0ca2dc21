"""Paths as people give them, and URLs, which are named as they were typed."""

from pathlib import Path

import pytest
from rvm_studio.core.clips.background import Background
from rvm_studio.core.clips.matte_clip import matte_clip
from rvm_studio.core.clips.outputs import place_outputs
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.given_path import given_path
from rvm_studio.core.video.reader import check_source, open_reader
from rvm_studio.core.weights.network_weights import find

URL = "https://example.com/a/clip.mp4?part=1"


@pytest.mark.parametrize(
    "use",
    [
        given_path,
        open_reader,
        check_source,
        Background,
        lambda path: matte_clip(path, [], None),
        lambda path: find(path=path),
        lambda path: place_outputs("clip.mp4", path),
        lambda path: place_outputs("clip.mp4", "cut.mov", alpha=path),
        lambda path: place_outputs("clip.mp4", "cut.mov", preview=path),
    ],
)
def test_urls_are_named_whole(use):
    with pytest.raises(StudioError) as caught:
        use(URL)
    assert str(caught.value) == (
        f"{URL} is a URL. Only the input of a clip may be one, and only http or https: download the file and give its "
        "path."
    )


def test_nothing_is_not_the_current_folder():
    with pytest.raises(StudioError, match="A path is empty"):
        given_path("")


@pytest.mark.parametrize("url", [URL, "rtsp://camera/stream", "file:///tmp/clip.mp4"])
def test_also_those_that_a_path_has_cut(url):
    with pytest.raises(StudioError) as caught:
        given_path(Path(url))
    assert str(caught.value).startswith(f"{url.replace(':///', '://')} is a URL.")


@pytest.mark.parametrize("text", ["clip.mp4", "a//b.mp4", "take:2.mp4", "take:/2.mp4", "C:/clips/a.mp4", "100%/x"])
def test_paths_stay(text):
    assert given_path(text) == given_path(Path(text)) == Path(text)


def test_a_folder_that_looks_like_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "x").mkdir(parents=True)
    assert given_path(Path("s3:/x")) == Path("s3:/x")
