"""Augmentation of whole batches on the training device: motion, crop, colour, noise, then the composite.

All geometry of a picture (its pose, the motion, the flip, the resize and the centre crop) is one matrix per frame, and
the picture is sampled once. Colour changes come after that, at the smaller size, so lengths in pixels are scaled
accordingly. All random numbers come from one `torch.Generator` on the CPU: on the same kind of device, the same
generator state gives the same result.
"""

# B clips, T frames, C channels, H, W input size, S square training size, h, w output size

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import composite, gaussian_blur, to_float
from .recipe import Jitter, MattingAugmentation, PoseRange, SegmentationAugmentation

_CACHED_PIXELS = 2**18
LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
# Luma and two colour differences (YIQ, NTSC 1953): rotating the last two rotates the hue.
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class MattingBatch(NamedTuple):
    src: Tensor  # [B, T, 3, h, w] 0..1, the composite
    fgr: Tensor  # [B, T, 3, h, w]
    pha: Tensor  # [B, T, 1, h, w]


class SegmentationBatch(NamedTuple):
    src: Tensor  # [B, T, 3, h, w] 0..1
    seg: Tensor  # [B, T, 1, h, w] 0..1


def draw_sides(size: int, generator: torch.Generator) -> tuple[int, int]:
    """(h, w), drawn independently from [size/2, size)."""
    h, w = torch.randint(size // 2, size, (2,), generator=generator).tolist()
    return h, w


def augment_matting(
    fgr: Tensor,
    pha: Tensor,
    bgr: Tensor,
    size: int,
    generator: torch.Generator,
    settings: MattingAugmentation,
    sides: tuple[int, int] | None = None,
) -> MattingBatch:
    """Augments, crops and composites a batch. The inputs are not changed.

    Args:
        fgr, pha: [B, T, 3, H, W] and [B, T, 1, H, W], uint8 or float 0..1, straight colour.
        bgr: [B, T, 3, H', W'], may differ in size. Every picture is treated as a square: H and W are stretched to it.
        size: S. generator: on the CPU; its state advances.
        sides: (h, w) of the result, by default drawn from [S/2, S).
    """
    B, T = fgr.shape[:2]  # noqa: N806
    assert fgr.shape == (B, T, 3, *pha.shape[-2:]), f"{list(fgr.shape)} does not fit {list(pha.shape)}"
    assert pha.shape[:3] == (B, T, 1), list(pha.shape)
    assert bgr.shape[:3] == (B, T, 3), list(bgr.shape)
    h, w = sides or draw_sides(size, generator)
    scale = max(h, w) / size
    plans = [_draw_plan(T, settings, generator) for _ in range(B)]
    fgr_maps = torch.stack([plan.fgr_map for plan in plans])
    bgr_maps = torch.stack([plan.bgr_map for plan in plans])
    fgr, pha = (_paused(x, [plan.fgr_frames for plan in plans]) for x in (fgr, pha))
    bgr = _paused(bgr, [plan.bgr_frames for plan in plans])
    fgr, pha = (sample(x, fgr_maps, (h, w), "zeros") for x in (fgr, pha))
    bgr = sample(bgr, bgr_maps, (h, w), "reflection")
    for clip, plan in enumerate(plans):
        seed = int(torch.randint(2**62, (1,), generator=generator))
        noise = torch.Generator(fgr.device).manual_seed(seed)
        for picture, change in ((fgr[clip], plan.fgr_color), (bgr[clip], plan.bgr_color)):
            if change != UNCHANGED:
                _change_color(picture, change, scale, noise)
                picture.clamp_(0, 1)
        if plan.fgr_color.blur_sigma:
            pha[clip] = gaussian_blur(pha[clip], plan.fgr_color.blur_sigma * scale)
    return MattingBatch(composite_clips(fgr, pha, bgr), fgr, pha)


def prepare_matting(fgr: Tensor, pha: Tensor, bgr: Tensor, sides: tuple[int, int]) -> MattingBatch:
    """The same without randomness, for validation: scales to `sides` (h, w) and composites. Shapes as above."""
    fgr, pha, bgr = (
        x if x.shape[-2:] == sides else _resized(x, sides) for x in (to_float(fgr), to_float(pha), to_float(bgr))
    )
    return MattingBatch(composite_clips(fgr, pha, bgr), fgr, pha)


def augment_segmentation(
    img: Tensor,
    seg: Tensor,
    size: int,
    generator: torch.Generator,
    settings: SegmentationAugmentation,
    sides: tuple[int, int] | None = None,
) -> SegmentationBatch:
    """Augments and crops img [B, T, 3, H, W] with seg [B, T, 1, H, W] (uint8 or 0..1), all frames of a clip alike.

    Areas that a rotation brings in from outside the picture are black and not a person. `size`, `generator`, `sides`
    as for `augment_matting`.
    """
    B, T = img.shape[:2]  # noqa: N806
    assert img.shape == (B, T, 3, *seg.shape[-2:]), f"{list(img.shape)} does not fit {list(seg.shape)}"
    sides = sides or draw_sides(size, generator)
    maps, changes = [], []
    for _ in range(B):
        rotation, shear = (_between(-x, x, generator) for x in (settings.rotation, settings.shear))
        area = _between(*settings.area, generator)
        aspect = _log_between(*settings.aspect, generator)
        part = [min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))]  # of width and height
        centre = [_between(part_side - 1, 1 - part_side, generator) for part_side in part]
        keep = torch.tensor([[part[0], 0, centre[0]], [0, part[1], centre[1]], [0, 0, 1]])
        turn = pose_matrix(torch.tensor([rotation, shear, 0.0, 0.0, 0.0, 0.0]))
        maps.append(torch.linalg.inv(turn) @ keep @ _flip(_happens(settings.flip, generator)))
        changes.append(_draw_jitter(settings.jitter, generator))
    joined = sample(
        torch.cat((img, seg.to(img.dtype)), 2), torch.stack(maps)[:, None].expand(B, T, 3, 3), sides, "zeros"
    )
    src, seg = joined[:, :, :3].contiguous(), joined[:, :, 3:].contiguous()
    for clip, jitter in enumerate(changes):
        _apply_jitter(src[clip], jitter)
    return SegmentationBatch(src.clamp_(0, 1), seg.clamp_(0, 1))


def composite_clips(fgr: Tensor, pha: Tensor, bgr: Tensor) -> Tensor:
    """[B, T, 3, h, w]: fgr over bgr, both of the same shape."""
    return composite(fgr.flatten(0, 1), pha.flatten(0, 1), bgr.flatten(0, 1)).unflatten(0, fgr.shape[:2])


def sample(pictures: Tensor, maps: Tensor, sides: tuple[int, int], padding: str) -> Tensor:
    """Samples pictures [B, T, C, H, W] (uint8 or float) with `maps` [B, T, 3, 3] at (h, w) = `sides`: float 0..1.

    A map takes a position in the result to the position in the picture, both in the square -1..1 (x right, y down).
    The result is the centre of a square whose side is the longer of h and w. padding, outside the picture: "zeros" or
    "reflection".
    """
    B, T = pictures.shape[:2]  # noqa: N806
    h, w = sides
    square = max(h, w)
    device = pictures.device
    top, left = (square - h) // 2, (square - w) // 2
    y = (2 * torch.arange(top, top + h, device=device) + 1) / square - 1
    x = (2 * torch.arange(left, left + w, device=device) + 1) / square - 1
    maps = maps[:, :, :2].flatten(0, 1).to(device, torch.float32)
    flat = pictures.flatten(0, 1)
    result = torch.empty(*flat.shape[:2], h, w, device=device)
    # On a CPU only a few frames at a time, so that they stay in its cache.
    together = max(1, _CACHED_PIXELS // square**2) if device.type == "cpu" else len(flat)
    for some, part, now in zip(*(z.split(together) for z in (flat, maps, result)), strict=True):
        # x * first column + y * second column + third: three small products instead of a matrix per pixel
        along_y = y[None, :, None, None] * part[:, None, None, :, 1] + part[:, None, None, :, 2]
        grid = x[None, None, :, None] * part[:, None, None, :, 0] + along_y
        now.copy_(F.grid_sample(to_float(some, device), grid, "bilinear", padding, align_corners=False))
    return result.unflatten(0, (B, T))


def pose_matrix(pose: Tensor) -> Tensor:
    """[..., 6]: rotation and shear in degrees, shift x and y (of the side), ln of scale and of aspect -> [..., 3, 3].

    The matrix takes a position in the picture to the position in the result, in the square -1..1: it scales, shears
    along x, rotates clockwise (y points down) and shifts.
    """
    rotation, shear, shift_x, shift_y, scale, aspect = pose.double().unbind(-1)
    angle, lean = torch.deg2rad(rotation), torch.tan(torch.deg2rad(shear))
    wide, high = torch.exp(scale + aspect / 2), torch.exp(scale - aspect / 2)
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rows = (
        (cos * wide, (cos * lean - sin) * high, 2 * shift_x),
        (sin * wide, (sin * lean + cos) * high, 2 * shift_y),
        (zero, zero, one),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2).float()


def draw_pose(limits: PoseRange, generator: torch.Generator) -> Tensor:
    """A random pose [6], as `pose_matrix` takes it."""
    rotation, shear = (_between(-x, x, generator) for x in (limits.rotation, limits.shear))
    shift = [_between(-limits.shift, limits.shift, generator) for _ in range(2)]
    scale, aspect = (math.log(_log_between(*x, generator)) for x in (limits.scale, limits.aspect))
    return torch.tensor([rotation, shear, *shift, scale, aspect])


def ease(frames: int, generator: torch.Generator) -> Tensor:
    """[T] rising from 0 to 1: evenly, or accelerating, decelerating or both by a random amount; 0 for one frame."""
    t = torch.linspace(0, 1, frames)
    power = _between(1, 3, generator)
    kind = int(torch.randint(4, (1,), generator=generator))
    if kind == 0:
        return t
    if kind == 1:
        return t**power
    if kind == 2:
        return 1 - (1 - t) ** power
    return torch.where(t < 0.5, (2 * t) ** power / 2, 1 - (2 - 2 * t).clamp(min=0) ** power / 2)


class _Color(NamedTuple):
    jitter: tuple[float, ...] | None  # factors of brightness, contrast and saturation, rotation of the hue
    grey: bool
    sharpness: float | None
    blur_sigma: float  # pixels at S; 0: none
    noise: tuple[float, float] | None  # sigma, grain in pixels at S


UNCHANGED = _Color(None, False, None, 0.0, None)


class _Plan(NamedTuple):
    """All random choices for a clip, except the noise itself."""

    fgr_map: Tensor  # [T, 3, 3] for `sample`
    bgr_map: Tensor
    fgr_frames: Tensor | None  # [T] the frame that is shown; None: no pause
    bgr_frames: Tensor | None
    fgr_color: _Color
    bgr_color: _Color


def _draw_plan(T: int, settings: MattingAugmentation, generator: torch.Generator) -> _Plan:  # noqa: N803
    fgr_frames, bgr_frames = (_draw_pause(T, settings.pause, generator) for _ in range(2))
    fgr_pose = pose_matrix(draw_pose(settings.fgr_pose, generator)) @ _flip(_happens(settings.flip, generator))
    bgr_pose = pose_matrix(draw_pose(settings.bgr_pose, generator)) @ _flip(_happens(settings.flip, generator))
    fgr_matrix, bgr_matrix = fgr_pose.expand(T, 3, 3), bgr_pose.expand(T, 3, 3)
    if _happens(settings.fgr_motion, generator):
        fgr_matrix = _held(_draw_motion(T, settings.motion, generator), fgr_frames) @ fgr_matrix
    if _happens(settings.bgr_motion, generator):
        motion = _draw_motion(T, settings.motion, generator)
        if _happens(0.5, generator):  # the camera moves, so everything does
            fgr_matrix = motion @ fgr_matrix
            bgr_matrix = motion @ bgr_matrix
        else:
            bgr_matrix = _held(motion, bgr_frames) @ bgr_matrix
    grey = _happens(settings.grey, generator)
    colors = []
    for _ in range(2):
        jitter = _draw_jitter(settings.jitter, generator) if _happens(settings.color_jitter, generator) else None
        sharpness = _between(0, settings.sharpness_factor, generator)
        sharpness = sharpness if _happens(settings.sharpness, generator) else None
        blur = _between(0, settings.blur_sigma, generator) if _happens(settings.blur, generator) else 0.0
        noise = _between(0, settings.noise_sigma, generator), _between(*settings.noise_grain, generator)
        noise = noise if _happens(settings.noise, generator) else None
        colors.append(_Color(jitter, grey, sharpness, blur, noise))
    return _Plan(torch.linalg.inv(fgr_matrix), torch.linalg.inv(bgr_matrix), fgr_frames, bgr_frames, *colors)


def _draw_motion(T: int, limits: PoseRange, generator: torch.Generator) -> Tensor:  # noqa: N803
    """[T, 3, 3]: a motion from one random pose to another."""
    start, end = draw_pose(limits, generator), draw_pose(limits, generator)
    return pose_matrix(torch.lerp(start, end, ease(T, generator)[:, None]))


def _draw_pause(T: int, odds: float, generator: torch.Generator) -> Tensor | None:  # noqa: N803
    """[T] frame numbers that stay at a random frame for a random number of frames; None for no pause."""
    if not _happens(odds, generator) or T < 2:
        return None
    start = int(torch.randint(T - 1, (1,), generator=generator))
    length = int(torch.randint(1, T - start, (1,), generator=generator))
    frames = torch.arange(T)
    frames[start : start + length + 1] = start
    return frames


def _held(motion: Tensor, frames: Tensor | None) -> Tensor:
    return motion if frames is None else motion[frames]


def _paused(pictures: Tensor, frames: list[Tensor | None]) -> Tensor:
    if all(order is None for order in frames):
        return pictures
    pairs = zip(pictures, frames, strict=True)
    return torch.stack([clip if order is None else clip[order.to(clip.device)] for clip, order in pairs])


def _draw_jitter(limits: Jitter, generator: torch.Generator) -> tuple[float, ...]:
    spans = (limits.brightness, limits.contrast, limits.saturation)
    factors = [_between(1 - span, 1 + span, generator) for span in spans]
    return (*factors, _between(-limits.hue, limits.hue, generator))


def _apply_jitter(picture: Tensor, jitter: tuple[float, ...]) -> None:
    """Changes picture [T, 3, h, w] in place: saturation and hue, contrast around the clip's mean luma, brightness.

    All of these are linear in colour, so one matrix and one constant are enough.
    """
    brightness, contrast, saturation, hue = jitter
    to_yiq = torch.tensor(_YIQ, dtype=torch.float64)
    cos, sin = math.cos(2 * math.pi * hue) * saturation, math.sin(2 * math.pi * hue) * saturation
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    matrix = (torch.linalg.inv(to_yiq) @ turn @ to_yiq * (contrast * brightness)).to(picture)
    mean = (picture.mean((0, 2, 3)) * picture.new_tensor(LUMA)).sum()
    changed = matrix @ picture.flatten(2)
    picture.copy_(changed.add_(mean * ((1 - contrast) * brightness)).view_as(picture))


def _change_color(picture: Tensor, change: _Color, scale: float, generator: torch.Generator) -> None:
    """Changes picture [T, 3, h, w] in place. scale: its size relative to S. generator: on the picture's device."""
    if change.jitter is not None:
        _apply_jitter(picture, change.jitter)
    if change.grey:
        picture.copy_((picture * picture.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True).expand_as(picture))
    if change.sharpness is not None:
        padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
        lines = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
        smooth = (lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]).div_(9)
        picture.copy_(torch.lerp(smooth, picture, change.sharpness))
    if change.blur_sigma:
        picture.copy_(gaussian_blur(picture, change.blur_sigma * scale))
    if change.noise is not None:
        sigma, grain = change.noise
        T, _, h, w = picture.shape  # noqa: N806
        coarse = (math.ceil(h / max(1.0, grain * scale)), math.ceil(w / max(1.0, grain * scale)))
        noise = torch.randn(T, 3, *coarse, generator=generator, device=picture.device).mul_(sigma)
        picture.add_(noise if coarse == (h, w) else _resized(noise, (h, w)))


def _resized(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """[..., C, H, W] -> [..., C, h, w], antialiased when it shrinks."""
    flat = x.flatten(0, -4) if x.ndim > 4 else x
    scaled = F.interpolate(flat, sides, mode="bilinear", align_corners=False, antialias=True)
    return scaled.view(*x.shape[:-2], *sides)


def _flip(yes: bool) -> Tensor:
    return torch.diag(torch.tensor([-1.0 if yes else 1.0, 1.0, 1.0]))


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def _log_between(low: float, high: float, generator: torch.Generator) -> float:
    return math.exp(_between(math.log(low), math.log(high), generator))


def _happens(odds: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator, dtype=torch.float64)) < odds
