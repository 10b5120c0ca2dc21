"""When the scene-cut detector fires and when it does not, on drawn scenes and on a photograph."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.scene_cut import SceneCutDetector, scene_changes, shown_parts, thumbnail
from torch import Tensor
from torch.nn import functional as F

H, W = 108, 192


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The pictures here are so small that threads cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scene(seed: int, height: int = H, width: int = W) -> Tensor:
    """[3, H, W]: noise of several scales over a gradient, with three discs and boxes; another picture for each seed."""
    random = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, height, width)
    for cells, strength in ((4, 0.15), (9, 0.2), (25, 0.15)):
        noise = torch.randn(1, 3, cells, cells * 16 // 9, generator=random)
        picture += strength * F.interpolate(noise, (height, width), mode="bicubic")
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    tilt = torch.randn(2, generator=random)
    picture = picture[0] + 0.5 + 0.15 * (tilt[0] * x + tilt[1] * y)
    for shape in range(3):
        at = torch.rand(2, generator=random) * 2 - 1
        color = torch.rand(3, 1, 1, generator=random)
        far = torch.maximum if shape == 1 else torch.hypot
        inside = far((x - at[0]).abs() * 1.6, (y - at[1]).abs()) < 0.35 + 0.2 * shape
        picture = torch.where(inside, color, picture)
    return picture.clamp(0, 1)


def moved(picture: Tensor, right: float = 0.0, zoom: float = 1.0, degrees: float = 0.0) -> Tensor:
    """The middle 70 % of a picture as a camera sees it that pans (in widths of its own view), zooms and turns."""
    height, width = picture.shape[1:]
    c, s = (0.7 / zoom * f(math.radians(degrees)) for f in (math.cos, math.sin))
    view = torch.tensor([[[c, -s * height / width, right * 1.4], [s * width / height, c, 0]]])
    grid = F.affine_grid(view, [1, 3, height, width], align_corners=False)
    return F.grid_sample(picture[None], grid, padding_mode="reflection", align_corners=False)[0]


def cuts(frames, detector: SceneCutDetector | None = None) -> list[int]:
    detector = detector or SceneCutDetector()
    return [t for t, frame in enumerate(frames) if detector.is_cut(frame)]


def score(before: Tensor, after: Tensor) -> float:
    return min(scene_changes(*shown_parts(thumbnail(before), thumbnail(after))))


def blend(a: Tensor, b: Tensor, steps: int) -> list[Tensor]:
    return [torch.lerp(a, b, i / steps) for i in range(steps + 1)]


SCENES = [scene(seed) for seed in range(12)]
BLACK = torch.zeros(3, H, W)
WHITE = torch.ones(3, H, W)


@pytest.fixture(scope="module")
def portrait(reference) -> Tensor:
    """[3, 288, 512]: the photograph, its upper part."""
    picture = Image.open(reference / "sample_person.png").convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[:, :288] / 255


def test_hard_cuts_fire_on_the_very_frame():
    """All 132 ordered pairs, each scene held for three frames in which the camera moves."""
    order = [pair for a in range(12) for pair in itertools.permutations(range(a, 12), 2) if a in pair]
    shots = [SCENES[i] for pair in order for i in pair]
    frames = [moved(shot, right=0.02 * t) for shot in shots for t in range(3)]
    same = {3 * i for i in range(1, len(shots)) if shots[i] is shots[i - 1]}
    assert len(order) == 132
    assert cuts(frames) == [t for t in range(3, len(frames), 3) if t not in same]


def test_cut_to_and_from_the_portrait(portrait):
    for other in SCENES:
        assert cuts([portrait, portrait, other, other, portrait]) == [2, 4]
    mirrored = portrait.flip(2)
    assert cuts([portrait, mirrored, mirrored]) == [1]


def test_still_picture_and_noise_do_not_fire(portrait):
    random = torch.Generator().manual_seed(1)
    for picture in [portrait, *SCENES]:
        noisy = [(picture + 0.1 * torch.randn(picture.shape, generator=random)).clamp(0, 1) for _ in range(5)]
        assert cuts([picture, picture, *noisy, picture]) == []


def test_camera_and_subject_may_move(portrait):
    for picture in [portrait, *SCENES]:
        assert cuts(moved(picture, right=0.1 * t - 0.1) for t in range(4)) == []
        assert cuts(moved(picture, right=0.02 * t - 0.2) for t in range(20)) == []
        assert cuts(moved(picture, zoom=1.06**t) for t in range(6)) == []
        assert cuts(moved(picture, degrees=5 * t) for t in range(6)) == []
        for kind in ({"zoom": 1.15}, {"degrees": 8.0}):
            assert score(moved(picture), moved(picture, **kind)) < 0.13
    for background in SCENES:
        person = [background.clone() for _ in range(8)]
        for t, frame in enumerate(person):  # walks by, a third of the width, a twelfth of the width a frame
            frame[:, 20:, 16 * t : 16 * t + 64] = portrait[:, 100:188, 150:214]
        assert cuts(person) == []


def test_brightness_does_not_matter(portrait):
    for picture in [portrait, *SCENES]:
        gains = [1.0, 0.3, 1.0, 3.0, 1.0, *(0.3 * 1.2**t for t in range(13))]
        assert cuts((picture * gain).clamp(0, 1) for gain in gains) == []
        assert cuts([picture, picture**2.2, picture, picture**0.45]) == []
        burnt_out = (picture * 7).clamp(0, 1)
        assert cuts([picture * 0.7, burnt_out, picture * 0.7]) == []
        in_shade = picture * torch.sigmoid(torch.linspace(-5, 5, picture.shape[2]))
        assert cuts([picture, in_shade, picture]) == []
        tint = torch.tensor([1.1, 0.9, 0.7])[:, None, None]
        assert cuts([picture * 0.9, (picture * tint).clamp(0, 1), picture * 0.9]) == []


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_flashes_do_not_fire(portrait, frames):
    for picture in [portrait, *SCENES]:
        white, black = torch.ones_like(picture), torch.zeros_like(picture)
        strong = (picture * 4).clamp(0, 1)
        veil = torch.lerp(picture, white, 0.8)
        x = torch.linspace(-1, 1, picture.shape[2])
        from_one_side = (picture * (1.5 + x)).clamp(0, 1)
        for flash in (white, black, strong, veil, from_one_side):
            assert cuts([picture, *[flash] * frames, picture, picture]) == []


@pytest.mark.parametrize("between", [BLACK, WHITE])
def test_fade_through_black_or_white_fires_once_when_the_new_scene_shows(between):
    for a, b in itertools.pairwise(SCENES):
        frames = [*blend(a, between, 8), *[between] * 3, *blend(between, b, 8), b]
        fired = cuts(frames)
        assert len(fired) == 1
        assert 12 < fired[0] <= 16  # in the first half of the fade in, which begins with frame 12


def test_fade_out_and_in_again_of_one_scene_does_not_fire():
    for picture in SCENES:
        assert cuts([*blend(picture, BLACK, 6), BLACK, *blend(BLACK, picture, 6)]) == []


def test_cut_during_black_fires_when_it_ends():
    assert cuts([SCENES[0], BLACK, BLACK, SCENES[1], SCENES[1]]) == [3]
    assert cuts([SCENES[0], WHITE, SCENES[1], SCENES[1]]) == [2]


def test_dissolve_does_not_fire():
    for a, b in itertools.pairwise(SCENES):
        assert cuts([a, *blend(a, b, 12), b]) == []


def test_bars_do_not_hide_a_cut(portrait):
    def boxed(picture: Tensor, height: int, width: int) -> Tensor:
        return F.pad(picture[:, height:-height, width:-width], (width, width, height, height))

    pictures = [*SCENES[:6], F.interpolate(portrait[None], (H, W), mode="area")[0]]
    for height, width in ((14, 1), (1, 24), (1, 40)):
        for a, b in itertools.pairwise(boxed(p, height, width) for p in pictures):
            assert cuts([a, a, b, b]) == [2]
            flash = boxed(WHITE, height, width)
            assert cuts([a, flash, a]) == []


def test_first_frames_are_no_cut():
    assert cuts([SCENES[0]]) == []
    assert cuts([BLACK, BLACK, SCENES[0], SCENES[0]]) == []
    assert cuts([BLACK, SCENES[0], SCENES[1]]) == [2]


def test_score_of_known_pictures():
    a, b = SCENES[:2]
    assert score(a, a) == pytest.approx(0, abs=1e-6)
    assert score(a, 0.2 + a * 0.5) == pytest.approx(0, abs=1e-6)
    assert score(a, 1 - a) > 0.5
    assert score(a, b) == pytest.approx(score(b, a), abs=1e-6)
    shifted = F.pad(a, (16, 0, 9, 0))[:, :H, :W]  # two cells
    assert score(a, shifted) < 0.05


def test_correlation_against_numpy():
    """The convolutions against a plain loop over the shifts."""
    a, b = shown_parts(thumbnail(SCENES[3]), thumbnail(SCENES[4]))
    assert a.shape == b.shape == (3, 24, 24)
    expected = []
    for dy, dx in itertools.product(range(-3, 4), repeat=2):
        ys, xs = [(slice(max(0, d), 24 + min(0, d)), slice(max(0, -d), 24 + min(0, -d))) for d in (dy, dx)]
        p, q = a[:, ys[0], xs[0]], b[:, ys[1], xs[1]]
        p, q = (v - v.mean((1, 2), keepdims=True) for v in (p, q))
        expected.append((p * q).sum() / np.sqrt((p * p).sum() * (q * q).sum()))
    _, fine, *_ = scene_changes(a, b)
    assert 1 - fine == pytest.approx(max(expected), abs=1e-9)


def test_threshold_is_the_limit_of_the_score():
    a, b = SCENES[:2]
    limit = score(a, b)
    assert cuts([a, b], SceneCutDetector(limit - 0.01)) == [1]
    assert cuts([a, b], SceneCutDetector(limit + 0.01)) == []


@pytest.mark.parametrize("threshold", [0, -1, 2, math.nan])
def test_impossible_threshold(threshold):
    with pytest.raises(StudioError, match="threshold"):
        SceneCutDetector(threshold)


def test_state_can_be_taken_and_given_back():
    a, b = SCENES[:2]
    detector = SceneCutDetector()
    assert detector.state is None
    detector.is_cut(a)
    state = detector.state
    assert isinstance(state, Tensor)
    copy = state.clone()
    assert detector.is_cut(b)
    assert torch.equal(state, copy)  # a value: later frames leave it alone
    other = SceneCutDetector()
    other.state = state
    assert not other.is_cut(a)
    assert other.is_cut(b)
    other.state = None
    assert not other.is_cut(a)
    detector.reset()
    assert detector.state is None
    assert not detector.is_cut(a)
    with pytest.raises(AssertionError, match=r"\[3, 26, 26\]"):
        detector.state = torch.zeros(3, 5, 5)


def test_the_frame_is_not_kept():
    frame = SCENES[0].clone()
    detector = SceneCutDetector()
    detector.is_cut(frame)
    frame.copy_(SCENES[1])  # a reader's buffer, filled anew
    assert detector.is_cut(frame)
    leaf = SCENES[2].clone().requires_grad_()
    detector.is_cut(leaf)
    assert detector.state is not None
    assert not detector.state.requires_grad


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.uint16]
)
def test_every_kind_of_number_means_the_same(dtype):
    peak = {torch.uint8: 255, torch.uint16: 65535}.get(dtype, 1)
    frames = [SCENES[i] for i in (0, 0, 1, 1, 2)]
    converted = [(f * peak).round().numpy() if peak > 1 else f for f in frames]
    converted = [torch.as_tensor(f).to(dtype) for f in converted]
    assert cuts(converted) == [2, 4]
    assert (thumbnail(converted[0]) - thumbnail(frames[0])).abs().max() < 4e-3
    assert cuts([torch.zeros(3, 9, 9).to(dtype), converted[0]]) == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (3, 500), (23, 25), (101, 135), (1081, 481)])
def test_any_size(height, width):
    first, second = scene(0, height, width), scene(1, height, width)
    assert thumbnail(first).shape == (3, 26, 26)
    fired = cuts([first, first, second, second])
    assert fired in ([], [2])
    if min(height, width) >= 23:
        assert fired == [2]
    if height == width == 1:
        assert fired == []


def test_size_may_change_between_frames():
    assert cuts([scene(0), scene(0, 216, 384), scene(0, 54, 96), scene(1, 216, 384)]) == [3]


def test_thumbnail_is_the_average(portrait):
    """Of all pixels in a small frame, of evenly spread ones in a large."""
    small = SCENES[0][:, :104, :182]
    torch.testing.assert_close(thumbnail(small), F.avg_pool2d(small, (4, 7)))
    for height, width in ((2160, 3840), (1081, 1999), (719, 479)):
        ramp = torch.stack(
            [
                ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width),
                ((torch.arange(width) + 0.5) / width).expand(height, width),
                torch.full((height, width), 0.25),
            ]
        )
        center = (torch.arange(26) + 0.5) / 26
        true = torch.stack([center[:, None].expand(26, 26), center.expand(26, 26), torch.full((26, 26), 0.25)])
        # No cell is off by more than one of the 240 samples along a side.
        assert (thumbnail(ramp) - true).abs().max() < 1 / 240
    interleaved = portrait.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(thumbnail(interleaved), thumbnail(portrait))


def test_parts_shown():
    """Rows black in both go, with one more at each side; a picture without bars loses its outermost cells only."""
    a, b = torch.rand(2, 3, 26, 26, generator=torch.Generator().manual_seed(0)).add(0.1).unbind(0)
    a[:, :6] = b[:, :4] = 0
    a[:, :, -5:] = b[:, :, -3:] = 0
    for found, true in zip(shown_parts(a, b), (a, b), strict=True):
        np.testing.assert_array_equal(found, true[:, 5:25, 1:22].double().numpy())
    nearly_black = torch.zeros(3, 26, 26)
    nearly_black[:, 10:13, 10:13] = 1
    assert shown_parts(nearly_black, nearly_black)[0].shape == (3, 26, 26)
    assert shown_parts(nearly_black * 0, nearly_black * 0)[0].shape == (3, 26, 26)


def test_wrong_frames_are_named():
    detector = SceneCutDetector()
    for frame, message in (
        (torch.zeros(1, 3, 8, 8), r"\[3, H, W\] expected, got \[1, 3, 8, 8\]"),
        (torch.zeros(8, 8, 3), r"\[3, H, W\] expected, got \[8, 8, 3\]"),
        (torch.zeros(3, 0, 8), "empty"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), "got torch.int32"),
    ):
        with pytest.raises(AssertionError, match=message):
            detector.is_cut(frame)
