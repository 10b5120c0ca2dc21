"""Renders the pictures of every output from source frames, through the network."""

# T frames, C channels, H, W

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines import Download, Drawing, EngineOutput
from ..pictures.alpha_ops import checkerboard, composite, hide_invisible, premultiply
from ..pictures.contact_sheet import ContactSheet
from ..pictures.decontaminate import decontaminate
from ..pictures.edges import refine_edges
from ..pictures.pixel_format import frames_from_pictures, interleaved, interleaved_rgba, quantise, to_float
from ..stream.session import MattingSession, Stopped
from ..video.reader import ClipInfo, SourceFrame
from .background import Background
from .options import ClipOptions, Kind, Output

PREVIEW_SIDE = 512  # pixels, at most
_NOT_DRAWN = ("alpha", "preview")  # by engines: alpha is a separate result


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a preview: even, the longer one at most PREVIEW_SIDE."""
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    small_height, small_width = (max(2, 2 * int(side * scale / 2 + 1e-6)) for side in (height, width))
    return small_height, small_width


@dataclass
class Pictures:
    """One frame's picture [H, W, C] for each output, or a Download if a GPU still computes it."""

    images: list[np.ndarray | Download]
    pts: int
    number: int


class FrameRenderer:
    """Turns source frames into the pictures of each output, on the session's device."""

    def __init__(
        self,
        info: ClipInfo,
        session: MattingSession,
        outputs: Sequence[Output],
        options: ClipOptions,
        keeps_results: bool = True,
    ):
        """keeps_results: `last_result` will be called. Neither that nor a preview or contact sheet changes the other
        outputs, except alpha alone (see resume.describe)."""
        self.info = info
        self.session = session
        self.options = options
        self.kinds: list[Kind] = [output.kind for output in outputs]
        self.background = Background(options.background) if "composite" in self.kinds else None
        self.sheet = ContactSheet()
        self.index = 0
        self.first_pts: int | None = None
        self._needs_fgr = options.preview is not None or any(kind != "alpha" for kind in self.kinds)
        self._keeps_results = keeps_results
        self._plain = not options.edges and options.decontaminate == 1
        self._transfers = session.transfers
        self._board = torch.empty(0)  # behind previews
        self._shown: tuple[SourceFrame, Tensor | None, Tensor] | None = None  # the last frame, its fgr and pha

    def close(self) -> None:
        if self.background:
            self.background.close()

    def render(self, chunk: list[SourceFrame], ahead: list[SourceFrame], bit_depths: list[int]) -> Iterator[Pictures]:
        """The pictures of a chunk's frames, in order; `bit_depths` (8 or 16) are the outputs'.

        Frame by frame after the network: the composites of a whole chunk would take more of a GPU's memory than it.
        """
        pinned = self._transfers.pinned if self._transfers else None
        frames = frames_from_pictures([frame.image for frame in chunk], new=pinned)
        dtypes = [torch.uint16 if depth > 8 else torch.uint8 for depth in bit_depths]
        results = self.session.stream(
            frames, ahead=[frame.image for frame in ahead], **self._wanted(dtypes, len(chunk))
        )
        coming = iter(chunk)
        for result in results:
            for t, frame in zip(range(len(result.pha)), coming, strict=False):
                yield self._pictures(frame, result, t, dtypes)

    def _wanted(self, dtypes: list[torch.dtype], count: int) -> dict[str, Any]:
        """What the network's run for the next `count` frames returns. Integers, and finished pictures where the engine
        draws them, if nothing happens to alpha and colours afterwards and all outputs have one depth: no full-size
        float picture is made then."""
        depths = {dtype for kind, dtype in zip(self.kinds, dtypes, strict=True) if kind != "preview"}
        if self._plain and len(depths) == 1:
            drawing = self._drawing()
            if drawing is not None or not self._needs_fgr:
                on_sheet = any(self._on_sheet(self.index + t) for t in range(count))
                foreground = drawing is not None and (self._keeps_results or on_sheet or "preview" in self.kinds)
                return {"out": depths.pop(), "foreground": foreground, "drawing": drawing}
        return {"foreground": self._needs_fgr and self.options.decontaminate > 0}

    def _drawing(self) -> Drawing | None:
        """What the engine may draw; None where the outputs need more than one kind of picture beside alpha, or
        something that only this class can do."""
        kinds: set[Kind] = {kind for kind in self.kinds if kind not in _NOT_DRAWN}
        if not self.session.engine.draws or len(kinds) != 1:
            return None
        (kind,) = kinds
        if kind == "composite":
            assert self.background is not None
            bgr = self.background.still(self.info.height, self.info.width)
            return None if bgr is None else Drawing(kind, bgr)
        if kind == "foreground" or (kind == "matte" and not self.options.premultiplied):
            return Drawing(kind)
        return None

    def _on_sheet(self, index: int) -> bool:
        return self.options.preview is not None and self.sheet.wants(index)

    def _pictures(self, frame: SourceFrame, result: EngineOutput, t: int, dtypes: list[torch.dtype]) -> Pictures:
        """Frame t of a result, as each output shows it."""
        options, seconds, on_sheet = self.options, self._seconds(frame), self._on_sheet(self.index)
        pha = result.pha[t : t + 1]
        fgr = None if result.fgr is None else result.fgr[t : t + 1]
        if options.edges:
            pha = refine_edges(pha, options.edges)
        mixes = self._needs_fgr and options.decontaminate < 1
        behind = self.background is not None and self.background.needs_source
        src = self._source(frame) if on_sheet or behind or mixes else None
        if mixes:
            assert src is not None
            fgr = decontaminate(src, pha, options.decontaminate, fgr)
        if self._keeps_results:
            self._shown = frame, fgr, pha
        if on_sheet:
            assert src is not None
            assert fgr is not None
            self.sheet.add(self.index, seconds, src[0], _float(fgr)[0], _float(pha)[0])
        images: list[np.ndarray | Download] = []
        for kind, dtype in zip(self.kinds, dtypes, strict=True):
            if result.pictures is not None and kind not in _NOT_DRAWN:
                picture = result.pictures[t]
            else:
                picture = self._picture(kind, src, fgr, pha, seconds, dtype)
            images.append(self._transfers.download(picture) if self._transfers else picture.cpu().numpy())
        self.index += 1
        return Pictures(images, frame.pts, frame.number)

    def _picture(
        self, kind: Kind, src: Tensor | None, fgr: Tensor | None, pha: Tensor, seconds: float, dtype: torch.dtype
    ) -> Tensor:
        """One output's picture [H, W, C] from one frame's src, fgr [1, 3, H, W] and pha [1, 1, H, W]: floats, or in the
        output's dtype already, from which only alpha and previews are made."""
        if kind == "alpha":
            return interleaved(pha if pha.dtype == dtype else quantise(pha, dtype))[0]
        assert fgr is not None
        if kind == "preview":
            return interleaved(quantise(self._over_board(_float(fgr), _float(pha)), dtype))[0]
        if kind == "composite":
            assert self.background is not None
            bgr = self.background.frames(src, pha, [seconds], self.index)
            return interleaved(quantise(composite(fgr, pha, bgr), dtype))[0]
        alpha = quantise(pha, dtype)
        if kind == "matte" and self.options.premultiplied:
            color = quantise(premultiply(fgr, pha), dtype)
        else:
            color = hide_invisible(quantise(fgr, dtype), alpha)
        return (interleaved_rgba(color, alpha) if kind == "matte" else interleaved(color))[0]

    def pass_over(self, frames: Iterator[SourceFrame]) -> None:
        """Counts the frames that an earlier run rendered. Raises Stopped."""
        for frame in frames:
            if self.session.stopped():
                raise Stopped
            self._seconds(frame)
            self.index += 1

    def last_result(self) -> tuple[Tensor, Tensor]:
        """fgr [1, 3, H, W] (src if no output needs it) and pha [1, 1, H, W] of the last frame, float."""
        assert self._shown is not None
        frame, fgr, pha = self._shown
        device = self.session.engine.device
        return self._source(frame) if fgr is None else to_float(fgr, device), to_float(pha, device)

    def _source(self, frame: SourceFrame) -> Tensor:
        """src [1, 3, H, W], float."""
        frames = frames_from_pictures([frame.image])
        if self._transfers:
            frames = self._transfers.upload(frames)
        return to_float(frames, self.session.engine.device)

    def _over_board(self, fgr: Tensor, pha: Tensor) -> Tensor:
        """The small picture [1, 3, h, w] of a preview; scaled premultiplied: no hidden colour shows at edges."""
        size = preview_size(*pha.shape[-2:])
        small, alpha = (F.interpolate(x, size, mode="area") for x in (premultiply(fgr, pha), pha))
        if self._board.shape[-2:] != size:
            self._board = checkerboard(*size, device=pha.device)
        return small + (1 - alpha) * self._board

    def _seconds(self, frame: SourceFrame) -> float:
        """The frame's time since the first frame of the clip."""
        if self.first_pts is None:
            self.first_pts = frame.pts
        return float((frame.pts - self.first_pts) * self.info.time_base)


def _float(x: Tensor) -> Tensor:
    """0..1, on the same device."""
    return to_float(x, x.device)
