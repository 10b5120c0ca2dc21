"""The network's view of HDR: against the numbers of the standards, and SDR that went to HDR and back."""

import math

import pytest
import torch
from rvm_studio.core.pictures.view import HLG, PQ, View, hdr_view, hlg_to_light, light_to_pq, pq_to_light

TO_2020 = torch.tensor([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def grey(*levels: float) -> torch.Tensor:
    return torch.tensor(levels).view(1, 1, 1, -1).expand(1, 3, 1, -1)


@pytest.mark.parametrize(("level", "light"), [(0.0, 0), (0.508078, 100), (0.580690, 203), (0.751827, 1000), (1, 10000)])
def test_pq_as_in_bt2408(level, light):
    """The levels of BT.2408, annex 1 (51 % is 100 cd/m2, 58 % is 203, 75 % is 1000)."""
    assert pq_to_light(torch.tensor(level)).item() == pytest.approx(light, rel=2e-3, abs=1e-3)
    assert light_to_pq(torch.tensor(float(light))).item() == pytest.approx(level, abs=1e-4)


@pytest.mark.parametrize(("level", "light"), [(0.0, 0), (0.5, 1000 * (1 / 12) ** 1.2), (0.75, 203), (1.0, 1000)])
def test_hlg_as_in_bt2100(level, light):
    """75 % is 203 cd/m2 on a display of 1000 (BT.2408); 50 % is 1/12 of the scene."""
    assert hlg_to_light(grey(level))[0, 0, 0, 0].item() == pytest.approx(light, rel=2e-3, abs=1e-3)


def sdr_as(transfer: int, sdr: torch.Tensor, white: float) -> torch.Tensor:
    """SDR [N, 3, h, w], shown with this white in cd/m2, in HDR's values; from the formulas, not from the code."""
    light = torch.einsum("ij,njhw->nihw", TO_2020, sdr**2.4) * white
    if transfer == PQ:
        y = (light / 10000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    display = light / 1000
    luma = (display * torch.tensor([0.2627, 0.6780, 0.0593]).view(3, 1, 1)).sum(1, keepdim=True)
    scene = display * luma.clamp_min(1e-12) ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return torch.where(scene <= 1 / 12, (3 * scene).sqrt(), a * (12 * scene - b).clamp_min(1e-9).log() + c)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_sdr_comes_back_but_for_highlights(transfer):
    sdr = 0.2 + 0.8 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    seen = hdr_view(transfer)(sdr_as(transfer, sdr, 203))
    dark = sdr.amax(1, keepdim=True).expand_as(sdr) < 0.7  # below the knee at 0.72
    assert (seen - sdr)[dark].abs().max() < 0.005
    assert (seen - sdr).abs().max() < 0.12
    assert (seen - sdr).abs().mean() < 0.03


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_greys_ascend_and_stay_grey(transfer):
    seen = hdr_view(transfer)(grey(*torch.linspace(0, 1, 256).tolist()))
    assert (seen.amax(1) - seen.amin(1)).max() < 2e-3
    steps = seen[0, 1, 0].diff()
    assert (steps >= -1e-6).all()
    assert seen[0, 1, 0, 0] == 0
    assert seen[0, 1, 0, -1] > 0.999  # 1000 cd/m2 is white


def test_nothing_gets_out_of_range():
    for transfer in (PQ, HLG):
        for picture in (torch.rand(1, 3, 8, 8) * 3 - 1, torch.eye(3).view(1, 3, 3, 1), torch.ones(1, 3, 1, 1)):
            seen = hdr_view(transfer)(picture)
            assert seen.isfinite().all()
            assert seen.min() >= 0
            assert seen.max() <= 1


def test_type_and_memory_order_stay():
    picture = torch.rand(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    assert hdr_view(PQ)(picture).is_contiguous(memory_format=torch.channels_last)
    assert hdr_view(PQ)(picture.contiguous()).is_contiguous()
    assert hdr_view(PQ)(picture.half()).dtype == torch.float16
    assert hdr_view(PQ) is hdr_view(PQ)


def test_a_picture_does_not_depend_on_its_neighbours():
    """In float64: near black, the display's gamma makes a large difference of a rounding."""
    pictures = torch.rand(3, 3, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mapping = hdr_view(HLG)._mapping
    alone = torch.cat([mapping(one) for one in pictures.split(1)])
    assert torch.allclose(mapping(pictures), alone, rtol=0, atol=1e-6)


def test_a_residual_goes_back_through_the_curve():
    """A view that squares: seen 0.25 is 0.5 of the source, seen 0.36 is 0.6."""
    view = View(lambda x: x * x, "squared")
    back = view.residual_of_source(torch.full((1, 3, 1, 1), 0.11), torch.full((1, 3, 1, 1), 0.25))
    assert back.flatten().tolist() == pytest.approx([0.1] * 3, abs=2e-3)
    nothing = view.residual_of_source(torch.zeros(1, 3, 4, 4), torch.rand(1, 3, 4, 4))
    assert torch.equal(nothing, torch.zeros(1, 3, 4, 4))


def test_a_flat_or_falling_curve_gives_no_nonsense():
    for mapping in (torch.zeros_like, lambda x: 1 - x, lambda x: (x > 0.5).float()):
        view = View(mapping, "odd")
        back = view.residual_of_source(torch.rand(1, 3, 4, 4) - 0.5, torch.rand(1, 3, 4, 4))
        assert back.isfinite().all()
        assert back.abs().max() <= 1.5
    assert math.isfinite(float(hdr_view(PQ).residual_of_source(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).max()))


def test_the_matte_of_what_was_seen_becomes_that_of_the_source():
    view = View(lambda x: x * x, "squared")
    seen, alpha = torch.full((1, 3, 2, 2), 0.25), torch.rand(1, 1, 2, 2)
    assert view.matte_of_source(alpha, seen) is alpha
    residual = torch.full((1, 3, 2, 2), 0.11)
    both = view.matte_of_source(torch.cat([residual, alpha], 1), seen)
    assert torch.equal(both, torch.cat([view.residual_of_source(residual, seen), alpha], 1))
