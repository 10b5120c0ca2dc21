"""The names of unfinished outputs."""

import pytest
from rvm_studio.core.video.partial_output import partial_path


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        ("a.mov", "a.partial.mov"),
        ("a.b.MKV", "a.b.partial.MKV"),
        ("a.webp", "a.partial.webp"),
        ("a.png", "a.#5d.png.partial"),
        ("new/s_%04d.png", "new.s_#4d.png.partial"),
        ("there/s_%04d.png", "there/s_#4d.png.partial"),
        ("there/s_%d.png", "there/s_#1d.png.partial"),
        ("there/#%03d.png", "there/###3d.png.partial"),
    ],
)
def test_what_an_unfinished_output_is_called(tmp_path, name, partial):
    (tmp_path / "there").mkdir()
    assert partial_path(tmp_path / name) == tmp_path / partial


def test_two_sequences_in_one_folder_share_nothing_unfinished(tmp_path):
    names = ["%03d.png", "%04d.png", "a%03d.png", "%03da.png", "#%03d.png", "##%03d.png", "#03d%03d.png"]
    assert len({partial_path(tmp_path / name) for name in names}) == len(names)
    assert all("%" not in partial_path(tmp_path / name).name for name in names)
