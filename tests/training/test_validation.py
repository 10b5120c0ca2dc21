"""A stage's validation: its numbers against core.evaluation.metrics, what it leaves as it was, what it writes."""

# B = 1 clip, T frames, S side

import json
import os
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import MattingNetwork
from rvm_studio.core.errors import StudioError
from rvm_studio.core.evaluation.metrics import matting_metrics
from rvm_studio.training import validation
from rvm_studio.training.augmentation import prepare_matting
from rvm_studio.training.data_config import DataConfig
from rvm_studio.training.recipe import STAGES, Pass
from rvm_studio.training.validation import validate, validation_sets
from torch import nn

LOW, HIGH = Pass(3, 64, 1.0), Pass(2, 128, 0.25)
STAGE_1 = replace(STAGES[0], low=LOW)
STAGE_3 = replace(STAGES[2], low=LOW, high=HIGH)
SYNTHETIC = DataConfig()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class RedNetwork(nn.Module):
    """Alpha is red, darker by the number of frames seen; the foreground is the picture upside down."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())

    def forward(self, src, rec=None, downsample_ratio=1.0):
        assert not any(module.training for module in self.modules())
        assert not torch.is_grad_enabled()
        before = rec[0] if rec else 0
        seen = torch.arange(before, before + src.shape[1]).view(1, -1, 1, 1, 1)
        return src.flip(-2), src[:, :, :1] * downsample_ratio / (1 + seen), (before + src.shape[1],) * 4


class Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, src, rec=None, downsample_ratio=1.0):
        return src, torch.full_like(src[:, :, :1], self.value), rec


class KnownClips:
    """Clips whose alpha is given, one value a pixel; black persons over white."""

    def __init__(self, alphas: list[torch.Tensor]) -> None:
        self.alphas = alphas

    def __len__(self) -> int:
        return len(self.alphas)

    def __getitem__(self, address):
        pha = self.alphas[address[1]]
        dark = torch.zeros(len(pha), 3, *pha.shape[-2:], dtype=torch.uint8)
        return {"fgr": dark, "pha": pha, "bgr": 255 - dark, "id": f"clip {address[1]}", "faults": ()}


def run(network, stage=STAGE_3, clips=2, **options):
    return validate(network, SYNTHETIC, stage, seed=5, device="cpu", clips=clips, **options)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MattingNetwork()


@pytest.mark.slow
def test_the_same_numbers_twice(network):
    first, again = run(network, clips=1), run(network, clips=1)
    assert first.low == again.low
    assert first.high == again.high
    assert (first.constant_mad, first.best_constant_mad) == (again.constant_mad, again.best_constant_mad)
    assert first.low != validate(network, SYNTHETIC, STAGE_1, seed=6, device="cpu", clips=1).low


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_random_states_are_as_before(network, fails):
    """The aspp trains, the backbone is frozen; some of its modules even so are in train mode."""
    network.train()
    network.backbone.eval()
    next(iter(network.backbone.children())).training = True
    modes = [module.training for module in network.modules()]
    assert True in modes
    assert False in modes
    statistics = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(1)
    random.seed(2)
    np.random.seed(3)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    if fails:
        with torch.no_grad():
            network.project_mat.conv.bias.fill_(torch.nan)
        with pytest.raises(StudioError):
            run(network, STAGE_1, clips=1)
        with torch.no_grad():
            network.project_mat.conv.bias.copy_(statistics["project_mat.conv.bias"])
    else:
        run(network, clips=1)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[2], strict=True))
    assert all(torch.equal(value, statistics[key]) for key, value in network.state_dict().items())
    assert torch.is_grad_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [1, 2**20])
def test_numbers_are_those_of_core_metrics(monkeypatch, pixels):
    """On the same samples, each clip at once, whatever the chunks of the validation."""
    monkeypatch.setattr(validation, "_CHUNK_PIXELS", pixels)
    result = run(RedNetwork())
    for name, (data, part) in validation_sets(SYNTHETIC, STAGE_3, 5).items():
        clips = []
        for k in (0, len(data) // 2):
            sample = data[0, k]
            layers = (sample[key][None] for key in ("fgr", "pha", "bgr"))
            src, fgr, pha = prepare_matting(*layers, (part.size, part.size))
            seen = torch.arange(1, 1 + part.frames).view(1, -1, 1, 1, 1)
            pred = src[:, :, :1] * part.ratio / seen
            clips.append(matting_metrics(pred[0], pha[0], src[0].flip(-2), fgr[0], high_resolution=name == "high"))
        found = getattr(result, name)
        assert list(found) == list(clips[0])
        for key, value in found.items():
            assert value == pytest.approx(sum(clip[key].mean().item() for clip in clips) / 2, rel=1e-6)
    assert "conn" not in result.high
    assert result.sizes == {"low": (3, 64), "high": (2, 128)}
    assert result.clips == 2


def test_a_stage_without_high_resolution():
    result = run(RedNetwork(), STAGE_1, clips=1, frames=1)
    assert result.high is None
    assert result.sizes == {"low": (1, 64)}
    assert result.low["dtssd"] == 0


def test_the_constants_are_worked_out_right(monkeypatch):
    """Pixels: 3 of 8 are 0, 2 of 8 are 51, 3 of 8 are 255. The mean is 0.425, the median 0.2."""
    pha = torch.tensor([255, 0, 51, 0, 255, 51, 255, 0], dtype=torch.uint8).view(1, 1, 2, 4).repeat(2, 1, 8, 4)
    part = Pass(2, 16, 1.0)
    monkeypatch.setattr(validation, "validation_sets", lambda *_: {"low": (KnownClips([pha, pha]), part)})
    result = run(Constant(0.2), STAGE_1)
    assert result.constant == pytest.approx(0.425)
    assert result.constant_mad == pytest.approx(1000 * (3 * 0.425 + 2 * 0.225 + 3 * 0.575) / 8)
    assert result.best_constant == pytest.approx(0.2)
    assert result.best_constant_mad == pytest.approx(1000 * (3 * 0.2 + 3 * 0.8) / 8)
    assert result.low["mad"] == pytest.approx(result.best_constant_mad, rel=1e-6)
    assert run(Constant(0.425), STAGE_1).low["mad"] == pytest.approx(result.constant_mad, rel=1e-6)


def test_clips_are_spread_over_the_data_and_no_more_than_there_are(monkeypatch):
    alphas = [torch.full((1, 1, 16, 16), 10 * k, dtype=torch.uint8) for k in range(10)]
    monkeypatch.setattr(validation, "validation_sets", lambda *_: {"low": (KnownClips(alphas), Pass(1, 16, 1.0))})
    assert run(Constant(0.0), STAGE_1, clips=2).low["mad"] == pytest.approx(1000 * (0 + 50) / 2 / 255)
    result = run(Constant(0.0), STAGE_1, clips=99)
    assert (result.clips, result.low["mad"]) == (10, pytest.approx(1000 * 45 / 255))


def test_a_network_that_diverged():
    with pytest.raises(StudioError, match=r"for synthetic/.* is not finite.*diverged"):
        run(Constant(torch.nan), STAGE_1, clips=1)


def test_missing_data_is_told(tmp_path):
    with pytest.raises(StudioError, match="fgr and pha"):
        validation_sets(DataConfig(videomatte=tmp_path), STAGE_1, 0)


def test_saved_as_json_and_picture(tmp_path):
    result = run(RedNetwork())
    paths = result.save(tmp_path / "new" / "run")
    assert paths == (tmp_path / "new/run/validation_stage3.json", tmp_path / "new/run/validation_stage3.png")
    record = json.loads(paths[0].read_text(encoding="utf-8"))
    assert record["low"] == result.low
    assert record["high"] == result.high
    assert record["stage"] == 3
    assert record["sizes"] == {"low": [3, 64], "high": [2, 128]}
    assert record["faults"] == []
    assert "pictures" not in record
    picture = Image.open(paths[1])
    picture.load()
    assert picture.height > 4 * 224  # two clips low and two high, a row each
    assert sorted(os.listdir(paths[0].parent)) == ["validation_stage3.json", "validation_stage3.png"]


def test_a_folder_that_cannot_be_written(tmp_path):
    result = run(RedNetwork(), STAGE_1, clips=1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudioError, match="cannot be written"):
        result.save(tmp_path / "file")
    with pytest.raises(StudioError, match="cannot be written"):
        result.save(tmp_path / "file" / "below")
