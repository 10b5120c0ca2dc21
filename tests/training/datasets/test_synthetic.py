"""Rendered clips: reproducible, true to their alpha, alike at every size."""

# T frames, S

import subprocess
import sys

import numpy as np
import pytest
import torch
from rvm_studio.core.pictures.alpha_ops import composite
from rvm_studio.training.datasets.synthesis.scene import PARTS, draw_scene, render
from rvm_studio.training.datasets.synthetic import SyntheticMatting, SyntheticSegmentation
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def one_thread():
    """As in a loader's worker; many small operations gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_sample_is_what_it_says():
    sample = SyntheticMatting(1, 3, 48)[0]
    assert sample["fgr"].shape == sample["bgr"].shape == (3, 3, 48, 48)
    assert sample["pha"].shape == (3, 1, 48, 48)
    assert {sample[name].dtype for name in ("fgr", "pha", "bgr")} == {torch.uint8}
    assert sample["faults"] == ()
    assert sample["id"].startswith("synthetic/matting/1/")
    seg = SyntheticSegmentation(1, 2, 48)[0]
    assert seg["img"].shape == (2, 3, 48, 48)
    assert seg["seg"].shape == (2, 1, 48, 48)
    assert set(seg["seg"].unique().tolist()) <= {0, 255}


def test_an_address_is_a_sample():
    data = SyntheticMatting(3, 2, 40)
    first = data[2, 5]
    data[0, 1]
    again = SyntheticMatting(3, 2, 40)[2, 5]
    for name in ("fgr", "pha", "bgr"):
        assert torch.equal(first[name], again[name])
    assert not torch.equal(first["bgr"], data[2, 6]["bgr"])
    assert not torch.equal(first["bgr"], data[3, 5]["bgr"])
    assert not torch.equal(first["bgr"], SyntheticMatting(4, 2, 40)[2, 5]["bgr"])
    assert not torch.equal(first["bgr"], SyntheticMatting(3, 2, 40, split="valid")[2, 5]["bgr"])


@pytest.mark.slow
def test_another_process_renders_the_same():
    code = (
        "import torch; torch.set_num_threads(1);"
        "from rvm_studio.training.datasets.synthetic import SyntheticMatting as S;"
        "s = S(9, 2, 32)[1, 4]; print(*(int(s[k].long().sum()) for k in ('fgr', 'pha', 'bgr')))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    sample = SyntheticMatting(9, 2, 32)[1, 4]
    assert answer.split() == [str(int(sample[name].long().sum())) for name in ("fgr", "pha", "bgr")]


@pytest.mark.parametrize("seed", range(25))
def test_every_scene_can_be_rendered(seed):
    scene = draw_scene((77, seed), 2)
    clip = render(scene, 40, 40)
    for x in clip:
        assert torch.isfinite(x).all()
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert float(clip.pha.max()) > 0.9


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 36)])
def test_odd_sizes(size):
    clip = render(draw_scene((5, 1), 1, aspect=size[1] / size[0]), *size)
    assert clip.fgr.shape == (1, 3, *size)
    assert clip.pha.shape == (1, 1, *size)


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_looks_alike_at_every_size(seed):
    scene = draw_scene((31, seed), 1)
    small, large = render(scene, 64, 64), render(scene, 256, 256)
    reduced = F.interpolate(large.pha, (64, 64), mode="area")
    assert float((small.pha - reduced).abs().mean()) < 0.012
    src = [composite(*clip) for clip in (small, large)]
    reduced = F.interpolate(src[1], (64, 64), mode="area")
    assert float((src[0] - reduced).abs().mean()) < 0.035


def test_alpha_is_mostly_clear_and_has_soft_parts():
    data = SyntheticMatting(2, 1, 128)
    pha = torch.stack([data[k]["pha"] for k in range(12)]).float() / 255
    soft = ((pha > 0.03) & (pha < 0.97)).float().mean()
    assert 0.004 < float(soft) < 0.15
    assert 0.15 < float((pha > 0.97).float().mean()) < 0.7
    assert float((pha < 0.03).float().mean()) > 0.25


def test_the_foreground_runs_on_beyond_the_outline():
    """Straight colours: where alpha is small they are those nearby, not black."""
    scene = draw_scene((41, 3), 1, persons=1)
    clip = render(scene, 128, 128)
    inside = clip.pha > 0.9
    around = (F.max_pool2d(clip.pha, 9, 1, 4) > 0.9) & (clip.pha < 0.3)
    near = F.avg_pool2d(clip.fgr * inside, 17, 1, 8) / F.avg_pool2d(inside.float(), 17, 1, 8).clamp(min=1e-3)
    assert float((clip.fgr - near)[around.expand_as(clip.fgr)].abs().mean()) < 0.12


def test_clips_move_and_are_one_scene():
    data = SyntheticMatting(6, 6, 64)
    moved = 0
    for k in range(6):
        pha = data[k]["pha"].float()
        steps = (pha[1:] - pha[:-1]).abs().mean((1, 2, 3)) / 255
        assert float(steps.max()) < 0.2
        moved += float(steps.max()) > 0.001
    assert moved >= 5


def test_a_still_is_one_picture():
    sample = SyntheticMatting(6, 4, 32, still=True)[0]
    assert torch.equal(sample["fgr"], sample["fgr"][:1].expand(4, -1, -1, -1))
    assert torch.equal(sample["pha"], sample["pha"][:1].expand(4, -1, -1, -1))


def test_time_runs_backwards():
    forwards, backwards = (draw_scene((8, 2), 5, speed=speed) for speed in (2, -2))
    head = [scene.figures[0].body.head.origin.reshape(5, PARTS, 3).mean(1) for scene in (forwards, backwards)]
    np.testing.assert_allclose(head[0][0], head[1][0])
    assert not np.allclose(head[0][4], head[1][4])


@pytest.mark.slow
def test_motion_blur_is_the_mean_of_the_shutters_time(monkeypatch):
    """A person that waves: with the shutter's parts rendered one by one, alpha is their mean."""
    from rvm_studio.training.datasets.synthesis import scene as module

    fast = next(s for s in (draw_scene((12, k), 1) for k in range(60)) if _moves(s, 256) > 4.5)
    blurred = render(fast, 256, 256).pha
    parts = []
    for part in range(PARTS):
        monkeypatch.setattr(module, "_batches", lambda scene, view, at_once, p=part: [(np.array([0]), np.array([p]))])
        parts.append(render(fast, 256, 256).pha)
    assert float((parts[0] - parts[-1]).abs().max()) > 0.5
    torch.testing.assert_close(blurred, torch.stack(parts).mean(0), atol=2e-3, rtol=0)


def _moves(scene, height: int) -> float:
    """Pixels that the fastest limb moves while the shutter is open."""
    view = scene.view
    fastest = 0.0
    for limb in (*scene.figures[0].body.arms, *scene.figures[0].body.legs):
        flat = view.project(limb.end)[0][:, :2] * view.scale[:, None] * height
        fastest = max(fastest, np.linalg.norm(np.diff(flat, axis=0), axis=1).sum())
    return fastest


@pytest.mark.slow
def test_segmentation_masks_are_where_the_persons_are():
    data = SyntheticSegmentation(4, 1, 64)
    shares = [(data[k]["seg"] > 0).float().mean().item() for k in range(40)]
    assert sum(share > 0.02 for share in shares) > 30
    empty = [draw_scene((4, k), 1, persons=0) for k in range(3)]
    for scene in empty:
        assert float(render(scene, 32, 32).pha.max()) == 0


def test_there_is_no_end():
    data = SyntheticMatting(1, 1, 32, length=3)
    assert len(data) == 3
    data[123456, 2]
    with pytest.raises(AssertionError):
        data[0, 3]
    with pytest.raises(AssertionError):
        SyntheticMatting(1, 0, 32)
    assert data.check().usable


@pytest.mark.slow
def test_all_of_a_scene_is_rendered_where_it_is_asked_for(monkeypatch):
    """On torch's device without memory any tensor left on the CPU is an error."""
    from rvm_studio.training.datasets.synthesis import scene as module

    monkeypatch.setattr(
        module, "splat", lambda *arguments: None
    )  # picks points by their values, of which there are none
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: 1.0)
    for seed in range(12):
        clip = render(draw_scene((5, seed), 2), 48, 48, "meta")
        assert {x.device.type for x in clip} == {"meta"}
