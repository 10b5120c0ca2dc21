"""The sheet shows what was asked for."""

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.training.data_sheet import draw_sheet, main


def test_pictures_and_alphas_lie_below_each_other(tmp_path):
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 30, 20)
    pairs = [(red, torch.full((1, 30, 20), 0.2)), (red.flip(0), torch.ones(1, 30, 20)), (red, torch.ones(1, 30, 20))]
    sheet = np.array(Image.open(draw_sheet(pairs, tmp_path / "new" / "sheet.png", columns=2, side=30)))
    assert sheet.shape == (120, 60, 3)
    assert sheet[15, 15].tolist() == [255, 0, 0]
    assert sheet[15, 45].tolist() == [0, 0, 255]
    assert sheet[45, 15].tolist() == [51, 51, 51]
    assert sheet[15, 2].tolist() == [0, 0, 0]  # proportions are kept
    assert not sheet[60:, 30:].any()  # the last place of the last row is empty
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_a_sheet_that_cannot_be_written(tmp_path):
    pair = torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)
    with pytest.raises(StudioError, match="sheet"):
        draw_sheet([pair], tmp_path / "sheet.nonsense")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="sheet"):
        draw_sheet([pair], tmp_path / "file" / "sheet.png")


@pytest.mark.parametrize("words", [(), ("--segmentation",), ("--kind", "image", "--segmentation"), ("--kind", "image")])
def test_the_command_draws_synthetic_persons(tmp_path, words, capsys):
    threads = torch.get_num_threads()
    try:
        assert main([str(tmp_path / "a.png"), "--size", "64", "--clips", "3", *words]) == 0
    finally:
        torch.set_num_threads(threads)
    sheet = np.array(Image.open(tmp_path / "a.png"))
    assert sheet.shape == (384, 8 * 192, 3)
    assert sheet[:192, :576].std() > 10
    assert sheet[192:, :576].max() > 200  # somebody is there
    assert capsys.readouterr().out.strip().endswith("a.png")


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        assert main([str(tmp_path / "a.png"), "--videomatte", str(tmp_path / "nowhere")]) == 1
        assert main([str(tmp_path / "a.png"), "--videomatte", str(tmp_path), "--segmentation"]) == 1
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "--segmentation" in said
