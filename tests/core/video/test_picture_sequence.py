"""Which pictures a path means, in which order and with which numbers."""

from pathlib import Path

import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.picture_sequence import Picture, find_pictures, gap_note, is_picture
from rvm_studio.core.video.reader import open_reader


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def found(path: Path) -> list[tuple[str, int]]:
    return [(picture.path.name, picture.number) for picture in find_pictures(path)]


@pytest.mark.parametrize("name", ["a.png", "A.JPG", "a.b.TiFF", "a.avif", "a.dpx"])
def test_a_picture_by_its_suffix(name):
    assert is_picture(Path(name))


@pytest.mark.parametrize("name", ["a.gif", "a.apng", "a.mp4", "png", ".png", "a.png.txt"])
def test_what_moves_or_is_none(name):
    assert not is_picture(Path(name))


# Order and numbers


def test_a_folder_in_natural_order_with_the_names_numbers(tmp_path):
    folder = make(tmp_path / "s", "shot_10.png", "shot_9.png", "shot_100.PNG", "shot_1.jpg")
    assert found(folder) == [("shot_1.jpg", 1), ("shot_9.png", 9), ("shot_10.png", 10), ("shot_100.PNG", 100)]
    assert find_pictures(folder)[0] == Picture(folder / "shot_1.jpg", 1)


def test_other_files_hidden_ones_and_folders_are_passed_over(tmp_path):
    folder = make(tmp_path / "s", "1.png", ".2.png", "3.txt", "4.mp4")
    (folder / "5.png").mkdir()
    assert found(folder) == [("1.png", 1)]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a1_5.png", "a2_6.png", "a3_9.png"], [5, 6, 9]),  # the last number of each name
        (["a1_5.png", "a2_5.png"], [0, 1]),  # does not tell them apart
        (["a1_5.png", "a2_4.png"], [0, 1]),  # does not rise
        (["a.png", "b.png", "c.png"], [0, 1, 2]),
        (["a.png", "b1.png"], [0, 1]),
        (["001.png", "2.png"], [1, 2]),
    ],
)
def test_numbers_count_where_they_tell_the_files_apart(tmp_path, names, numbers):
    assert found(make(tmp_path / "s", *names)) == list(zip(names, numbers, strict=True))


def test_names_that_differ_in_zeros_or_case_only_keep_one_order(tmp_path):
    names = ["a1.png", "a01.png", "A1.png", "b.png"]
    folder = make(tmp_path / "s", *names)
    if len(list(folder.iterdir())) < 4:
        pytest.skip("the file system does not tell case apart")
    assert [name for name, _ in found(folder)] == ["A1.png", "a01.png", "a1.png", "b.png"]


# Patterns: printf's rule


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        ("s_%04d.png", [("s_0001.png", 1), ("s_0010.png", 10), ("s_12345.png", 12345)]),
        ("s_%d.png", [("s_2.png", 2), ("s_12345.png", 12345)]),
        ("s_%4d.png", [("s_0001.png", 1), ("s_0010.png", 10), ("s_12345.png", 12345)]),
        ("%02d.png", [("07.png", 7)]),
        ("s.%d.png", [("s.3.png", 3)]),
    ],
)
def test_a_pattern(tmp_path, pattern, hits):
    names = ("s_0001.png", "s_0010.png", "s_12345.png", "s_012345.png", "s_2.png", "s_x.png", "s_0001.png.txt")
    folder = make(tmp_path / "s", *names, "07.png", "7.png", "s.3.png", "sx3.png", "as_0002.png")
    assert found(folder / pattern) == hits


def test_a_name_that_exists_is_taken_as_it_stands(tmp_path):
    folder = make(tmp_path / "s", "a%02d.png", "a01.png", "b[1].png", "b1.png")
    assert find_pictures(folder / "a%02d.png") is None
    assert find_pictures(folder / "b[1].png") is None
    assert found(make(tmp_path / "f%d[x]", "1.png")) == [("1.png", 1)]


@pytest.mark.parametrize(
    ("glob", "names"),
    [("*.png", ["a1.png", "a2.png"]), ("a?.*", ["a1.png", "a2.png", "a3.jpg"]), ("a[13].*", ["a1.png", "a3.jpg"])],
)
def test_a_glob(tmp_path, glob, names):
    folder = make(tmp_path / "s", "a1.png", "a2.png", "a3.jpg", "a.txt", "a4.mp4", ".a5.png")
    assert [name for name, _ in found(folder / glob)] == names


@pytest.mark.parametrize("name", ["clip.mp4", "a.png", "nothing.here"])
def test_one_file_is_no_sequence(tmp_path, name):
    (tmp_path / "a.png").touch()
    assert find_pictures(tmp_path / name) is None


# Faults


def test_nothing_found(tmp_path):
    folder = make(tmp_path / "s", "a.txt", "b.mp4")
    with pytest.raises(StudioError, match=r"contains no pictures \(2 other entries\)"):
        find_pictures(folder)
    with pytest.raises(StudioError, match=r"No picture matches .*\*\.mp4 \(1 other files do\)"):
        find_pictures(folder / "*.mp4")
    with pytest.raises(StudioError, match=r"matches the pattern s_%03d\.png\. Expected names such as s_001\.png"):
        find_pictures(folder / "s_%03d.png")
    with pytest.raises(StudioError, match=r"Expected names such as s_1\.png"):
        find_pictures(folder / "s_%d.png")
    with pytest.raises(StudioError, match=r"folder .*missing of the pattern %d\.png does not exist"):
        find_pictures(tmp_path / "missing" / "%d.png")


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([1, 2, 3, 4], None),
        ([1, 2, 3, 5], "1 number is missing in the sequence, from s3.png on: its pictures follow without a pause"),
        ([7, 8, 9, 12, 13, 15], "3 numbers are missing in the sequence, from s9.png on"),
        ([10, 20, 30], None),  # counts by ten
        ([3], None),
        ([1, 4, 90], None),  # unrelated
    ],
)
def test_missing_numbers_are_said(numbers, says):
    note = gap_note([Picture(Path(f"s{number}.png"), number) for number in numbers])
    assert note is None if says is None else note.startswith(says)


def test_a_reader_says_it(tmp_path):
    for number in (0, 1, 2, 4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    with open_reader(tmp_path) as reader:
        assert reader.notes == [
            "1 number is missing in the sequence, from 2.png on: its pictures follow without a pause"
        ]
