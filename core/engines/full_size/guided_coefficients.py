"""From the network's small matte to the guided filter's coefficients A and b (see core/network/guided_filter.py), for
only the wanted channels, and always in float32: variances are differences of nearly equal numbers.
"""

# N frames, C channels (4: R, G, B and mean / alpha; or 1, the last of them), h, w small size

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...network.guided_filter import DeepGuidedFilterRefiner, FastGuidedFilterRefiner, GuidedFilterRefiner, with_mean
from ...pictures.pixel_format import pictures_from_frames
from .kernel_runner import compiled_kernels, run_rows


def coefficients(
    refiner: GuidedFilterRefiner | None, small: Tensor, matte: Tensor, slope: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """small [N, 3, h, w] and matte [N, C, h, w], float32 -> [N, 2C, h, w]: A, then b.

    refiner: None where the small size is the full one: A = 0.
    slope: for the deep guided filter, its learned part: statistics [N, 2C, h, w] -> A [N, C or less, h, w], of the
    last channels.
    """
    if refiner is None:
        return torch.cat([torch.zeros_like(matte), matte], 1)
    kernels = compiled_kernels() if matte.device.type == "cpu" else None
    if slope is None and kernels is not None:
        out = torch.empty(len(matte), 2 * matte.shape[1], *matte.shape[-2:])
        epsilon = np.float32(FastGuidedFilterRefiner.epsilon)
        for x, y, target in zip(pictures_from_frames(small), pictures_from_frames(matte), out.numpy(), strict=True):
            run_rows(kernels.least_squares, out.shape[2], x, y, epsilon, target)
        return out
    statistics, means = neighbourhoods(small, matte, box_weights(refiner, small.device))
    if slope is None:
        (cov, var), (mean_x, mean_y) = statistics.chunk(2, 1), means.chunk(2, 1)
        A = cov / (var + FastGuidedFilterRefiner.epsilon)  # noqa: N806 - the papers' name
    else:
        A = slope(statistics)  # noqa: N806
        if kernels is not None:
            out = torch.empty(len(A), 2 * A.shape[1], *A.shape[-2:])
            for slopes, their_means, target in zip(pictures_from_frames(A), means.numpy(), out.numpy(), strict=True):
                run_rows(kernels.offsets, out.shape[2], slopes, their_means, target)
            return out
        mean_x, mean_y = (mean[:, -A.shape[1] :] for mean in means.chunk(2, 1))
    return torch.cat([A, torch.addcmul(mean_y, A, mean_x, value=-1)], 1)


def neighbourhoods(small: Tensor, matte: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """small [N, 3, h, w], matte [N, C, h, w], box weights [4, 3, 3] -> two tensors [N, 2C, h, w]: covariance and
    variance; the means of x and y."""
    C = matte.shape[1]  # noqa: N806
    kernels = compiled_kernels() if matte.device.type == "cpu" else None
    if kernels is None:
        x = with_mean(small)[:, -C:]

        def box(values: Tensor) -> Tensor:
            return F.conv2d(values, weights[-C:, None], padding=1, groups=C)

        mean_x, mean_y = box(x), box(matte)
        cov, var = box(x * matte) - mean_x * mean_y, box(x * x) - mean_x * mean_x
        return torch.cat([cov, var], 1), torch.cat([mean_x, mean_y], 1)
    N, h, w = len(matte), *matte.shape[-2:]  # noqa: N806
    statistics, means = torch.empty(N, h, w, 2 * C), torch.empty(N, 2 * C, h, w)
    for x, y, out, out_means in zip(
        pictures_from_frames(small), pictures_from_frames(matte), statistics.numpy(), means.numpy(), strict=True
    ):
        run_rows(kernels.statistics, h, x, y, weights.numpy(), out, out_means)
    return statistics.permute(0, 3, 1, 2), means


def box_weights(refiner: GuidedFilterRefiner, device: torch.device) -> Tensor:
    """[4, 3, 3] float32 on the device: what the neighbours count."""
    if isinstance(refiner, DeepGuidedFilterRefiner):
        return refiner.box_filter.weight.detach()[:, 0].to(device, torch.float32)
    return torch.full((4, 3, 3), 1 / 9, device=device)
