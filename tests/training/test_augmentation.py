"""Augmentation against what can be worked out by hand: identities, flips, motions, odds."""

# B clips, T frames, h, w

import dataclasses
import math

import pytest
import torch
from rvm_studio.training import augmentation
from rvm_studio.training.augmentation import (
    augment_matting,
    augment_segmentation,
    draw_pose,
    draw_sides,
    ease,
    pose_matrix,
    prepare_matting,
    sample,
)
from rvm_studio.training.recipe import (
    IMAGE_AUGMENTATION,
    SEGMENTATION_AUGMENTATION,
    VIDEO_AUGMENTATION,
    Jitter,
    MattingAugmentation,
    PoseRange,
    SegmentationAugmentation,
)

STILL = PoseRange(rotation=0, shift=0, shear=0)
NOTHING = MattingAugmentation(0, 0, 0, 0, 0, 0, 0, 0, 0, fgr_pose=STILL, bgr_pose=STILL)
NO_SEGMENTATION = SegmentationAugmentation(0, 0, (1, 1), (1, 1), 0, Jitter(0, 0, 0, 0))


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(B=2, T=3, size=64, seed=0):  # noqa: N803
    g = gen(seed)
    shapes = ((B, T, 3, size, size), (B, T, 1, size, size), (B, T, 3, size, size))
    return [torch.randint(0, 256, shape, generator=g, dtype=torch.uint8) for shape in shapes]


def changed(**fields) -> MattingAugmentation:
    return dataclasses.replace(NOTHING, **fields)


def test_with_nothing_to_do_a_full_size_batch_passes_as_it_is():
    fgr, pha, bgr = clips()
    batch = augment_matting(fgr, pha, bgr, 64, gen(), NOTHING, (64, 64))
    torch.testing.assert_close(batch.fgr, fgr / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.pha, pha / 255, atol=1e-5, rtol=0)
    alpha = pha / 255
    torch.testing.assert_close(batch.src, alpha * fgr / 255 + (1 - alpha) * bgr / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("h", "w"), [(40, 64), (64, 41), (33, 64)])
def test_a_crop_is_the_centre(h, w):
    fgr, pha, bgr = clips()
    batch = augment_matting(fgr, pha, bgr, 64, gen(), NOTHING, (h, w))
    top, left = (64 - h) // 2, (64 - w) // 2
    torch.testing.assert_close(batch.fgr, fgr[..., top : top + h, left : left + w] / 255, atol=1e-5, rtol=0)


def test_a_smaller_square_is_the_picture_resized():
    """Two thirds of a linear ramp is the ramp of fewer steps."""
    ramp = (torch.arange(96.0).view(1, 1, 1, 1, 96) / 96 + 0.5 / 96).expand(1, 1, 3, 96, 96)
    batch = augment_matting(ramp, ramp[:, :, :1], ramp, 96, gen(), NOTHING, (48, 64))
    expected = (torch.arange(64.0) + 0.5) / 64
    torch.testing.assert_close(batch.fgr[0, 0, 0, 20, 1:-1], expected[1:-1], atol=1e-5, rtol=0)


def test_foreground_and_background_may_differ_in_size():
    fgr, pha, _ = clips()
    bgr = torch.full((2, 3, 3, 31, 57), 51, dtype=torch.uint8)
    batch = augment_matting(fgr, pha * 0, bgr, 64, gen(), NOTHING, (40, 50))
    torch.testing.assert_close(batch.src, torch.full_like(batch.src, 0.2), atol=1e-5, rtol=0)


def test_flips_are_exact_and_take_the_alpha_along():
    fgr, pha, bgr = clips()
    batch = augment_matting(fgr, pha, bgr, 64, gen(), changed(flip=1), (64, 64))
    torch.testing.assert_close(batch.fgr, fgr.flip(-1) / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.pha, pha.flip(-1) / 255, atol=1e-5, rtol=0)


def test_the_inputs_stay_as_they_are():
    given = clips()
    kept = [x.clone() for x in given]
    everything = changed(**dict.fromkeys(("fgr_motion", "bgr_motion", "noise", "color_jitter", "blur", "pause"), 1.0))
    augment_matting(*given, 64, gen(), dataclasses.replace(everything, grey=1, sharpness=1))
    as_floats = [x / 255 for x in given]
    kept_floats = [x.clone() for x in as_floats]
    augment_matting(*as_floats, 64, gen(), everything, (64, 64))
    augment_segmentation(given[0], given[1], 64, gen(), SEGMENTATION_AUGMENTATION)
    prepare_matting(*as_floats, (64, 64))
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(as_floats, kept_floats, strict=True))


@pytest.mark.parametrize("settings", [VIDEO_AUGMENTATION, IMAGE_AUGMENTATION])
def test_one_state_of_the_generator_gives_one_result(settings):
    given = clips(B=3)
    first, second = gen(5), gen(5)
    a, b = (augment_matting(*given, 64, g, settings) for g in (first, second))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert torch.equal(first.get_state(), second.get_state())
    c = augment_matting(*given, 64, first, settings)
    assert c.src.shape != a.src.shape or not torch.equal(c.src, a.src)


@pytest.mark.parametrize("T", [1, 2, 7])
def test_everything_at_once_stays_in_range(T):  # noqa: N803
    everything = MattingAugmentation(1, 1, 1, 1, 1, 1, 1, 1, 1)
    batch = augment_matting(*clips(B=2, T=T), 64, gen(3), everything)
    h, w = batch.src.shape[-2:]
    assert 32 <= h < 64
    assert 32 <= w < 64
    assert batch.src.shape == batch.fgr.shape == (2, T, 3, h, w)
    assert batch.pha.shape == (2, T, 1, h, w)
    for x in batch:
        assert x.dtype == torch.float32
        assert 0 <= float(x.min()) <= float(x.max()) <= 1


def test_alpha_keeps_its_place_on_the_foreground():
    """The foreground is painted with its own alpha; it must be so afterwards, whatever the geometry."""
    g = gen(1)
    pha = torch.nn.functional.interpolate(torch.rand(2, 4, 9, 9, generator=g), 96, mode="bicubic").clamp(0, 1)
    pha = pha[:, :, None]
    fgr = pha.expand(-1, -1, 3, -1, -1)
    settings = changed(fgr_motion=1, bgr_motion=1, flip=0.5, pause=0.5, blur=1, fgr_pose=VIDEO_AUGMENTATION.fgr_pose)
    for seed in range(8):
        batch = augment_matting(fgr, pha, fgr, 96, gen(seed), settings)
        torch.testing.assert_close(batch.fgr[:, :, :1], batch.pha, atol=1e-5, rtol=0)


def test_nothing_of_the_person_comes_in_from_outside():
    """A white alpha scaled to a half leaves a white square in the middle and 0 around."""
    pha = torch.full((1, 1, 1, 64, 64), 255, dtype=torch.uint8)
    fgr = pha.expand(-1, -1, 3, -1, -1)
    half = dataclasses.replace(STILL, scale=(0.5, 0.5))
    batch = augment_matting(fgr, pha, fgr * 0, 64, gen(), changed(fgr_pose=half), (64, 64))
    expected = torch.zeros(64, 64)
    expected[16:48, 16:48] = 1
    torch.testing.assert_close(batch.pha[0, 0, 0], expected, atol=1e-5, rtol=0)
    # the background never has black corners
    turned = dataclasses.replace(STILL, rotation=10, scale=(1, 1))
    batch = augment_matting(fgr * 0, pha * 0, fgr, 64, gen(), changed(bgr_pose=turned), (64, 64))
    torch.testing.assert_close(batch.src, torch.ones_like(batch.src), atol=1e-5, rtol=0)


def test_a_pose_as_matrix():
    degrees = torch.tensor([90.0, 0, 0, 0, 0, 0])
    # y points down: a quarter turn clockwise takes the right to the bottom
    torch.testing.assert_close(pose_matrix(degrees) @ torch.tensor([1.0, 0, 1]), torch.tensor([0, 1.0, 1]))
    shift = torch.tensor([0.0, 0, 0.25, -0.1, 0, 0])  # shares of the side, which is 2 long
    torch.testing.assert_close(pose_matrix(shift)[:2, 2], torch.tensor([0.5, -0.2]))
    scale = torch.tensor([0.0, 0, 0, 0, math.log(0.5), math.log(4)])
    torch.testing.assert_close(pose_matrix(scale)[:2, :2], torch.tensor([[1.0, 0], [0, 0.25]]))
    shear = torch.tensor([0.0, 45, 0, 0, 0, 0])
    torch.testing.assert_close(pose_matrix(shear)[:2, :2], torch.tensor([[1.0, 1], [0, 1]]))
    assert pose_matrix(torch.zeros(5, 4, 6)).shape == (5, 4, 3, 3)


def test_a_map_samples_the_place_it_says():
    picture = torch.zeros(1, 1, 1, 65, 65)
    picture[..., 32, 48] = 1  # at x = 0.4923, y = 0
    quarter = torch.linalg.inv(pose_matrix(torch.tensor([90.0, 0, 0, 0, 0, 0])))[None, None]
    turned = sample(picture, quarter, (65, 65), "zeros")[0, 0, 0]
    assert turned[48, 32] == pytest.approx(1, abs=1e-4)
    assert turned.sum() == pytest.approx(1, abs=1e-3)


def test_poses_stay_within_their_range():
    limits = PoseRange(rotation=10, shift=0.1, shear=5, scale=(0.5, 2), aspect=(0.9, 1.1))
    g = gen()
    poses = torch.stack([draw_pose(limits, g) for _ in range(2000)])
    bound = torch.tensor([10, 5, 0.1, 0.1, math.log(2), math.log(1.1) + 0.01])
    assert (poses.abs() <= bound + 1e-6).all()
    assert (poses.abs().amax(0) >= 0.95 * bound).all()
    assert poses.mean(0).abs().lt(0.08 * bound).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_motions_rise_from_start_to_end(seed, frames):
    path = ease(frames, gen(seed))
    assert path.shape == (frames,)
    assert path[0] == 0
    assert frames == 1 or path[-1] == pytest.approx(1)
    assert (path.diff() >= 0).all()


def test_a_motion_moves_steadily_in_one_direction():
    """A dot under a motion of shifts alone: its centre runs on a line, without turning back."""
    pha = torch.zeros(1, 8, 1, 128, 128)
    pha[..., 56:72, 56:72] = 1
    fgr = pha.expand(-1, -1, 3, -1, -1)
    moving = changed(fgr_motion=1, motion=dataclasses.replace(STILL, shift=0.1))
    places = torch.arange(128) + 0.5
    for seed in range(5):
        batch = augment_matting(fgr, pha, fgr, 128, gen(seed), moving, (128, 128))
        mass = batch.pha[0, :, 0]
        x = (mass.sum(1) * places).sum(1) / mass.sum((1, 2))
        y = (mass.sum(2) * places).sum(1) / mass.sum((1, 2))
        for line in (x, y):
            steps = line.diff()
            assert (steps >= -1e-3).all() or (steps <= 1e-3).all()
        total = torch.hypot(x[-1] - x[0], y[-1] - y[0])
        assert total > 0.5
        assert torch.hypot(x.diff(), y.diff()).sum() == pytest.approx(float(total), rel=1e-3)


def test_joint_motion_moves_both_alike_and_separate_motion_only_the_background():
    """Half of the background's motions move the whole scene."""
    g = gen(2)
    fgr = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12, generator=g), 96, mode="bicubic").clamp(0, 1)
    fgr = fgr[:, None].expand(1, 4, 3, 96, 96)
    pha = torch.ones(1, 4, 1, 96, 96)
    settings = changed(bgr_motion=1, motion=dataclasses.replace(STILL, shift=0.05))
    inner = slice(16, 80)
    joint = 0
    for seed in range(60):
        batch = augment_matting(fgr, pha, fgr, 96, gen(seed), settings, (96, 96))
        shown = augment_matting(fgr, pha * 0, fgr, 96, gen(seed), settings, (96, 96)).src
        assert (shown[:, 0] - shown[:, 3])[..., inner, inner].abs().max() > 0.01  # the background moves
        if (batch.fgr[:, 0] - batch.fgr[:, 3])[..., inner, inner].abs().max() > 1e-4:
            torch.testing.assert_close(batch.fgr[..., inner, inner], shown[..., inner, inner], atol=1e-4, rtol=0)
            joint += 1
    assert 17 <= joint <= 43  # 30 of 60, three and a half deviations


def test_a_pause_repeats_a_frame_and_only_that():
    T = 10  # noqa: N806
    fgr = torch.arange(T).view(1, T, 1, 1, 1).expand(1, T, 3, 64, 64).to(torch.uint8)
    pha = fgr[:, :, :1]
    for seed in range(20):
        batch = augment_matting(fgr, pha, fgr, 64, gen(seed), changed(pause=1), (64, 64))
        shown = (batch.fgr[0, :, 0, 5, 5] * 255).round().int().tolist()
        assert shown == (batch.pha[0, :, 0, 5, 5] * 255).round().int().tolist()
        held = [t for t in range(1, T) if shown[t] == shown[t - 1]]
        assert held, shown
        assert held == list(range(held[0], held[-1] + 1))
        assert all(shown[t] == t for t in range(T) if t not in held)


def test_a_paused_motion_stands_still():
    pha = torch.zeros(1, 12, 1, 96, 96)
    pha[..., 40:56, 40:56] = 1
    fgr = pha.expand(-1, -1, 3, -1, -1)
    settings = changed(pause=1, fgr_motion=1, motion=dataclasses.replace(STILL, shift=0.1))
    for seed in range(10):
        batch = augment_matting(fgr, pha, fgr, 96, gen(seed), settings, (96, 96))
        still = (batch.pha.diff(dim=1).abs().amax((0, 2, 3, 4)) < 1e-6).sum()
        assert still >= 1


def share(settings: MattingAugmentation, differs, number: int = 400) -> float:
    """How many of the clips come out otherwise than with NOTHING, by `differs(batch, plain)`."""
    given = clips(B=1, T=2, size=64)
    plain = augment_matting(*given, 64, gen(), NOTHING, (64, 64))
    g = gen(11)
    found = sum(differs(augment_matting(*given, 64, g, settings, (64, 64)), plain) for _ in range(number))
    return found / number


@pytest.mark.parametrize("name", ["noise", "color_jitter", "grey", "sharpness", "blur", "flip", "fgr_motion", "pause"])
@pytest.mark.parametrize("odds", [0.0, 0.3, 1.0])
def test_odds_are_kept(name, odds):
    def differs(batch, plain):
        return bool((batch.fgr - plain.fgr).abs().max() > 1e-4)

    found = share(changed(**{name: odds}), differs, 250)
    if name == "blur":  # one in a hundred is of less than a tenth of a pixel, which changes nothing
        odds *= 0.99
    assert found == pytest.approx(odds, abs=3.5 * math.sqrt(odds * (1 - odds) / 250) + 1e-9)


def test_noise_has_the_deviation_it_was_given(monkeypatch):
    grey = torch.full((1, 2, 3, 128, 128), 0.5)
    settings = changed(noise=1, noise_grain=(1, 1), noise_sigma=0.1)
    monkeypatch.setattr(augmentation, "_between", lambda low, high, generator: high)
    batch = augment_matting(grey, torch.ones(1, 2, 1, 128, 128), grey, 128, gen(), settings, (128, 128))
    assert float((batch.fgr - 0.5).std()) == pytest.approx(0.1, rel=0.02)
    assert float((batch.fgr - 0.5).mean()) == pytest.approx(0, abs=2e-3)
    frames = batch.fgr[0].flatten(1) - 0.5
    assert abs(float((frames[0] * frames[1]).mean())) < 1e-3  # anew in every frame


def test_grain_makes_noise_coarse(monkeypatch):
    grey = torch.full((1, 1, 3, 128, 128), 0.5)
    monkeypatch.setattr(augmentation, "_between", lambda low, high, generator: high)
    pha = torch.ones(1, 1, 1, 128, 128)

    def neighbours(grain: float) -> float:
        batch = augment_matting(grey, pha, grey, 128, gen(), changed(noise=1, noise_grain=(grain, grain)), (128, 128))
        x = batch.fgr[0, 0, 0] - 0.5
        return float((x[:, 1:] * x[:, :-1]).mean() / x.square().mean())

    assert neighbours(1) == pytest.approx(0, abs=0.03)
    assert neighbours(4) > 0.8


def test_grey_is_luma_on_both_layers():
    fgr, pha, bgr = clips()
    batch = augment_matting(fgr, pha, bgr, 64, gen(), changed(grey=1), (64, 64))
    luma = (fgr / 255 * torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)).sum(2, keepdim=True)
    torch.testing.assert_close(batch.fgr, luma.expand_as(batch.fgr), atol=1e-5, rtol=0)
    assert float((batch.src[:, :, 0] - batch.src[:, :, 1]).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("jitter", "expected"),
    [
        ([1.2, 1, 1, 0], lambda x: x * 1.2),
        ([1, 1, 0, 0], lambda x: (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)),
        ([1, 1, 1, 0], lambda x: x),
        ([1, 1, 1, 1], lambda x: x),  # a whole turn of the hue
    ],
)
def test_jitter_by_its_formula(jitter, expected):
    picture = torch.rand(2, 3, 16, 16, generator=gen()) * 0.6 + 0.1
    result = picture.clone()
    augmentation._apply_jitter(result, jitter)
    torch.testing.assert_close(result, expected(picture).expand_as(picture), atol=2e-4, rtol=0)


def test_contrast_is_about_the_mean():
    picture = torch.rand(2, 3, 16, 16, generator=gen())
    result = picture.clone()
    augmentation._apply_jitter(result, (1, 0.0, 1, 0))
    mean = (picture.mean((0, 2, 3)) * torch.tensor([0.2126, 0.7152, 0.0722])).sum()
    torch.testing.assert_close(result, torch.full_like(result, float(mean)), atol=1e-5, rtol=0)


def test_a_hue_turn_keeps_grey():
    grey = torch.rand(1, 1, 8, 8, generator=gen()).expand(1, 3, 8, 8).clone()
    result = grey.clone()
    augmentation._apply_jitter(result, (1, 1, 1, 0.4))
    torch.testing.assert_close(result, grey, atol=1e-4, rtol=0)


def test_sides_are_drawn_evenly_from_half_the_size_on():
    g = gen()
    drawn = torch.tensor([draw_sides(512, g) for _ in range(3000)])
    assert int(drawn.min()) >= 256
    assert int(drawn.max()) <= 511
    assert drawn.float().mean(0).tolist() == pytest.approx([383.5, 383.5], abs=5)
    assert abs(float(torch.corrcoef(drawn.T.float())[0, 1])) < 0.06  # independent of each other


def test_validation_is_never_random():
    fgr, pha, bgr = clips()
    state = torch.random.get_rng_state()
    a, b = (prepare_matting(fgr, pha, bgr, (64, 64)) for _ in range(2))
    assert torch.equal(a.src, b.src)
    torch.testing.assert_close(a.fgr, fgr / 255)
    assert torch.equal(state, torch.random.get_rng_state())
    small = prepare_matting(fgr, pha, bgr, (31, 45))
    assert small.src.shape == (2, 3, 3, 31, 45)
    flat = prepare_matting(fgr * 0 + 51, pha, bgr * 0 + 51, (31, 45))
    torch.testing.assert_close(flat.src, torch.full_like(flat.src, 0.2))


def test_segmentation_with_nothing_to_do():
    img, seg, _ = clips()
    batch = augment_segmentation(img, seg, 64, gen(), NO_SEGMENTATION, (64, 64))
    torch.testing.assert_close(batch.src, img / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.seg, seg / 255, atol=1e-5, rtol=0)


def test_segmentation_masks_stay_on_their_pictures():
    g = gen(3)
    seg = torch.nn.functional.interpolate(torch.rand(3, 1, 9, 9, generator=g), 96, mode="bicubic").clamp(0, 1)
    seg = seg[:, None].expand(3, 4, 1, 96, 96)
    plain = dataclasses.replace(SEGMENTATION_AUGMENTATION, jitter=Jitter(0, 0, 0, 0))
    for seed in range(6):
        batch = augment_segmentation(seg.expand(-1, -1, 3, -1, -1), seg, 96, gen(seed), plain)
        torch.testing.assert_close(batch.src[:, :, :1], batch.seg, atol=1e-4, rtol=0)
        torch.testing.assert_close(batch.seg[:, :1].expand_as(batch.seg), batch.seg)  # the clip as a whole


def test_segmentation_keeps_the_share_of_the_picture_it_was_given():
    """With half of the area kept, a ramp across the picture shows at most that much of itself."""
    ramp = torch.linspace(0, 1, 128).view(1, 1, 1, 1, 128).expand(1, 1, 1, 128, 128)
    settings = dataclasses.replace(NO_SEGMENTATION, area=(0.5, 0.5))
    for seed in range(10):
        batch = augment_segmentation(ramp.expand(1, 1, 3, 128, 128), ramp, 128, gen(seed), settings, (128, 128))
        shown = batch.seg[0, 0, 0, 64]
        assert float(shown.max() - shown.min()) == pytest.approx(math.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize("T", [1, 5])
def test_segmentation_stays_in_range(T):  # noqa: N803
    img, seg, _ = clips(T=T)
    batch = augment_segmentation(img, seg, 64, gen(), SEGMENTATION_AUGMENTATION)
    assert batch.src.shape[:3] == (2, T, 3)
    assert batch.seg.shape == (2, T, 1, *batch.src.shape[-2:])
    for x in batch:
        assert 0 <= float(x.min()) <= float(x.max()) <= 1


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_wrong_shapes_are_met(wrong):
    given = clips()
    given[wrong] = given[wrong][:, :, [0, 0]]
    with pytest.raises(AssertionError):
        augment_matting(*given, 64, gen(), NOTHING)
