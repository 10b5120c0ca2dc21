"""What the network sees where a clip is not ordinary SDR video: its small picture, mapped to SDR. The outputs keep the
source's own values, and so does the guide of the refiner, whose two pictures (small and full size) must match; only the
input of the backbone and decoder is mapped.

HDR: ITU-R BT.2100 (PQ's EOTF, which is SMPTE ST 2084; HLG's inverse OETF and OOTF for a display of 1000 cd/m2), then
the EETF of ITU-R BT.2390-10, section 5.4.1, applied to the largest channel so that hues stay, from 1000 cd/m2 to the
203 cd/m2 that ITU-R BT.2408 gives to a white surface in HDR; then BT.2020 to BT.709 primaries (ITU-R BT.2087) and the
inverse of BT.1886 (gamma 2.4). Without metadata, 1000 cd/m2 is assumed for PQ too; anything brighter becomes white.
"""

# N frames, h, w small size

import functools
from collections.abc import Callable

import torch
from torch import Tensor

PQ, HLG = 16, 18  # H.273 codes of transfers

_PEAK = 1000.0  # cd/m2
_WHITE = 203.0
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A = 0.17883277
_HLG_B, _HLG_C = 1 - 4 * _HLG_A, 0.55991073
_HLG_GAMMA = 1.2  # for 1000 cd/m2
_LUMA_2020 = (0.2627, 0.6780, 0.0593)
_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
_DISPLAY_GAMMA = 2.4
_CURVE_STEPS = 1024


class View:
    """A mapping of small pictures for the network.

    Args:
        mapping: [N, 3, h, w] float32, the source's own values 0..1 -> the same shape, what the network is to see.
        name: What it does, in words.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> view = core.hdr_view(16)  # PQ
        >>> [round(x, 2) for x in view(torch.full((1, 3, 1, 1), 0.58)).flatten().tolist()]
        [0.9, 0.9, 0.9]
    """

    def __init__(self, mapping: Callable[[Tensor], Tensor], name: str):
        self.name = name
        self._mapping = mapping
        self._inverses: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, small: Tensor) -> Tensor:
        """[N, 3, h, w] floats, 0..1 -> the same shape, type and memory order, 0..1."""
        seen = self._mapping(small.float().clamp(0, 1)).clamp(0, 1).to(small.dtype)
        order = (
            torch.channels_last if small.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        )
        return seen.contiguous(memory_format=order)

    def residual_of_source(self, residual: Tensor, seen: Tensor) -> Tensor:
        """The foreground's difference from what was seen -> its difference from the source's own values.

        Both ends of the difference go through the inverse of the mapping's curve for greys: exact for greys, near for
        other colours, and 0 stays 0.

        Args:
            residual: [N, 3, h, w], the network's.
            seen: [N, 3, h, w], what the view made.
        """
        seen = seen.float()
        return (self._unseen(seen + residual.float()) - self._unseen(seen)).to(residual.dtype)

    def matte_of_source(self, matte: Tensor, seen: Tensor) -> Tensor:
        """The network's result for what was seen -> that for the source: alpha stays, colours see `residual_of_source`.

        Args:
            matte: [N, 1, h, w] alpha, or [N, 4, h, w] the foreground's difference and alpha.
            seen: [N, 3, h, w], what the view made.
        """
        if matte.shape[1] == 1:
            return matte
        residual, pha = matte.float().split([3, 1], 1)
        return torch.cat([self.residual_of_source(residual, seen), pha], 1)

    def _unseen(self, values: Tensor) -> Tensor:
        """Values that are seen -> the greys of the source that look so."""
        levels, steps = self._inverse(values.device)
        inside = values.clamp(0, 1)  # the filter that follows needs what is beyond, too
        place = inside * (len(levels) - 1)
        below = place.int()
        return levels[below] + steps[below] * (place - below) + (values - inside)

    def _inverse(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Levels [_CURVE_STEPS] of the source that are seen as 0..1, and the step to the next one of each."""
        if device not in self._inverses:
            greys = torch.linspace(0, 1, 4 * _CURVE_STEPS, dtype=torch.float64)
            seen = self(greys.float().view(1, 1, 1, -1).expand(1, 3, 1, -1)).double().mean(1).flatten()
            curve = seen.cummax(0).values + greys * 1e-4  # strictly ascending
            wanted = torch.linspace(0, 1, _CURVE_STEPS, dtype=torch.float64)
            above = torch.searchsorted(curve, wanted).clamp(1, len(curve) - 1)
            low, high = curve[above - 1], curve[above]
            levels = (above - 1 + ((wanted - low) / (high - low)).clamp(0, 1)) / (len(curve) - 1)
            steps = torch.cat([levels.diff(), levels.new_zeros(1)])
            self._inverses[device] = levels.float().to(device), steps.float().to(device)
        return self._inverses[device]


@functools.cache
def hdr_view(transfer: int) -> View:
    """The view of an HDR clip in BT.2020 colours.

    Args:
        transfer: H.273 code: 16 (PQ) or 18 (HLG).

    Returns:
        The view: PQ or HLG pictures as an SDR display would show them.

    Example:
        >>> from rvm_studio import core
        >>> core.hdr_view(18).name
        'HLG as SDR'
    """
    assert transfer in (PQ, HLG), transfer
    return View(_pq_as_sdr, "PQ as SDR") if transfer == PQ else View(_hlg_as_sdr, "HLG as SDR")


def _pq_as_sdr(x: Tensor) -> Tensor:
    return _as_sdr(pq_to_light(x))


def _hlg_as_sdr(x: Tensor) -> Tensor:
    return _as_sdr(hlg_to_light(x))


def pq_to_light(x: Tensor) -> Tensor:
    """PQ's values 0..1 -> cd/m2 (BT.2100, table 4)."""
    power = x.pow(1 / _M2)
    return 10_000 * ((power - _C1).clamp_min(0) / (_C2 - _C3 * power)).pow(1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """cd/m2 -> PQ's values 0..1."""
    power = (light.clamp_min(0) / 10_000).pow(_M1)
    return ((_C1 + _C2 * power) / (1 + _C3 * power)).pow(_M2)


_PQ_PEAK, _PQ_WHITE = (float(light_to_pq(torch.tensor(x, dtype=torch.float64))) for x in (_PEAK, _WHITE))


def hlg_to_light(x: Tensor) -> Tensor:
    """HLG's values [.., 3, h, w], 0..1 -> cd/m2 on a display of 1000 cd/m2 (BT.2100, table 5)."""
    scene = torch.where(x <= 0.5, x * x / 3, (((x - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12)
    luma = sum(weight * channel for weight, channel in zip(_LUMA_2020, scene.unbind(-3), strict=True))
    assert isinstance(luma, Tensor)
    return _PEAK * luma.clamp_min(1e-9).pow(_HLG_GAMMA - 1).unsqueeze(-3) * scene


def _as_sdr(light: Tensor) -> Tensor:
    """cd/m2 in BT.2020 colours [.., 3, h, w] -> SDR 0..1 in BT.709 colours."""
    peak = light.amax(-3, keepdim=True).clamp_min(1e-6)
    light = light * (_less_range(peak) / peak) / _WHITE
    red, green, blue = light.unbind(-3)
    linear = torch.stack([a * red + b * green + c * blue for a, b, c in _TO_709], -3)
    return linear.clamp(0, 1).pow(1 / _DISPLAY_GAMMA)


def _less_range(light: Tensor) -> Tensor:
    """The EETF of BT.2390: cd/m2 up to _PEAK -> up to _WHITE; the darker part stays, the brighter is compressed."""
    source = _PQ_PEAK
    most = _PQ_WHITE / source
    knee = 1.5 * most - 0.5
    level = (light_to_pq(light) / source).clamp(max=1)
    t = (level - knee) / (1 - knee)
    t2, t3 = t * t, t * t * t
    spline = (2 * t3 - 3 * t2 + 1) * knee + (t3 - 2 * t2 + t) * (1 - knee) + (3 * t2 - 2 * t3) * most
    return pq_to_light(torch.where(level < knee, level, spline) * source)
