"""RVM Composite, RVM Refine Mask and RVM Decontaminate: the core's arithmetic on batches, sizes that must fit."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.alpha_ops import blurred_background, composite
from rvm_studio.core.pictures.decontaminate import decontaminate
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.rvm_nodes.compositing import RVMComposite, RVMDecontaminate, RVMRefineMask

REFINE = {"grow": 0.0, "feather": 0.0, "black_point": 0.0, "white_point": 1.0, "gamma": 1.0, "temporal": 0.0}
PLAIN = {"mode": "color", "color": "#00b140", "blur": 1.0, "linear_light": False, "invert_mask": False}
CLEAN = {"strength": 1.0, "spill_color": "", "spill_strength": 1.0}


@pytest.fixture
def mask():
    """[T, H, W] with soft edges, another one in every frame."""

    def make(count, height=64, width=80):
        x = torch.linspace(-1, 1, width)[None, None] - torch.linspace(-0.3, 0.3, count)[:, None, None]
        y = torch.linspace(-1, 1, height)[None, :, None]
        return (1.5 - 2 * (x**2 + y**2)).clamp(0, 1)

    return make


def as_frames(pictures):
    return pictures.permute(0, 3, 1, 2)


def composed(foreground, mask, background=None, **changes):
    return RVMComposite().composite(foreground, mask, **(PLAIN | changes), background=background)[0]


def test_over_a_colour_by_hand(comfy, frames, mask):
    fgr, pha = frames(3), mask(3)
    green = torch.tensor([0, 177, 64]) / 255
    expected = fgr * pha[..., None] + green * (1 - pha[..., None])
    assert torch.allclose(composed(fgr, pha), expected, atol=1e-6)
    assert torch.allclose(composed(fgr, 1 - pha, invert_mask=True), expected, atol=1e-6)
    assert comfy.progress[-1] == (3, 3)


def test_linear_light(comfy, frames, mask):
    fgr, pha = frames(2), mask(2)
    white = torch.ones(1, 3, 1, 1)
    expected = composite(as_frames(fgr), pha[:, None], white, linear_light=True)
    result = composed(fgr, pha, color="white", linear_light=True)
    assert torch.allclose(as_frames(result), expected, atol=1e-6)
    assert not torch.allclose(result, composed(fgr, pha, color="white"), atol=1e-2)


def test_over_one_picture_of_another_size(comfy, frames, mask):
    """Scaled to cover and cut around the centre: a picture of vertical stripes twice as wide keeps its middle."""
    background = torch.zeros(1, 64, 160, 3)
    background[:, :, 40:120] = 0.5
    result = composed(frames(2), mask(2) * 0, background, mode="image")
    assert torch.allclose(result, torch.full_like(result, 0.5), atol=1e-6)


def test_over_a_moving_background_that_is_looped(comfy, frames, mask):
    background = torch.rand(2, 64, 80, 3)
    result = composed(frames(5), mask(5) * 0, background, mode="image")
    assert torch.equal(result, background[[0, 1, 0, 1, 0]])


def test_over_the_blurred_room(comfy, frames, mask):
    src, pha = frames(2), mask(2)
    fgr = src.flip(-1)
    expected = composite(as_frames(fgr), pha[:, None], blurred_background(as_frames(src), pha[:, None], 0.7))
    assert torch.allclose(as_frames(composed(fgr, pha, src, mode="blur", blur=0.7)), expected, atol=1e-5)


def test_one_foreground_or_one_mask_serves_all(comfy, frames, mask):
    fgr, pha = frames(3), mask(3)
    assert torch.equal(composed(fgr[:1], pha), composed(fgr[[0, 0, 0]], pha))
    assert torch.equal(composed(fgr, pha[:1]), composed(fgr, pha[[0, 0, 0]]))


def test_a_fourth_channel_is_left_out(comfy, frames, mask):
    fgr, pha = frames(1), mask(1)
    rgba = torch.cat([fgr, torch.rand(1, 64, 80, 1)], -1)
    assert torch.equal(composed(rgba, pha, rgba, mode="image"), composed(fgr, pha, fgr, mode="image"))


@pytest.mark.parametrize("mode", ["image", "blur"])
def test_a_missing_background_is_asked_for(comfy, frames, mask, mode):
    with pytest.raises(StudioError, match=f"RVM Composite: mode = {mode} needs the background input"):
        composed(frames(1), mask(1), mode=mode)


def test_a_colour_that_is_none(comfy, frames, mask):
    with pytest.raises(StudioError, match=r"RVM Composite: 'grean' is not a colour. Use a name such as green"):
        composed(frames(1), mask(1), color="grean")


def test_sizes_and_numbers_that_do_not_fit(comfy, frames, mask):
    with pytest.raises(StudioError, match="The mask is 64x64 but the images are 80x64"):
        composed(frames(1), mask(1, 64, 64))
    with pytest.raises(StudioError, match="There are 3 images but 2 masks"):
        composed(frames(3), mask(2))
    with pytest.raises(StudioError, match="The background to blur is 64x36 but the frames are 80x64"):
        composed(frames(1), mask(1), frames(1, 36, 64), mode="blur")
    with pytest.raises(StudioError, match="The background has no frames"):
        composed(frames(1), mask(1), frames(1)[:0], mode="image")


def test_no_frames(comfy, frames, mask):
    assert composed(frames(1)[:0], mask(1)[:0]).shape == (0, 64, 80, 3)
    assert RVMRefineMask().refine(mask(1)[:0], **REFINE, invert=False)[0].shape == (0, 64, 80)


def test_refining_is_the_cores(comfy, mask):
    pha = mask(3)
    changes = {"grow": -2.0, "feather": 1.5, "black_point": 0.1, "white_point": 0.8, "gamma": 1.3}
    result = RVMRefineMask().refine(pha, **(REFINE | changes), invert=False)[0]
    assert torch.equal(result, refine_edges(pha[:, None], EdgeOptions(*changes.values()))[:, 0])


def test_refining_with_the_defaults_changes_nothing(comfy, mask):
    assert torch.equal(RVMRefineMask().refine(mask(2), **REFINE, invert=False)[0], mask(2))


def test_inverting_comes_first(comfy, mask):
    pha = mask(1)
    result = RVMRefineMask().refine(pha, **(REFINE | {"grow": 3.0}), invert=True)[0]
    assert torch.equal(result, refine_edges((1 - pha)[:, None], EdgeOptions(3.0))[:, 0])


def test_smoothing_over_time_by_hand(comfy):
    pha = torch.tensor([0.0, 0.9, 0.0, 0.0])[:, None, None].expand(4, 8, 8)
    result = RVMRefineMask().refine(pha, **(REFINE | {"temporal": 1.0}), invert=False)[0]
    assert torch.allclose(result[:, 0, 0], torch.tensor([0.3, 0.3, 0.3, 0.0]), atol=1e-6)


def test_points_that_cross_are_refused(comfy, mask):
    with pytest.raises(StudioError, match="RVM Refine Mask: "):
        RVMRefineMask().refine(mask(1), **(REFINE | {"black_point": 0.8, "white_point": 0.2}), invert=False)


def test_decontaminating_is_the_cores(comfy, frames, mask):
    src, pha = frames(2), mask(2)
    foreground, rgba = RVMDecontaminate().decontaminate(src, pha, **CLEAN)
    assert torch.allclose(as_frames(foreground), decontaminate(as_frames(src), pha[:, None]), atol=1e-6)
    assert torch.equal(rgba[..., :3], foreground)
    assert torch.equal(rgba[..., 3], pha)
    given = torch.rand(2, 64, 80, 3)
    with_foreground, _ = RVMDecontaminate().decontaminate(src, pha, **CLEAN, foreground=given)
    soft = (pha < 1)[..., None].expand_as(src)
    assert torch.allclose(with_foreground[soft], given[soft], atol=1e-6)


def test_the_screens_tint_goes(comfy, mask):
    src = torch.full((1, 64, 80, 3), 0.5)
    src[..., 1] = 0.9
    foreground, _ = RVMDecontaminate().decontaminate(src, torch.ones(1, 64, 80), **(CLEAN | {"spill_color": "#00ff00"}))
    assert foreground[..., 1].max() <= foreground[..., 0].max() + 1e-5
    kept, _ = RVMDecontaminate().decontaminate(src, torch.ones(1, 64, 80), **CLEAN)
    assert torch.equal(kept, src)


def test_a_foreground_of_another_clip_is_refused(comfy, frames, mask):
    with pytest.raises(StudioError, match="The foreground has 1 frames of 64x36 but the images are 2 of 80x64"):
        RVMDecontaminate().decontaminate(frames(2), mask(2), **CLEAN, foreground=frames(1, 36, 64))


@pytest.mark.parametrize("node", ["composite", "refine", "decontaminate"])
def test_a_cancel_ends_before_the_next_frame(comfy, fake, frames, mask, node):
    comfy.cancel_after = 5
    calls = {
        "composite": lambda: composed(frames(40), mask(40)),
        "refine": lambda: RVMRefineMask().refine(mask(40), **REFINE, invert=False),
        "decontaminate": lambda: RVMDecontaminate().decontaminate(frames(40), mask(40), **CLEAN),
    }
    with pytest.raises(fake.InterruptProcessingException):
        calls[node]()
    assert len(comfy.progress) < 5
