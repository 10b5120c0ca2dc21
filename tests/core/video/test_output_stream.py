"""The beginning of a file and that of a pipe are the same."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import output_stream
from rvm_studio.core.video.output_formats import format_for
from rvm_studio.core.video.output_stream import begin_streams, patches_shape

from .small_outputs import setup_of


def begun(path: Path, alpha: str | None, comment: str = ""):
    format = format_for(path)
    container = av.open(str(path), "w", format=format.container)
    container.metadata["comment"] = comment
    try:
        begin_streams(container, format, setup_of(path), None, alpha)
        return container.metadata.get("comment"), dict(container.streams.video[0].metadata)
    finally:
        container.close()


@pytest.mark.parametrize(
    ("alpha", "before", "after"),
    [
        (None, "", None),
        (None, "of the source", "of the source"),
        ("straight", "", "alpha: straight"),
        ("straight", "of the source; alpha: premultiplied", "of the source; alpha: straight"),
        (None, "alpha: straight", None),
    ],
)
def test_the_comment_says_the_kind_of_alpha(tmp_path, alpha, before, after):
    assert begun(tmp_path / "a.mkv", alpha, before)[0] == after


def test_webm_says_so_to_browsers(tmp_path):
    assert begun(tmp_path / "a.webm", "straight")[1] == {"alpha_mode": "1"}
    assert begun(tmp_path / "a.mkv", "straight")[1] == {}


def test_a_missing_encoder_is_a_sentence(tmp_path):
    path, setup = tmp_path / "a.mkv", setup_of(tmp_path / "a.mkv")
    setup.codec = "no_such_codec"
    with (
        av.open(str(path), "w") as container,
        pytest.raises(StudioError, match="no encoder no_such_codec, which FFV1 needs"),
    ):
        begin_streams(container, format_for(path), setup, None, None)


@pytest.mark.parametrize(("name", "aspect", "patched"), [("a.mkv", 2, True), ("a.mkv", 1, False), ("a.mov", 2, False)])
def test_only_matroska_needs_its_shape_patched(name, aspect, patched):
    setup = setup_of(Path(name))
    setup.sample_aspect_ratio = Fraction(aspect)
    assert patches_shape(format_for(Path(name)), setup) == patched


def test_the_priority_of_threads_stays(tmp_path, monkeypatch):
    entered = []

    class Guard:
        def __enter__(self):
            entered.append(True)

        def __exit__(self, *exception):
            pass

    monkeypatch.setattr(output_stream, "usual_priority", Guard)
    begun(tmp_path / "a.mkv", None)
    assert entered == [True]
