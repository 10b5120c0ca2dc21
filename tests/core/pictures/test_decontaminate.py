"""Old backgrounds taken out of composites whose parts are known, and spill against the colourists' rule."""

# T frames, C channels, H, W

import math

import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures import decontaminate as module
from rvm_studio.core.pictures.alpha_ops import composite
from rvm_studio.core.pictures.decontaminate import decontaminate, despill
from scipy.ndimage import uniform_filter

SKIN, GREEN = (0.7, 0.45, 0.35), (0.1, 0.8, 0.2)


def soft_disc(height: int, width: int, softness: float) -> torch.Tensor:
    """[1, 1, H, W] float64: a disc whose edge takes `softness` pixels from 0 to 1."""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    distance = torch.hypot(y - height / 2, x - width / 2) - min(height, width) / 4
    return (0.5 - distance / softness).clamp(0, 1)[None, None]


def sloping(color, height: int, width: int, slope: float) -> torch.Tensor:
    """[1, 3, H, W] float64: a colour that changes by `slope` from the left to the right, and as much downwards."""
    ramp = slope * (torch.linspace(-0.5, 0.5, width).double() + torch.linspace(-0.5, 0.5, height).double()[:, None])
    return torch.tensor(color).double().view(1, 3, 1, 1) + ramp * torch.tensor([1.0, -1.0, 0.5]).view(1, 3, 1, 1)


def visible_error(fgr: torch.Tensor, true_fgr: torch.Tensor, pha: torch.Tensor) -> float:
    """What is seen of the difference in a composite, mean over the soft edge."""
    soft = (pha > 0.02) & (pha < 0.98)
    return ((fgr - true_fgr).abs() * pha).mean(1, keepdim=True)[soft].mean().item()


@pytest.mark.parametrize(("softness", "slope", "part"), [(4, 0, 0.02), (20, 0, 0.1), (4, 0.3, 0.25), (20, 0.3, 0.25)])
def test_the_foreground_of_a_known_composite_is_found(softness, slope, part):
    """What is left of the error is at most `part` of that of the source."""
    height, width = 271, 363
    pha = soft_disc(height, width, softness)
    fgr, bgr = sloping(SKIN, height, width, slope), sloping(GREEN, height, width, slope)
    src = composite(fgr, pha, bgr)
    assert visible_error(decontaminate(src, pha), fgr, pha) < part * visible_error(src, fgr, pha)


def test_no_green_is_left_over_another_background():
    pha = soft_disc(200, 240, 8)
    fgr, bgr = sloping(SKIN, 200, 240, 0.1), sloping(GREEN, 200, 240, 0.1)
    black = torch.zeros(1, 3, 1, 1, dtype=torch.float64)
    wanted, halo = composite(fgr, pha, black), composite(composite(fgr, pha, bgr), pha, black)
    clean = composite(decontaminate(composite(fgr, pha, bgr), pha), pha, black)
    assert (clean - wanted).abs().max() < (halo - wanted).abs().max() / 5


def blur_fusion(src: np.ndarray, pha: np.ndarray) -> np.ndarray:
    """src [3, H, W], pha [H, W]: the paper's two passes at full size, with scipy's box filter."""

    def box(x, radius):
        size = 2 * radius + 1
        return uniform_filter(x, (0, size, size) if x.ndim == 3 else size, mode="constant")

    fgr = bgr = src
    for radius in (90, 6):
        fgr_mean = (box(fgr * pha, radius) + 1e-5 * src) / (box(pha, radius) + 1e-5)
        bgr_mean = (box(bgr * (1 - pha), radius) + 1e-5 * src) / (box(1 - pha, radius) + 1e-5)
        fgr = np.clip(fgr_mean + pha * (src - pha * fgr_mean - (1 - pha) * bgr_mean), 0, 1)
        bgr = bgr_mean
    return fgr


@pytest.mark.parametrize(("height", "width", "softness"), [(203, 331, 6), (260, 97, 40), (64, 128, 3)])
def test_working_at_reduced_size_changes_next_to_nothing(height, width, softness):
    rng = torch.Generator().manual_seed(0)
    pha = soft_disc(height, width, softness)
    noise = 0.1 * torch.randn(2, 3, height, width, generator=rng).double()
    src = composite(sloping(SKIN, height, width, 0.3) + noise[:1], pha, sloping(GREEN, height, width, 0.3) + noise[1:])
    src = src.clamp(0, 1)
    expected = blur_fusion(src[0].numpy(), pha[0, 0].numpy())
    assert np.abs((decontaminate(src, pha)[0].numpy() - expected) * pha[0].numpy()).max() < 0.002


@pytest.mark.parametrize("band", [8, 24, 1000])
def test_bands_cannot_be_seen(monkeypatch, band):
    src, pha = torch.rand(1, 3, 141, 50), soft_disc(141, 50, 10).float()
    expected = decontaminate(src, pha)
    monkeypatch.setattr(module, "BAND", band)
    assert torch.allclose(decontaminate(src, pha), expected, atol=1e-6)


def test_frames_do_not_know_of_each_other():
    src, pha = torch.rand(3, 3, 40, 31), torch.rand(3, 1, 40, 31)
    together = decontaminate(src, pha)
    assert torch.equal(torch.cat([decontaminate(src[t : t + 1], pha[t : t + 1]) for t in range(3)]), together)


def test_strength_and_the_solid_part():
    src, pha = torch.rand(2, 3, 30, 41), (torch.rand(2, 1, 30, 41) * 2).clamp(0, 1)
    assert torch.equal(decontaminate(src, pha, 0), src)
    full, half = decontaminate(src, pha), decontaminate(src, pha, 0.5)
    assert torch.allclose(half, (src + full) / 2, atol=1e-6)
    solid = (pha == 1).expand_as(src)
    assert torch.equal(full[solid], src[solid])
    assert not torch.equal(full[~solid], src[~solid])


def test_a_known_foreground_is_taken():
    src, fgr, pha = torch.rand(2, 3, 5, 6), torch.rand(2, 3, 5, 6), torch.rand(2, 1, 5, 6)
    pha[0] = 1
    assert torch.equal(decontaminate(src, pha, 1, fgr), torch.cat([src[:1], fgr[1:]]))
    assert torch.allclose(decontaminate(src, pha, 0.25, fgr)[1], 0.75 * src[1] + 0.25 * fgr[1], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_and_everything_in_front(value):
    """Where nobody is, nothing is known of a foreground, and the source stays."""
    src = torch.rand(1, 3, 33, 21)
    assert torch.allclose(decontaminate(src, torch.full((1, 1, 33, 21), value)), src, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_and_untouched_inputs(dtype):
    src, pha = torch.rand(2, 3, 25, 19).to(dtype), torch.rand(2, 1, 25, 19).to(dtype)
    kept = src.clone(), pha.clone()
    for result, expected in (
        (decontaminate(src, pha, 0.9), decontaminate(src.float(), pha.float(), 0.9)),
        (decontaminate(src, pha, 0.9, src.flip(3)), decontaminate(src.float(), pha.float(), 0.9, src.flip(3).float())),
        (despill(src, GREEN, 0.9), despill(src.float(), GREEN, 0.9)),
    ):
        assert result.dtype == dtype
        assert torch.allclose(result.float(), expected, atol=0.01)
    assert torch.equal(src, kept[0])
    assert torch.equal(pha, kept[1])


def test_no_frames_and_one_pixel():
    assert decontaminate(torch.rand(0, 3, 4, 5), torch.rand(0, 1, 4, 5)).shape == (0, 3, 4, 5)
    assert despill(torch.rand(0, 3, 4, 5), GREEN).shape == (0, 3, 4, 5)
    one = torch.tensor(SKIN).view(1, 3, 1, 1)
    assert torch.allclose(decontaminate(one, torch.full((1, 1, 1, 1), 0.5)), one, atol=1e-4)
    assert torch.equal(despill(one, GREEN), one)


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan, "all"])
def test_wrong_strengths(strength):
    src, pha = torch.rand(1, 3, 4, 5), torch.rand(1, 1, 4, 5)
    with pytest.raises(StudioError, match=r"decontamination strength is .* expected a number from 0 to 1"):
        decontaminate(src, pha, strength)
    with pytest.raises(StudioError, match=r"despill strength is .* expected a number from 0 to 1"):
        despill(src, GREEN, strength)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("brightness", [1.0, 0.4])
def test_a_pure_screen_is_limited_by_the_classic_rule(channel, brightness):
    """Green (red, blue) is at most the larger of the other two, which stay as they are."""
    fgr = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    color = [brightness if c == channel else 0.0 for c in range(3)]
    others = [c for c in range(3) if c != channel]
    expected = fgr.clone()
    expected[:, channel] = fgr[:, channel].minimum(fgr[:, others].amax(1))
    assert torch.allclose(despill(fgr, color), expected, atol=1e-12)
    assert torch.allclose(despill(fgr, color, 0.3), torch.lerp(fgr, expected, 0.3), atol=1e-12)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_mixed_screen_is_limited_by_the_opposite_rule(channel):
    """Yellow is red and green: what the smaller of them exceeds blue by goes from both."""
    fgr = torch.rand(1, 3, 40, 50, dtype=torch.float64)
    color = [0.0 if c == channel else 0.9 for c in range(3)]
    others = [c for c in range(3) if c != channel]
    excess = (fgr[:, others].amin(1) - fgr[:, channel]).clamp(min=0)
    expected = fgr.clone()
    for c in others:
        expected[:, c] -= excess
    assert torch.allclose(despill(fgr, color), expected, atol=1e-12)


@pytest.mark.parametrize("color", [(0, 0.694, 0.251), (0.2, 0.3, 0.9), (0.9, 0.5, 0.1), (0.5, 1, 0), (0.52, 0.55, 0.5)])
def test_no_hue_stays_within_60_degrees_of_the_spills(color):
    fgr = torch.rand(1, 3, 200, 200, dtype=torch.float64)
    fgr[:, :, :20] = fgr[:, :, :20].round()  # pure colours too

    def hue(x):
        """Angle and length of the chroma (Preucil's hue circle)."""
        red, green, blue = (np.asarray(c) for c in x)
        a, b = red - (green + blue) / 2, (green - blue) * np.sqrt(3) / 2
        return np.arctan2(b, a), np.hypot(a, b)

    def degrees_away(x):
        angle, chroma = hue(x)
        away = np.degrees(angle - hue(color)[0])
        return np.where(chroma < 1e-9, 180, np.abs((away + 180) % 360 - 180))

    clean = despill(fgr, color)
    before, after = degrees_away(fgr[0].numpy()), degrees_away(clean[0].numpy())
    assert before.min() < 10
    assert after.min() > 60 - 1e-5
    assert np.array_equal(clean[0].numpy()[:, before >= 60 + 1e-5], fgr[0].numpy()[:, before >= 60 + 1e-5])
    assert clean.min() >= 0
    assert clean.max() <= 1


def test_skin_is_not_touched_by_a_green_or_blue_screen():
    tones = torch.tensor([(0.95, 0.8, 0.7), (0.7, 0.5, 0.4), (0.35, 0.2, 0.15)]).T.view(1, 3, 1, 3)
    for screen in ((0, 1, 0), (0, 0.694, 0.251), (0, 0, 1), (0.1, 0.2, 0.8)):
        assert torch.equal(despill(tones, screen), tones)


def test_despill_of_strength_0_changes_nothing():
    fgr = torch.rand(1, 3, 4, 5)
    assert torch.equal(despill(fgr, GREEN, 0), fgr)


@pytest.mark.parametrize("color", [(0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1), (0.5, 0.51, 0.5)])
def test_grey_has_no_hue_to_remove(color):
    with pytest.raises(StudioError, match="is grey: it has no hue"):
        despill(torch.rand(1, 3, 4, 5), color)


@pytest.mark.parametrize("color", [(0, 1), (0, 1, 0, 1), (0, 177, 64), (0, -0.1, 0), (0, math.nan, 0)])
def test_wrong_colours(color):
    with pytest.raises(StudioError, match="expected red, green and blue, each from 0 to 1"):
        despill(torch.rand(1, 3, 4, 5), color)
