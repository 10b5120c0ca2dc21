"""Guided-filter refiners (paper section 3.3): from a small matte and the full-size picture to a full-size matte.

Both model the matte y (foreground residual and alpha) as A * x + b of the picture x (RGB and its mean) in 3x3
neighbourhoods of the small size, then upsample A and b: `coefficients` runs at the small size,
`apply_coefficients` at the full size. They differ in how A is computed: by least squares (He et al., "Fast Guided
Filter", arXiv 1505.00996) or by a learned network (Wu et al., "Fast End-to-End Trainable Guided Filter", CVPR 2018).
"""

# N = B*T frames, C channels, h, w small size, H, W full size; x, y, A, b have 4 channels: R, G, B and mean / alpha

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..machine.device import at_least_float32, no_autocast


def with_mean(src: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 4, H, W]: the picture and the mean of its channels, which guides alpha."""
    return torch.cat([src, src.mean(1, keepdim=True)], 1)


class GuidedFilterRefiner(nn.Module, ABC):
    """Common base class; a subclass defines `box` (the 3x3 mean) and `slope` (A)."""

    @abstractmethod
    def box(self, x: Tensor) -> Tensor:
        """The 3x3 mean of every channel."""

    @abstractmethod
    def slope(self, cov_xy: Tensor, var_x: Tensor, hid: Tensor) -> Tensor:
        """A, computed from the covariance and variance of the neighbourhoods and the hidden features."""

    def coefficients(self, small_src: Tensor, fgr: Tensor, pha: Tensor, hid: Tensor) -> tuple[Tensor, Tensor]:
        """small_src, fgr (residual) [N, 3, h, w], pha [N, 1, h, w], hid [N, 16, h, w] -> A, b [N, 4, h, w],
        at least float32."""
        with no_autocast(small_src):
            # Variances are differences of nearly equal numbers: half precision would lose them.
            x = at_least_float32(with_mean(small_src))
            y = torch.cat([at_least_float32(fgr), at_least_float32(pha)], 1)
            mean_x, mean_y = self.box(x), self.box(y)
            cov_xy = self.box(x * y) - mean_x * mean_y
            var_x = self.box(x * x) - mean_x * mean_x
        A = self.slope(cov_xy, var_x, hid)  # noqa: N806 - the papers' name
        return A, mean_y - A * mean_x

    def apply_coefficients(self, A: Tensor, b: Tensor, src: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803
        """A, b [N, 4, h, w] and src [N, 3, H, W] -> fgr residual [N, 3, H, W], pha [N, 1, H, W], not clamped."""
        size = src.shape[-2:]
        A, b = (F.interpolate(c, size, mode="bilinear", align_corners=False) for c in (A, b))  # noqa: N806
        y = (A * with_mean(src) + b).to(src.dtype)
        return y[:, :3], y[:, 3:]

    def forward(self, src: Tensor, small_src: Tensor, fgr: Tensor, pha: Tensor, hid: Tensor) -> tuple[Tensor, Tensor]:
        A, b = self.coefficients(small_src, fgr, pha, hid)  # noqa: N806
        return self.apply_coefficients(A, b, src)


class DeepGuidedFilterRefiner(GuidedFilterRefiner):
    """A is the output of a small network on covariance, variance and hidden features."""

    def __init__(self, hid_channels: int = 16):
        super().__init__()
        self.box_filter = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        nn.init.constant_(self.box_filter.weight, 1 / 9)  # initially a mean; trained with the rest
        self.conv = nn.Sequential(
            nn.Conv2d(4 * 2 + hid_channels, hid_channels, 1, bias=False),
            nn.BatchNorm2d(hid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(hid_channels, hid_channels, 1, bias=False),
            nn.BatchNorm2d(hid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(hid_channels, 4, 1),
        )

    def box(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.box_filter.weight.to(x.dtype), padding=1, groups=4)

    def slope(self, cov_xy: Tensor, var_x: Tensor, hid: Tensor) -> Tensor:
        joined = torch.cat([cov_xy.to(hid.dtype), var_x.to(hid.dtype), hid], 1)
        return self.conv(joined).to(cov_xy.dtype)


class FastGuidedFilterRefiner(GuidedFilterRefiner):
    """A = cov / (var + 1e-5), without parameters. Ill-conditioned: float32 differs from float64 by up to 2e-4."""

    epsilon = 1e-5

    def box(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1)  # zero padding counts, as in the official filter

    def slope(self, cov_xy: Tensor, var_x: Tensor, hid: Tensor) -> Tensor:
        return cov_xy / (var_x + self.epsilon)


REFINERS = {"deep_guided_filter": DeepGuidedFilterRefiner, "fast_guided_filter": FastGuidedFilterRefiner}
