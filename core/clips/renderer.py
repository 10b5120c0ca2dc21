"""From source frames to the pictures of every output, through the network."""

# T frames, C channels, H, W

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines import Download, Drawing
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


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Even height and width of a preview, the longer one at most PREVIEW_SIDE."""
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    small_height, small_width = (max(2, 2 * int(side * scale / 2 + 1e-6)) for side in (height, width))
    return small_height, small_width


@dataclass
class Pictures:
    """One frame's picture [H, W, C] for each output; from a card that is not waited for, one that is on its way."""

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
        """keeps_results: `last_result` will be asked for. Neither that nor a preview or contact sheet changes the other
        outputs, but for alpha alone (see resume.describe)."""
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

        Frame by frame from the network on: a whole chunk's composites would take more of a card's memory than it.
        """
        pinned = self._transfers.pinned if self._transfers else None
        frames = frames_from_pictures([frame.image for frame in chunk], new=pinned)
        depths = {depth for kind, depth in zip(self.kinds, bit_depths, strict=True) if kind != "preview"}
        if self._plain and len(depths) == 1:
            drawing = self._drawing()
            if drawing or not self._needs_fgr:
                yield from self._drawn(frames, chunk, ahead, drawing, torch.uint16 if max(depths) > 8 else torch.uint8)
                return
        foreground = self._needs_fgr and self.options.decontaminate > 0
        coming = iter(chunk)
        for result in self.session.stream(frames, foreground=foreground, ahead=[frame.image for frame in ahead]):
            for t, frame in zip(range(len(result.pha)), coming, strict=False):
                fgr = None if result.fgr is None else result.fgr[t : t + 1]
                yield self._render_frame(frame, fgr, result.pha[t : t + 1], bit_depths)

    def _drawing(self) -> Drawing | None:
        """What the engine may draw by itself, so that no float picture of the full size comes to be; None where the
        outputs need more than one kind of picture beside alpha, or something that only this class can do."""
        kinds: set[Kind] = {kind for kind in self.kinds if kind not in ("alpha", "preview")}
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

    def _drawn(
        self,
        frames: Tensor,
        chunk: list[SourceFrame],
        ahead: list[SourceFrame],
        drawing: Drawing | None,
        dtype: torch.dtype,
    ) -> Iterator[Pictures]:
        """As `render`, with all pictures as the engine gives them; the foreground besides only for what is shown."""
        coming = iter(chunk)
        on_sheet = self.options.preview is not None and any(self.sheet.wants(self.index + t) for t in range(len(chunk)))
        shows = drawing is not None and (self._keeps_results or on_sheet or "preview" in self.kinds)
        results = self.session.stream(
            frames, out=dtype, foreground=shows, drawing=drawing, ahead=[frame.image for frame in ahead]
        )
        for result in results:
            for t, frame in zip(range(len(result.pha)), coming, strict=False):
                fgr, pha = None if result.fgr is None else result.fgr[t : t + 1], result.pha[t : t + 1]
                if self._keeps_results:
                    self._shown = frame, fgr, pha
                if self.options.preview is not None and self.sheet.wants(self.index):
                    assert fgr is not None
                    src = self._source(frame)
                    self.sheet.add(self.index, self._seconds(frame), src[0], to_float(fgr)[0], to_float(pha)[0])
                images: list[np.ndarray | Download] = []
                for kind in self.kinds:
                    if kind == "alpha":
                        images.append(self._fetched(interleaved(pha)[0]))
                    elif kind == "preview":
                        assert fgr is not None
                        board = self._over_board(to_float(fgr), to_float(pha))
                        images.append(self._fetched(interleaved(quantise(board, torch.uint8))[0]))
                    else:
                        assert result.pictures is not None
                        images.append(self._fetched(result.pictures[t]))
                self._seconds(frame)
                self.index += 1
                yield Pictures(images, frame.pts, frame.number)

    def pass_over(self, frames: Iterator[SourceFrame]) -> None:
        """Counts frames that an earlier run has rendered. Raises Stopped."""
        for frame in frames:
            if self.session.stopped():
                raise Stopped
            self._seconds(frame)
            self.index += 1

    def last_result(self) -> tuple[Tensor, Tensor]:
        """fgr [1, 3, H, W] (src, where no output needed it) and pha [1, 1, H, W] of the last frame, float."""
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

    def _fetched(self, picture: Tensor) -> np.ndarray | Download:
        return self._transfers.download(picture) if self._transfers else picture.cpu().numpy()

    def _render_frame(self, frame: SourceFrame, fgr: Tensor | None, pha: Tensor, bit_depths: list[int]) -> Pictures:
        options, seconds = self.options, self._seconds(frame)
        if options.edges:
            pha = refine_edges(pha, options.edges)
        draws = options.preview is not None and self.sheet.wants(self.index)
        behind = self.background is not None and self.background.needs_source
        src = self._source(frame) if draws or behind or (self._needs_fgr and options.decontaminate < 1) else None
        if self._needs_fgr and options.decontaminate < 1:
            assert src is not None
            fgr = decontaminate(src, pha, options.decontaminate, fgr)
        if self._keeps_results:
            self._shown = frame, fgr, pha
        if draws:
            assert src is not None
            assert fgr is not None
            self.sheet.add(self.index, seconds, src[0], fgr[0], pha[0])
        images = [
            self._picture(kind, src, fgr, pha, seconds, torch.uint16 if depth > 8 else torch.uint8)
            for kind, depth in zip(self.kinds, bit_depths, strict=True)
        ]
        self.index += 1
        return Pictures(images, frame.pts, frame.number)

    def _picture(
        self, kind: Kind, src: Tensor | None, fgr: Tensor | None, pha: Tensor, seconds: float, dtype: torch.dtype
    ) -> np.ndarray | Download:
        """One output's picture [H, W, C] from one frame's src, fgr [1, 3, H, W] and pha [1, 1, H, W]."""
        if kind == "alpha":
            return self._fetched(interleaved(quantise(pha, dtype))[0])
        assert fgr is not None
        if kind == "composite":
            assert self.background is not None
            bgr = self.background.frames(src, pha, [seconds], self.index)
            return self._fetched(interleaved(quantise(composite(fgr, pha, bgr), dtype))[0])
        if kind == "preview":
            return self._fetched(interleaved(quantise(self._over_board(fgr, pha), dtype))[0])
        alpha = quantise(pha, dtype)
        if kind == "matte" and self.options.premultiplied:
            color = quantise(premultiply(fgr, pha), dtype)
        else:
            color = hide_invisible(quantise(fgr, dtype), alpha)
        return self._fetched((interleaved_rgba(color, alpha) if kind == "matte" else interleaved(color))[0])

    def _over_board(self, fgr: Tensor, pha: Tensor) -> Tensor:
        """The small picture [1, 3, h, w] of a preview; scaled premultiplied, so that nothing hidden shows at edges."""
        size = preview_size(*pha.shape[-2:])
        small, alpha = (F.interpolate(x, size, mode="area") for x in (premultiply(fgr, pha), pha))
        if self._board.shape[-2:] != size:
            self._board = checkerboard(*size, device=pha.device)
        return small + (1 - alpha) * self._board

    def _seconds(self, frame: SourceFrame) -> float:
        """The frame's time from the clip's first frame on."""
        if self.first_pts is None:
            self.first_pts = frame.pts
        return float((frame.pts - self.first_pts) * self.info.time_base)
