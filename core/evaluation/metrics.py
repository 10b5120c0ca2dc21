"""Metrics of video matting as in the official evaluation: MAD, MSE, Grad, Conn, dtSSD, foreground MAD and MSE.

Lower is better for all of them. The arithmetic is float64, except float32 on Apple's GPU (mps), which has no float64.
"""

# T frames, H height, W width; N masks (T x thresholds). Alpha is [T, H, W] without a channel, foreground [T, 3, H, W].

import math

import torch
from torch import Tensor
from torch.nn import functional as F

GRAD_SIGMA = 1.4
CONN_STEPS = 10
CONN_TOLERANCE = 0.15
# Pixels that Conn labels at once: limits its memory without changing any value.
_CONN_PIXELS = 2**22


def matting_metrics(
    pred_pha: Tensor,
    true_pha: Tensor,
    pred_fgr: Tensor | None = None,
    true_fgr: Tensor | None = None,
    high_resolution: bool = False,
    previous: tuple[Tensor, Tensor] | None = None,
) -> dict[str, Tensor]:
    """All metrics of each frame; a clip's score is the mean over its frames.

    Args:
        pred_pha, true_pha: [T, H, W] or [T, 1, H, W], uint8 0..255 or floating 0..1, on any device.
        pred_fgr, true_fgr: [T, 3, H, W], likewise; both or neither. Straight colour.
        high_resolution: the official variant for large pictures: no `conn`, and `grad` is not min-max normalised.
        previous: the (pred_pha, true_pha) of the frame before these, [H, W] or [1, H, W], if they continue a clip;
            `dtssd` of the first frame compares with it. Without it, `dtssd` of that frame is 0.

    Returns:
        Tensors [T] by name, in this order: `mad`, `mse` (x 1e3), `grad` (/ 1e3), `conn` (/ 1e3), `dtssd` (x 1e2) and,
        with foregrounds, `fgr_mad`, `fgr_mse` (x 1e3). The functions of these names define them.

    Raises:
        AssertionError: A shape, dtype or device is wrong, or a float is outside 0..1 or NaN.
    """
    pred = _pha(pred_pha, "pred_pha")
    true = _pha(true_pha, "true_pha")
    _assert_alike(pred, true, "pred_pha and true_pha")
    assert (pred_fgr is None) == (true_fgr is None), "give pred_fgr and true_fgr, or neither"
    values = {"mad": mad(pred, true), "mse": mse(pred, true), "grad": grad(pred, true, normalize=not high_resolution)}
    if not high_resolution:
        values["conn"] = conn(pred, true)
    if previous is None:
        values["dtssd"] = dtssd(pred, true)
    else:
        last_pred, last_true = (
            _pha(previous[0][None], "previous pred_pha"),
            _pha(previous[1][None], "previous true_pha"),
        )
        _assert_alike(last_pred, pred[:1], "previous pred_pha and the frames after it")
        _assert_alike(last_true, true[:1], "previous true_pha and the frames after it")
        values["dtssd"] = dtssd(torch.cat([last_pred, pred]), torch.cat([last_true, true]))[1:]
    if pred_fgr is not None and true_fgr is not None:
        pred_color = _fgr(pred_fgr, "pred_fgr")
        true_color = _fgr(true_fgr, "true_fgr")
        _assert_alike(pred_color, true_color, "pred_fgr and true_fgr")
        assert pred_color[:, 0].shape == pred.shape, (
            f"foreground {list(pred_color.shape)} and alpha {list(pred.shape)} differ in frames or size"
        )
        subject = true > 0
        values["fgr_mad"] = fgr_mad(pred_color, true_color, subject)
        values["fgr_mse"] = fgr_mse(pred_color, true_color, subject)
    return values


class MetricAccumulator:
    """Metrics of a clip that comes in chunks; the values do not depend on the chunks.

    The metrics are those of the official evaluation; lower is better. In this order: `mad` and `mse` (mean absolute and
    squared error, x 1e3), `grad` and `conn` (gradient and connectivity error / 1e3; Rhemann et al., CVPR 2009), `dtssd`
    (temporal error x 1e2; Erofeev et al., BMVC 2015) and, with foregrounds, `fgr_mad` and `fgr_mse` (x 1e3) where the
    true alpha is above 0.

    Args:
        high_resolution: The official variant for large pictures: no `conn`, and `grad` is not min-max normalised.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> metrics = core.MetricAccumulator()
        >>> for _ in range(2):
        ...     metrics.update(torch.full((3, 8, 8), 0.5), torch.full((3, 8, 8), 0.25))
        >>> metrics.result()["mad"], metrics.frame_count
        (250.0, 6)
    """

    def __init__(self, high_resolution: bool = False) -> None:
        self._high_resolution = high_resolution
        self._previous: tuple[Tensor, Tensor] | None = None
        # Python's floats: small tensors kept between chunks would fragment the memory of the large ones, so that every
        # chunk would need new memory (measured at HD: 60 to 150 MB a frame).
        self._values: dict[str, list[float]] = {}
        self.frame_count = 0

    def update(
        self, pred_pha: Tensor, true_pha: Tensor, pred_fgr: Tensor | None = None, true_fgr: Tensor | None = None
    ) -> None:
        """Adds the clip's next frames.

        Args:
            pred_pha, true_pha: [T, H, W] or [T, 1, H, W], uint8 0..255 or floating 0..1, on one device.
            pred_fgr, true_fgr: [T, 3, H, W] straight foregrounds, likewise; in every chunk or in none.

        Raises:
            AssertionError: A shape, dtype or device is wrong, or a float is outside 0..1 or NaN.
        """
        values = matting_metrics(pred_pha, true_pha, pred_fgr, true_fgr, self._high_resolution, self._previous)
        assert not self._values or self._values.keys() == values.keys(), "only some chunks have foregrounds"
        # Cloned, because the caller may reuse the buffer for the next chunk.
        self._previous = (pred_pha[-1].clone(), true_pha[-1].clone())
        for name, value in values.items():
            self._values.setdefault(name, []).extend(value.tolist())
        self.frame_count += len(pred_pha)

    def frames(self) -> dict[str, Tensor]:
        """Each metric of all frames so far, [T] float64 on the CPU."""
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in self._values.items()}

    def result(self) -> dict[str, float]:
        """The clip's score: the mean of each metric over the frames so far (at least one)."""
        assert self.frame_count, "no frame was added"
        return {name: value.mean().item() for name, value in self.frames().items()}


# One function per metric. pred and true: floating, 0..1, alpha [T, H, W] and foreground [T, 3, H, W] -> [T].


def mad(pred: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference x 1e3."""
    return (pred - true).abs().mean((1, 2)) * 1e3


def mse(pred: Tensor, true: Tensor) -> Tensor:
    """Mean squared error x 1e3."""
    return (pred - true).square().mean((1, 2)) * 1e3


def grad(pred: Tensor, true: Tensor, normalize: bool = True) -> Tensor:
    """Gradient error / 1e3: the squared difference of the gradient magnitudes, summed over the picture.

    The gradient uses derivatives of a Gaussian (Rhemann et al., CVPR 2009). `normalize` stretches each frame of both
    sides to 0..1 first, so that an alpha of the right shape but too low values has no error; a flat frame becomes 0.
    """
    if normalize:
        pred, true = _min_max(pred), _min_max(true)
    return (_gradient_magnitude(pred) - _gradient_magnitude(true)).square().sum((1, 2)) / 1e3


def conn(pred: Tensor, true: Tensor) -> Tensor:
    """Connectivity error / 1e3 (Rhemann et al., CVPR 2009): penalises alpha that is not connected to the subject.

    For each threshold 0.1, 0.2 .. 1.0, the pixels where both sides reach the threshold form a mask, of which the
    largest 4-connected component is kept. l of a pixel is the last threshold up to which it is in all these components
    (0 if in none). With d = alpha - l, a side's connectivity is phi = 1 - d if d >= 0.15, else 1. The error is the sum
    of |phi_pred - phi_true| over the picture.
    """
    # i / 10 instead of i * 0.1: 153/255 must reach the threshold 0.6, but 6 * 0.1 is slightly above 0.6.
    steps = torch.tensor([i / CONN_STEPS for i in range(1, CONN_STEPS + 1)], dtype=pred.dtype, device=pred.device)
    height, width = pred.shape[1:]
    at_once = max(1, _CONN_PIXELS // (CONN_STEPS * height * width))
    errors = []
    for pred_part, true_part in zip(pred.split(at_once), true.split(at_once), strict=True):
        masks = torch.minimum(pred_part, true_part)[:, None] >= steps[:, None, None]
        connected = largest_component(masks.flatten(0, 1)).view_as(masks)
        level = connected.cumprod(1).sum(1).to(pred.dtype) / CONN_STEPS
        loose_pred, loose_true = ((x - level) * (x - level >= CONN_TOLERANCE) for x in (pred_part, true_part))
        errors.append((loose_pred - loose_true).abs().sum((1, 2)) / 1e3)
    return torch.cat(errors)


def dtssd(pred: Tensor, true: Tensor) -> Tensor:
    """Temporal error x 1e2 (Erofeev et al., BMVC 2015): the root mean square, over the picture, of the difference
    between both sides' changes since the previous frame. It is 0 for the first frame."""
    change = pred.diff(dim=0) - true.diff(dim=0)
    return torch.cat([pred.new_zeros(1), change.square().mean((1, 2)).sqrt() * 1e2])


def fgr_mad(pred: Tensor, true: Tensor, subject: Tensor) -> Tensor:
    """Mean absolute difference x 1e3 over the colours of the pixels in `subject` ([T, H, W] bool, true alpha > 0); 0
    for frames without such pixels.
    """
    return _mean_where((pred - true).abs(), subject) * 1e3


def fgr_mse(pred: Tensor, true: Tensor, subject: Tensor) -> Tensor:
    """Mean squared error x 1e3 over the colours of the pixels in `subject`, like `fgr_mad`."""
    return _mean_where((pred - true).square(), subject) * 1e3


def largest_component(masks: Tensor) -> Tensor:
    """[N, H, W] bool -> the same with only the largest 4-connected component of each mask; exact for any shape.

    Among components of equal size, the first one in reading order is kept.

    Horizontal runs of set pixels, numbered in reading order, are the nodes of a graph; runs that touch in adjacent rows
    are its edges. Then every run is made to point to the first run of its component: each root hooks onto the smallest
    adjacent root and all pointers are compressed, until no edge joins two roots. A root that survives two rounds has
    absorbed another, so the number of rounds is logarithmic in the number of runs, even for spirals.
    """
    device = masks.device
    if device.type == "mps":  # its integer scatter-minimum is not reliable
        masks = masks.cpu()
    before = F.pad(masks[:, :, :-1], (1, 0))
    starts = masks & ~before
    run = starts.flatten().cumsum(0).view(masks.shape) - 1  # valid wherever the mask is set
    touching = masks[:, 1:] & masks[:, :-1]
    touching[:, :, 1:] &= starts[:, 1:, 1:] | starts[:, :-1, 1:]  # one edge for each pair of runs suffices
    upper, lower = run[:, :-1][touching], run[:, 1:][touching]

    count = int(starts.sum())
    root = torch.arange(count, device=masks.device)
    while True:
        a, b = root[upper], root[lower]
        apart = a != b
        if not apart.any():
            break
        upper, lower, a, b = upper[apart], lower[apart], a[apart], b[apart]
        root.scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
        while not torch.equal(followed := root[root], root):
            root = followed

    component = root[run[masks]]
    size = torch.zeros_like(root).index_add_(0, component, torch.ones_like(component))
    # For each mask, the first root of the greatest size.
    of_mask = torch.arange(len(masks), device=masks.device)
    home = of_mask[:, None, None].expand_as(masks)[starts]
    greatest = torch.zeros(len(masks), dtype=torch.long, device=masks.device)
    greatest.scatter_reduce_(0, home, size, "amax")
    candidates = torch.where(size == greatest[home], torch.arange(count, device=masks.device), count)
    first = torch.full((len(masks),), count, device=masks.device).scatter_reduce_(0, home, candidates, "amin")
    kept = torch.zeros_like(masks)
    kept[masks] = component == first[home[component]]
    return kept.to(device)


def _gradient_magnitude(x: Tensor) -> Tensor:
    """[T, H, W] -> [T, H, W]. The 9 x 9 kernels, of unit L2 norm, are products of a row and a column."""
    # Beyond this radius the Gaussian derivative is below 1 % of its peak.
    radius = math.ceil(GRAD_SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * GRAD_SIGMA * 1e-2)))
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    smooth = torch.exp(-at.square() / (2 * GRAD_SIGMA**2))
    slope = -at * smooth
    smooth = smooth / smooth.norm()
    slope = slope / slope.norm()
    x = F.pad(x[:, None], (radius,) * 4, mode="replicate")
    along_x = F.conv2d(F.conv2d(x, slope[None, None, None]), smooth[None, None, :, None])
    along_y = F.conv2d(F.conv2d(x, smooth[None, None, None]), slope[None, None, :, None])
    return (along_x.square() + along_y.square()).sqrt()[:, 0]


def _min_max(x: Tensor) -> Tensor:
    low = x.amin((1, 2), keepdim=True)
    span = x.amax((1, 2), keepdim=True) - low
    return (x - low) / torch.where(span > 0, span, 1)


def _mean_where(error: Tensor, subject: Tensor) -> Tensor:
    pixels = subject.sum((1, 2)).clamp(min=1)
    return (error * subject[:, None]).sum((1, 2, 3)) / (error.shape[1] * pixels)


def _pha(pha: Tensor, name: str) -> Tensor:
    if pha.ndim == 4:
        assert pha.shape[1] == 1, f"{name} must be [T, H, W] or [T, 1, H, W], got {list(pha.shape)}"
        pha = pha[:, 0]
    assert pha.ndim == 3, f"{name} must be [T, H, W] or [T, 1, H, W], got {list(pha.shape)}"
    return _unit(pha, name)


def _fgr(fgr: Tensor, name: str) -> Tensor:
    assert fgr.ndim == 4, f"{name} must be [T, 3, H, W], got {list(fgr.shape)}"
    assert fgr.shape[1] == 3, f"{name} must be [T, 3, H, W], got {list(fgr.shape)}"
    return _unit(fgr, name)


def _unit(x: Tensor, name: str) -> Tensor:
    """Values 0..1 in float64 (mps: float32)."""
    assert x.numel(), f"{name} is empty: {list(x.shape)}"
    dtype = torch.float32 if x.device.type == "mps" else torch.float64
    if x.dtype == torch.uint8:
        return x.to(dtype) / 255
    assert x.is_floating_point(), f"{name} must be uint8 0..255 or floating 0..1, got {x.dtype}"
    low, high = x.aminmax()
    assert 0 <= low <= high <= 1, f"{name} must lie in 0..1 (only uint8 in 0..255), got {low:g} .. {high:g}"
    return x.to(dtype)


def _assert_alike(pred: Tensor, true: Tensor, names: str) -> None:
    assert pred.shape == true.shape, f"{names} differ in shape: {list(pred.shape)} and {list(true.shape)}"
    assert pred.device == true.device, f"{names} are on different devices: {pred.device} and {true.device}"
