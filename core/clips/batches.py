"""Processes batches of pictures that a host program such as ComfyUI holds in memory: frame by frame into one
preallocated result, without a second copy of the clip.
"""

# T frames, C channels, H, W; pictures are [T, H, W, C], masks [T, H, W], float 0..1

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import StudioError
from ..pictures.alpha_ops import blurred_background, composite
from ..pictures.decontaminate import decontaminate, despill
from ..pictures.edges import EdgeOptions, refine_edges, smooth_over_time
from ..pictures.pixel_format import frames_from_pictures, write_rgba
from ..stream.session import MattingSession
from .background import cover


def matte_pictures(
    session: MattingSession,
    pictures: Tensor,
    *,
    foreground: bool = True,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
    on_result: Callable[[Tensor | None, Tensor], None] | None = None,
) -> Tensor:
    """pictures [T, H, W, 3 or more], RGB first -> straight RGBA pictures [T, H, W, 4], or masks [T, H, W] without
    `foreground`; float32 on `device`.

    on_progress(frames done, T) and on_result(fgr [1, 3, H, W] or None, pha [1, 1, H, W] of its last frame) are called
    after every chunk. Raises StudioError like MattingSession, and Stopped if the session's `stopped` returns True.
    """
    T, H, W = pictures.shape[:3]  # noqa: N806
    frames = frames_from_pictures(pictures[..., :3])
    result = torch.empty((T, H, W, 4) if foreground else (T, H, W), dtype=torch.float32, device=device)
    done = 0
    outputs = session.stream(frames, foreground=foreground)
    if session.transfers and result.device.type == "cpu":
        outputs = session.transfers.downloads(outputs)
    for output in outputs:
        fgr, pha = output.fgr, output.pha
        now = slice(done, done + len(pha))
        if foreground:
            assert fgr is not None
            write_rgba(result[now], fgr, pha)
        else:
            result[now] = pha[:, 0]
        done = now.stop
        if on_progress:
            on_progress(done, T)
        if on_result:
            on_result(None if fgr is None else fgr[-1:], pha[-1:])
    return result


def composite_pictures(
    foreground: Tensor,
    mask: Tensor,
    background: Tensor,
    *,
    blur: float | None = None,
    linear_light: bool = False,
    each: Callable[[], None] = lambda: None,
) -> Tensor:
    """foreground [T, H, W, 3 or more] over background by mask -> pictures [T, H, W, 3].

    foreground and mask: T, or one for all. background: a colour [3], or pictures [N, h, w, 3 or more] of any size and
    number, scaled to cover the frame; one per frame, repeated from the first if there are fewer.
    blur: the background is the source itself (T pictures of the frame's size), blurred by this strength (see
    alpha_ops.blurred_background). each: called before every frame. Raises StudioError if the sizes do not match.
    """
    T, H, W = _fitting(foreground, mask)  # noqa: N806
    moving = background.ndim > 1
    if moving and not len(background):
        raise StudioError("The background has no frames. Connect at least one picture.")
    if blur is not None and tuple(background.shape[1:3]) != (H, W):
        raise StudioError(
            f"The background to blur is {background.shape[2]}x{background.shape[1]} but the frames are {W}x{H}. "
            "Connect the frames that were matted."
        )
    result = torch.empty(T, H, W, 3, dtype=torch.float32, device=foreground.device)
    bgr, shown = background.view(1, -1, 1, 1) if not moving else background, -1
    for t in range(T):
        each()
        fgr, pha = _frame(foreground, t), _mask(mask, t)
        if moving and (number := t % len(background)) != shown:
            shown, bgr = number, _frame(background, number)
            if blur is None:
                bgr = cover(bgr, H, W)
        behind = bgr if blur is None else blurred_background(bgr, pha, blur)
        result[t] = composite(fgr, pha, behind.to(fgr.device), linear_light)[0].permute(1, 2, 0)
    return result


def refine_masks(
    mask: Tensor,
    options: EdgeOptions,
    *,
    temporal: float = 0.0,
    invert: bool = False,
    each: Callable[[], None] = lambda: None,
) -> Tensor:
    """mask [T, H, W] -> the same, inverted first with `invert`, smoothed over time (see edges.smooth_over_time; the two
    ends of the batch have one neighbour), then refined at its edges."""
    result = torch.empty(mask.shape, dtype=torch.float32, device=mask.device)

    def frame(t: int) -> Tensor:
        pha = _mask(mask, t)
        return 1 - pha if invert else pha

    for t in range(len(mask)):
        each()
        before, after = (frame(min(max(n, 0), len(mask) - 1)) for n in (t - 1, t + 1))
        pha = smooth_over_time(frame(t), temporal, before, after) if temporal else frame(t)
        result[t] = refine_edges(pha, options)[0, 0]
    return result


def decontaminate_pictures(
    pictures: Tensor,
    mask: Tensor,
    strength: float,
    *,
    foreground: Tensor | None = None,
    spill: Tensor | None = None,
    spill_strength: float = 1.0,
    each: Callable[[], None] = lambda: None,
) -> Tensor:
    """pictures [T, H, W, 3 or more] and their mask -> straight RGBA [T, H, W, 4] without the background's colour at the
    edges (see core.pictures.decontaminate), and without the hue of `spill` (a colour [3]).

    foreground: the network's own, if there is one. Raises StudioError if the sizes do not match."""
    T, H, W = _fitting(pictures, mask)  # noqa: N806
    if foreground is not None and (len(foreground) not in (1, T) or foreground.shape[1:3] != (H, W)):
        raise StudioError(
            f"The foreground has {len(foreground)} frames of {foreground.shape[2]}x{foreground.shape[1]} but the "
            f"images are {T} of {W}x{H}. Connect the foreground that was matted from them."
        )
    result = torch.empty(T, H, W, 4, dtype=torch.float32, device=pictures.device)
    for t in range(T):
        each()
        pha = _mask(mask, t)
        fgr = decontaminate(_frame(pictures, t), pha, strength, None if foreground is None else _frame(foreground, t))
        if spill is not None:
            fgr = despill(fgr, spill.tolist(), spill_strength)
        write_rgba(result[t : t + 1], fgr, pha)
    return result


def _fitting(pictures: Tensor, mask: Tensor) -> tuple[int, int, int]:
    """T, H, W of a pair. Raises StudioError if their sizes differ, or their numbers differ and neither is 1."""
    if pictures.ndim != 4 or pictures.shape[-1] < 3 or mask.ndim != 3:
        raise StudioError(
            f"Expected colour pictures [T, H, W, 3] and a mask [T, H, W], got {list(pictures.shape)} and "
            f"{list(mask.shape)}."
        )
    (count, height, width), (masks, mask_height, mask_width) = pictures.shape[:3], mask.shape
    if (height, width) != (mask_height, mask_width):
        raise StudioError(
            f"The mask is {mask_width}x{mask_height} but the images are {width}x{height}. Connect the mask that "
            "belongs to them, or scale one of the two."
        )
    if count != masks and 1 not in (count, masks):
        raise StudioError(f"There are {count} images but {masks} masks. Expected the same number, or one for all.")
    return (0 if 0 in (count, masks) else max(count, masks)), height, width


def _frame(pictures: Tensor, t: int) -> Tensor:
    """Picture t (the only one, where there is one) as a frame [1, 3, H, W]."""
    t = min(t, len(pictures) - 1)
    return frames_from_pictures(pictures[t : t + 1, ..., :3]).float()


def _mask(mask: Tensor, t: int) -> Tensor:
    t = min(t, len(mask) - 1)
    return mask[t][None, None].float()
