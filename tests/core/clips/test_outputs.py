"""The names of a clip's files, and what each of them shows."""

from pathlib import Path

import pytest
from rvm_studio.core.clips.outputs import OutputPaths, is_still, outputs_for, place_outputs
from rvm_studio.core.errors import StudioError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """With two clips, a picture, and two folders; names alone matter."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "clip.mp4",
        "take_%03d.mp4",
        "50%done.mp4",
        "50%done.jpg",
        "photo.PNG",
        "shots.v2/1.png",
        "there.mov/x",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("source", "given", "name"),
    [
        ("clip.mp4", {"output": "cut.webm"}, "cut.webm"),
        ("clip.mp4", {"output": Path("new/cut.MP4"), "format": "mp4"}, "new/cut.MP4"),
        ("clip.mp4", {"output": "new"}, "new/clip.mov"),
        ("clip.mp4", {"output": "new.d/"}, "new.d/clip.mov"),
        ("clip.mp4", {"output": "there.mov"}, "there.mov/clip.mov"),
        ("clip.mp4", {"output": "new", "format": "webm"}, "new/clip.webm"),
        ("clip.mp4", {"output": "new", "format": ".webm", "several": True}, "new/clip.webm"),
        ("clip.mp4", {"alpha": "new"}, "new/clip_alpha.mp4"),
        ("clip.mp4", {"foreground": "new", "format": "webm"}, "new/clip_foreground.mp4"),
        ("photo.PNG", {"output": "new"}, "new/photo.png"),
        ("photo.PNG", {"output": "new", "format": "webp"}, "new/photo.webp"),
        ("photo.PNG", {"alpha": "new"}, "new/photo_alpha.png"),
        ("gone.png", {"output": "new"}, "new/gone.mov"),
        # a clip of many pictures is named after its folder or pattern
        ("shots.v2", {"output": "new"}, "new/shots.v2.mov"),
        ("shots.v2/", {"foreground": "new"}, "new/shots.v2_foreground.mp4"),
        ("shots.v2/*.png", {"output": "new"}, "new/shots.v2.mov"),
        ("shots.v2/%05d.png", {"output": "new"}, "new/shots.v2.mov"),
        ("shots.v2/a_[0-9].png", {"output": "new"}, "new/a_0-9.mov"),
        ("shots.v2/frame_%d.png", {"output": "new"}, "new/frame.mov"),
        ("*.png", {"output": "new"}, "new/matte.mov"),
        # a % in the name of a file is a sign like any other, though it would mean a sequence in an output's name
        ("take_%03d.mp4", {"output": "new"}, "new/take_%03d.mov"),
        ("50%done.mp4", {"output": "new"}, "new/50%done.mov"),
        ("50%done.mp4", {"output": "new", "format": "png"}, "new/50%done/%05d.png"),
        ("50%done.mp4", {"output": "new", "format": "tif"}, "new/50%done/%05d.tif"),
        ("50%done.jpg", {"output": "new"}, "new/50_done.png"),
        ("50%done.jpg", {"alpha": "new"}, "new/50_done_alpha.png"),
        ("clip.mp4", {"output": "new", "suffix": "_cut"}, "new/clip_cut.mov"),
        ("clip.mp4", {"alpha": "new", "suffix": "-v2"}, "new/clip-v2_alpha.mp4"),
        ("clip.mp4", {"output": "new", "below": "a/b"}, "new/a/b/clip.mov"),
    ],
)
def test_one_name(source, given, name):
    paths = place_outputs(source, **{"output": None} | given)
    assert list(paths.files()) == [Path(name)]


def test_all_names():
    paths = place_outputs("clip.mp4", ["new", "green.mp4"], "a.mkv", "new", "new")
    assert paths == OutputPaths(
        (Path("new/clip.mov"), Path("green.mp4")),
        Path("a.mkv"),
        Path("new/clip_foreground.mp4"),
        Path("new/clip_sheet.png"),
    )
    assert list(paths.files()) == [*paths.output, paths.alpha, paths.foreground]
    assert place_outputs("photo.PNG", "new", preview="new").preview == Path("new/photo_sheet.png")
    assert place_outputs("50%done.mp4", "new", preview="new").preview == Path("new/50_done_sheet.png")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "There is nothing to write"),
        ({"output": []}, "There is nothing to write"),
        ({"preview": "sheet.png"}, "There is nothing to write"),
        ({"output": "cut.xyz"}, "'.xyz', which is not a known format"),
        ({"output": "new", "format": "xyz"}, "'.xyz', which is not a known format"),
        ({"output": "cut.mov", "alpha": "a.xyz"}, "'.xyz', which is not a known format"),
        ({"output": ["cut.webm", "cut.mov"], "format": "webm"}, "cut.mov and the format webm contradict each other"),
        ({"output": "cut.mov", "preview": "sheet.mp4"}, "The contact sheet sheet.mp4 is a picture"),
        ({"output": "cut.mov", "several": True}, "Several inputs cannot all become cut.mov"),
        ({"output": ""}, "A path is empty"),
        ({"output": ".mov"}, "The output .mov is a suffix without a name. Give a name such as cut.mov, or a folder"),
        ({"output": "x/.PNG"}, "is a suffix without a name. Give a name such as cut.PNG"),
        ({"output": "cut.mov", "suffix": "_a"}, "The suffix '_a' is for names in a folder, but cut.mov is a file"),
        ({"output": "new", "suffix": "a/b"}, "The suffix 'a/b' cannot be part of a file name"),
        ({"output": "new", "suffix": "%d"}, "The suffix '%d' cannot be part of a file name"),
        ({"output": "new", "alpha": "a.mp4", "several": True}, "Several inputs cannot all become a.mp4"),
        ({"output": "new", "preview": "see.png", "several": True}, "Several inputs cannot all become see.png"),
    ],
)
def test_what_cannot_be(given, says):
    with pytest.raises(StudioError) as caught:
        place_outputs("clip.mp4", **{"output": None} | given)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(suffix, "matte") for suffix in (".mov", ".webm", ".mkv", ".png", ".apng", ".webp")] + [(".mp4", "composite")],
)
def test_transparency_shows_the_cut_out_person(suffix, kind):
    paths = OutputPaths((Path(f"cut{suffix}"),), None, None, Path("sheet.png"))
    assert [(output.path, output.kind) for output in outputs_for(paths, False)] == [(Path(f"cut{suffix}"), kind)]
    assert [output.kind for output in outputs_for(paths, True)] == ["composite"]


def test_kinds_in_the_order_of_the_files():
    paths = OutputPaths((Path("a.mp4"), Path("b.mov")), Path("c.mov"), Path("d.webm"), None)
    for over_background, second in ((False, "matte"), (True, "composite")):
        outputs = outputs_for(paths, over_background)
        assert [output.path for output in outputs] == list(paths.files())
        assert [output.kind for output in outputs] == ["composite", second, "alpha", "foreground"]


def test_a_still_is_a_picture_file_that_exists():
    Path("folder.png").mkdir()
    sources = ["photo.PNG", Path("shots.v2/1.png"), "gone.png", "folder.png", "clip.mp4"]
    assert [is_still(source) for source in sources] == [True, True, False, False, False]


def test_a_codec_without_alpha_shows_the_person_over_the_background():
    paths = place_outputs("clip.mp4", ["a.mov", "b.mkv", "c.webm"], alpha="d.mp4", codec="hevc")
    kinds = [output.kind for output in outputs_for(paths, False, "hevc")]
    assert kinds == ["composite", "composite", "matte", "alpha"]  # .webm has no HEVC, so it keeps VP9
    assert [output.kind for output in outputs_for(paths, False, "prores-4444")] == ["matte", "matte", "matte", "alpha"]


def test_a_codec_that_the_first_file_cannot_hold_is_reported_at_once():
    with pytest.raises(StudioError, match=r"\.mkv cannot hold the codec prores-hq"):
        place_outputs("clip.mp4", ["b.mkv", "a.mov"], codec="prores-hq")
    with pytest.raises(StudioError, match="The codec 'divx' is unknown"):
        place_outputs("clip.mp4", None, alpha="a.mp4", codec="divx")
    place_outputs("clip.mp4", ["a.mov", "b.mkv"], codec="prores-hq")
