"""Which clips the inputs denote, and where their outputs lie: folders, trees, photos, names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.cli.inputs import _local


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch, make_clip):
    """in/ with clips and pictures in a tree, and what such trees contain beside them."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.mp4", "in/day 1/b.mp4", "in/day 1/late/a.mkv", "in/.hidden/x.mp4", "in/day 1/c.partial.mov"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        make_clip(name, size=(32, 24), frames=2)
    for name, size, red in (("in/p.jpg", (40, 30), 90), ("in/day 1/q.png", (16, 64), 200)):
        Image.new("RGB", size, (red, 10, 10)).save(name)
    Path("in/notes.txt").write_text("mine")
    return tmp_path


def made(folder="out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_tree_becomes_a_tree(red_studio):
    ran = red_studio("matte", "in", "-o", "out", "--recursive", "--suffix", "_cut", "--alpha", "alpha/")
    assert ran.code == 0, ran.err
    assert made() == ["a_cut.mov", "day 1/b_cut.mov", "day 1/late/a_cut.mov"]
    assert made("alpha") == ["a_cut_alpha.mp4", "day 1/b_cut_alpha.mp4", "day 1/late/a_cut_alpha.mp4"]
    assert "note: in: its 3 videos are matted, its 2 pictures are ignored" in ran.err


def test_outputs_inside_the_inputs_are_no_inputs(red_studio):
    for _ in range(2):
        ran = red_studio("matte", "in", "-o", "in/cut", "--recursive", "--overwrite")
        assert ran.code == 0, ran.err
        assert made("in/cut") == ["a.mov", "day 1/b.mov", "day 1/late/a.mov"]


def test_without_recursion_only_the_folder(red_studio):
    assert red_studio("matte", "in/", "-o", "out").code == 0
    assert made() == ["a.mov"]


@pytest.mark.parametrize(("source", "names"), [("in", ["p.png"]), ("in/*.jpg", ["p.png"]), ("in/p.jpg", ["p.png"])])
def test_photos_are_pictures_of_their_own(red_studio, source, names):
    ran = red_studio("matte", source, "-o", "out/", "--photos")
    assert ran.code == 0, ran.err
    assert made() == names
    assert "matted separately" not in ran.err


def test_photos_of_any_size_in_a_tree(red_studio):
    ran = red_studio("matte", "in", "-o", "out", "--photos", "--recursive")
    assert ran.code == 0, ran.err
    assert made() == ["day 1/q.png", "p.png"]
    for name, size, red in (("p.png", (40, 30), 90), ("day 1/q.png", (16, 64), 200)):
        picture = Image.open(f"out/{name}")
        assert (picture.mode, picture.size) == ("RGBA", size)
        assert abs(int(np.array(picture)[5, 5, 3]) - red) <= 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["in/a.mp4", "--photos", "-o", "out"], "in/a.mp4 is not a picture, and --photos mattes pictures"),
        (["in/day 1/late", "--photos", "-o", "out"], "contains no pictures"),
        (["in/a.mp4", "--recursive", "-o", "out"], "but no input is a folder: leave it out"),
        (["in/.hidden", "--photos", "--recursive", "-o", "out"], "contains no pictures"),
        (["", "-o", "out"], "A path is empty"),
        (["in/a.mp4", "-o", ".mov"], "The output .mov is a suffix without a name"),
        (["in/a.mp4", "-o", "cut.mov", "--suffix", "_x"], "is for names in a folder, but cut.mov is a file"),
        (["rtsp://camera/1", "-o", "cut.mov"], "Only the input of a clip may be one, and only http or https"),
    ],
)
def test_what_cannot_be(red_studio, arguments, says):
    ran = red_studio("matte", *arguments)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert says in line.replace("\\", "/")
    assert not Path("out").exists()


def test_a_folder_without_videos_needs_photos(red_studio):
    Path("empty/sub").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save("empty/sub/x.png")
    ran = red_studio("matte", "empty", "-o", "out", "--recursive")
    assert "contain no videos. Give --photos for pictures" in ran.err


def test_a_percent_sign_is_a_sign(red_studio, make_clip):
    make_clip("50%done.mp4", size=(32, 24), frames=2)
    assert red_studio("matte", "50%done.mp4", "-o", "out").code == 0
    assert red_studio("matte", "50%done.mp4", "-o", "out", "--format", "png").code == 0
    assert red_studio("matte", "50%done.mp4", "-o", "100%.mov").code == 0
    assert {"50%done.mov", "50%done/00000.png", "50%done/00001.png"} <= set(made())
    assert not any("one.png" in name or "50one" in name for name in made())
    assert Path("100%.mov").is_file()


def test_file_addresses(red_studio, tree):
    assert red_studio("matte", (tree / "in" / "a.mp4").as_uri(), "-o", "out").code == 0
    assert made() == ["a.mov"]
    assert _local("file:///C:/My%20clips/a.mp4") == "C:/My clips/a.mp4"
