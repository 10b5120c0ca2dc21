"""Which data sets a run gets from folders, files and options."""

import argparse
import sys
from pathlib import Path

import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.training import data_config
from rvm_studio.training.data_config import (
    DataConfig,
    add_data_options,
    check_data,
    config_from_options,
    licences,
    matting_data,
    segmentation_data,
)
from rvm_studio.training.datasets.matting_sets import ImageMatte, VideoMatte240K
from rvm_studio.training.datasets.synthetic import SyntheticMatting, SyntheticSegmentation

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no TOML reader")


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_options(parser)
    return parser.parse_args(words)


@pytest.fixture
def tree(tmp_path):
    for part in ("fgr", "pha"):
        for place in ("VM/train/{}/0001/00000.png", "HD/train/{}/0001/00000.png", "IM/train/{}/a.png"):
            path = tmp_path / place.format(part)
            path.parent.mkdir(parents=True)
            Image.new("L", (8, 8)).save(path)
    return tmp_path


def test_without_data_a_run_is_synthetic():
    config = config_from_options(options())
    assert config.synthetic
    assert isinstance(matting_data(config, "video", 4, 64, 1), SyntheticMatting)
    assert matting_data(config, "image", 4, 64, 1).still
    clips, pictures = (segmentation_data(config, kind, 4, 64, 1) for kind in ("video", "image"))
    assert isinstance(clips, SyntheticSegmentation)
    assert (clips.frames, pictures.frames) == (4, 1)
    assert list(licences(config)) == ["synthetic persons"]
    assert check_data(config)[0].usable


def test_each_pass_gets_its_own_data(tree):
    config = DataConfig(videomatte=tree / "VM", videomatte_hd=tree / "HD", imagematte=tree / "IM")
    low, high = (matting_data(config, "video", 1, 16, 1, high=high) for high in (False, True))
    assert isinstance(low, VideoMatte240K)
    assert (low.folder.name, high.folder.name) == ("VM", "HD")
    assert isinstance(matting_data(config, "image", 1, 16, 1), ImageMatte)
    assert segmentation_data(config, "video", 4, 16, 1) is None
    assert segmentation_data(config, "image", 4, 16, 1) is None
    only = DataConfig(videomatte_hd=tree / "HD")
    assert matting_data(only, "video", 1, 16, 1).folder.name == "HD"
    assert {"VideoMatte240K", "ImageMatte"} <= set(licences(config))


def test_what_a_stage_needs_and_is_not_there(tree):
    with pytest.raises(StudioError, match="--imagematte"):
        matting_data(DataConfig(videomatte=tree / "VM"), "image", 1, 16, 1)
    with pytest.raises(StudioError, match="--videomatte"):
        matting_data(DataConfig(imagematte=tree / "IM"), "video", 1, 16, 1)
    with pytest.raises(StudioError, match="not usable"):
        matting_data(DataConfig(videomatte=tree / "nowhere"), "video", 1, 16, 1)
    with pytest.raises(StudioError, match="JPEGImages"):
        segmentation_data(DataConfig(youtubevis=tree), "video", 4, 16, 1)


@needs_toml
def test_a_file_and_options_over_it(tmp_path):
    file = tmp_path / "data.toml"
    file.write_text("videomatte = 'VM'\ncoco = '/data/coco'\n")
    config = config_from_options(options("--data", str(file), "--coco", "other", "--background-images", "b"))
    assert config.videomatte == tmp_path / "VM"
    assert config.coco == Path("other")
    assert config.background_images == Path("b")
    assert config.imagematte is None


@needs_toml
@pytest.mark.parametrize(
    ("text", "said"),
    [("videomate = 'x'", "videomate"), ("coco = 3", "coco"), ("coco =", "TOML"), ("[coco]\nfolder = 'x'", "coco")],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, text, said):
    file = tmp_path / "data.toml"
    file.write_text(text)
    with pytest.raises(StudioError, match=said):
        config_from_options(options("--data", str(file)))
    with pytest.raises(StudioError, match="missing"):
        config_from_options(options("--data", str(tmp_path / "missing.toml")))


def test_python_3_10_is_told_to_use_options(tmp_path, monkeypatch):
    monkeypatch.setattr(data_config.sys, "version_info", (3, 10, 4))
    with pytest.raises(StudioError, match="options"):
        config_from_options(options("--data", str(tmp_path / "data.toml")))
