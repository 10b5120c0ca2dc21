"""Mattes one stream: carries the state from call to call and checks what the caller gives."""

# T frames, C channels, H, W

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..engines import Drawing, EagerEngine, Engine, EngineOutput, Transfers
from ..errors import StudioError
from ..machine.device import DTYPE_NAMES, choose_device, choose_dtype, is_out_of_memory, release_cached_memory
from ..network import MattingNetwork, Rec
from ..pictures.pixel_format import frames_from_pictures
from ..pictures.view import View
from .downsample_ratio import choose_downsample_ratio
from .scene_cut import SceneCutDetector

log = logging.getLogger(__name__)

MOST_AT_ONCE = 12  # frames through the network
PIXELS_AT_ONCE = MOST_AT_ONCE * 1920 * 1080  # at the full size: fewer frames where they are larger


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """The work was stopped on request. A session raises it when its `stopped` returns True; its state is then the one
    after the last chunk that was yielded."""


@dataclass(frozen=True)
class StreamState:
    """A stream's memory between two calls. Immutable: nothing writes to its tensors.

    rec: r1..r4 [1, C_i, h/2^i, w/2^i]. height, width: of the frames. frame_count: frames since the session began.
    scene: the state of the scene-cut detector; None without one.
    """

    rec: Rec
    variant: str
    height: int
    width: int
    downsample_ratio: float
    dtype: torch.dtype
    frame_count: int = 0
    scene: Tensor | None = None

    def to(self, device: torch.device | str) -> "StreamState":
        """The same state with its tensors on another device."""
        r1, r2, r3, r4 = (r.to(device) for r in self.rec)
        return dataclasses.replace(self, rec=(r1, r2, r3, r4))


def opening_backwards(count: int, available: int) -> list[int]:
    """Indices of `count` frames that lead up to frame 0: count, ..., 2, 1 if that many are available; with fewer,
    back and forth between 0 and the last one, so that successive indices stay neighbours in time."""
    if available == 1:
        return [0] * count
    period = 2 * (available - 1)
    return [min(t % period, period - t % period) for t in range(count, 0, -1)]


class MattingSession:
    """Mattes one stream of frames over any number of calls; the result does not depend on how the frames are divided
    among the calls. Exported as Session.

    model: an Engine, as `load` makes it; or a MattingNetwork (run eagerly on `device` in `dtype`; see
        core.machine.device for "auto"), which is several times slower on a CPU.
    downsample_ratio: "auto" (longest side reduced to 512), "portrait", "full_body", or a number; fixed by the first
        frames.
    chunk: frames per run of the network, or "auto" (1 on a CPU, where more is slower). When memory runs out, it is
        halved permanently and the same frames are run again.
    warm_up: frames replayed before a stream's first (and a scene's first) frame, 0 for none. The network's
        error decreases over its first frames; replaying the opening frames backwards makes frame 0 as good as the
        rest. The warm-up looks ahead only within the frames of the call (and `ahead` of `stream`): give the first
        call at least warm_up + 1 frames; fewer are replayed back and forth.
    scene_cut: None for off, True for the detector's usual threshold, or a threshold (see core.stream.scene_cut); the
        state is reset at each detected cut.
    on_size_change: what happens when the frame size changes: "error", or "reset" (restart, with a warning in the log).
    stopped: called before every run of the engine, warm-ups included; when it returns True, Stopped is raised.
    view: how the network sees the frames, such as hdr_view for HDR; None: as they are. Results keep the frames' values.

    Raises StudioError for unusable settings.

    >>> import rvm_studio
    >>> with rvm_studio.open_reader("clip.mp4") as reader:
    ...     images = [frame.image for frame in reader]  # [H, W, 3] uint8
    >>> session = rvm_studio.Session(rvm_studio.load(), warm_up=6)
    >>> fgr, pha = session.matte(images[:8])
    >>> fgr, pha = session.matte(images[8:])  # continues where the last call ended
    >>> list(fgr.shape), list(pha.shape), str(pha.dtype)
    ([4, 3, 48, 64], [4, 1, 48, 64], 'torch.float32')
    """

    def __init__(
        self,
        model: MattingNetwork | Engine,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        downsample_ratio: str | float = "auto",
        chunk: int | Literal["auto"] = "auto",
        warm_up: int = 0,
        scene_cut: bool | float | None = None,
        on_size_change: Literal["error", "reset"] = "error",
        stopped: Callable[[], bool] = lambda: False,
        view: View | None = None,
    ):
        if chunk != "auto" and (not isinstance(chunk, int) or chunk < 1):
            raise StudioError(f"The chunk is {chunk} frames; it must be a whole number from 1 on (or auto).")
        if not isinstance(warm_up, int) or warm_up < 0:
            raise StudioError(f"The warm-up is {warm_up} frames; it must be a whole number from 0 on.")
        assert on_size_change in ("error", "reset"), on_size_change
        if isinstance(model, MattingNetwork):
            chosen = choose_device(device)
            model = EagerEngine(model, chosen, choose_dtype(dtype, chosen))
        self.engine: Engine = model
        self.downsample_ratio = downsample_ratio
        self.warm_up = warm_up
        self.on_size_change = on_size_change
        self.stopped = stopped
        self.view = view
        self.cuts: list[int] = []
        """Numbers (from the session's first frame) of the frames that began a new scene."""
        self._chunk = None if chunk == "auto" else chunk
        self._state: StreamState | None = None
        self._frame_count = 0
        self._detector: SceneCutDetector | None = None
        if scene_cut is not None and scene_cut is not False:
            self._detector = SceneCutDetector() if scene_cut is True else SceneCutDetector(scene_cut)
        self.scene_cut = self._detector.threshold if self._detector else None
        """The threshold; None for off."""

    @property
    def state(self) -> StreamState | None:
        """The state after the last frame; None before the first one and after a reset. Setting it continues from there.

        Setting raises StudioError if the state belongs to another variant or precision. A different size or ratio
        is reported with the next frames.
        """
        return self._state

    @state.setter
    def state(self, state: StreamState | None) -> None:
        if state is None:
            self.reset()
            return
        if state.variant != self.engine.variant:
            raise StudioError(
                f"The state belongs to the {state.variant} network but this session runs {self.engine.variant}. "
                "Use the same model for both, or start without a state."
            )
        if state.dtype != self.engine.dtype:
            raise StudioError(
                f"The state is {DTYPE_NAMES[state.dtype]} but this session computes in "
                f"{DTYPE_NAMES[self.engine.dtype]}. Use the same precision for both, or start without a state."
            )
        self._state = state.to(self.engine.device)
        self._frame_count = state.frame_count
        if self._detector:
            self._detector.state = state.scene

    @property
    def transfers(self) -> Transfers | None:
        """Those of the engine, if it has any: copies that overlap with its computation (see core.engines.transfers)."""
        return self.engine.transfers

    def reset(self) -> None:
        """Forgets the stream: the next frame is a first frame."""
        self._state = None
        if self._detector:
            self._detector.reset()

    def matte(
        self,
        frames: Tensor | np.ndarray | Sequence[np.ndarray],
        *,
        out: torch.dtype = torch.float32,
        foreground: bool = True,
        out_device: str | torch.device = "cpu",
    ) -> tuple[Tensor, Tensor]:
        """The stream's next frames -> (fgr [T, 3, H, W], pha [T, 1, H, W]), straight foreground and alpha.

        frames: tensor [T, 3, H, W], float 0..1 or uint8 / uint16; or pictures: an array [T, H, W, 3] or a sequence
        of T arrays [H, W, 3]. T = 0 gives empty results.
        out: torch.float32 (0..1), torch.uint8 or torch.uint16 (rounded, full range). Without `foreground`, fgr is
        empty (T, 3, 0, 0) and is not computed.

        Raises StudioError if the size differs from the state's (unless on_size_change="reset") or not even one
        frame fits in memory, and Stopped; the state is then the one before the call.
        """
        frames = self._checked(frames)
        T, _, H, W = frames.shape  # noqa: N806
        pha = torch.empty(T, 1, H, W, dtype=out, device=out_device)
        fgr = torch.empty((T, 3, H, W) if foreground else (T, 3, 0, 0), dtype=out, device=out_device)
        before = self._state, self._frame_count, list(self.cuts), self._detector and self._detector.state
        done = 0
        outputs = self.stream(frames, out=out, foreground=foreground)
        if self.transfers and pha.device.type == "cpu":
            outputs = self.transfers.downloads(outputs)
        try:
            for output in outputs:
                now = slice(done, done + len(output.pha))
                pha[now] = output.pha
                if output.fgr is not None:
                    fgr[now] = output.fgr
                done = now.stop
        except BaseException:
            self._state, self._frame_count, self.cuts, scene = before
            if self._detector:
                self._detector.state = scene
            raise
        return fgr, pha

    def stream(
        self,
        frames: Tensor | np.ndarray | Sequence[np.ndarray],
        *,
        out: torch.dtype = torch.float32,
        foreground: bool = True,
        drawing: Drawing | None = None,
        ahead: Tensor | np.ndarray | Sequence[np.ndarray] = (),
    ) -> Iterator[EngineOutput]:
        """Like `matte`, but yields the result of each chunk on the engine's device, so that no more than one chunk is
        held. The state advances with every chunk; after an error or Stopped it is the one after the last chunk.

        drawing: finished pictures, from an engine that draws (see Engine.run).
        ahead: the frames that follow. They are not matted, but the warm-up of a new scene may use them; with
        `look_ahead` of them (or all that remain) the result is the same for every length of `frames`.
        """
        frames = self._checked(frames)
        if out not in (torch.float32, torch.uint8, torch.uint16):
            raise StudioError(f"The output dtype is {out}; expected torch.float32, uint8 or uint16.")
        T, _, H, W = frames.shape  # noqa: N806
        if T == 0:
            return
        ratio = self.fitting_ratio(H, W)
        rec = self._state.rec if self._state else None
        cuts, scenes = self._find_cuts(frames)
        begins = sorted({0, *cuts})
        for begin, end in zip(begins, [*begins[1:], T], strict=True):
            if rec is None or begin in cuts:
                opening = list(frames[begin:end].split(1))
                if end == T and len(ahead):
                    opening += self._within_scene(self._singles(ahead), scenes[-1])
                rec = self._replayed(opening, ratio)
            first = begin
            while begin < end:
                output = self._run(frames[begin:end], rec, ratio, out, foreground, drawing)
                if begin == first and first in cuts:
                    self.cuts.append(self._frame_count)
                rec = output.rec
                begin += len(output.pha)
                self._advance(rec, len(output.pha), H, W, ratio, scenes[begin - 1])
                yield output

    @property
    def look_ahead(self) -> int:
        """How many frames after the last one of a call a warm-up may use (see `stream`): 0 unless scene cuts
        are detected."""
        return self.warm_up if self._detector else 0

    def warm_up_on(self, opening: Tensor | np.ndarray | Sequence[np.ndarray]) -> None:
        """Warms up a new stream on its opening frames (`warm_up` + 1 of them); the first of them will also be the first
        frame given to `matte`. For callers that give few frames at a time; otherwise `matte` warms up by itself. Raises
        the same errors as `matte`; the stream is then still new."""
        assert self._state is None, "warm_up_on is for a new stream"
        singles = self._singles(opening)
        H, W = singles[0].shape[-2:]  # noqa: N806
        ratio = self.fitting_ratio(H, W)
        rec = self._replayed(self._within_scene(singles, None), ratio)
        if rec is not None:
            self._advance(rec, 0, H, W, ratio, None)

    def _find_cuts(self, frames: Tensor) -> tuple[list[int], list[Tensor | None]]:
        """The frames that begin a scene, and the detector's state after each frame."""
        cuts: list[int] = []
        if self._detector is None:
            return cuts, [None] * len(frames)
        scenes: list[Tensor | None] = []
        before = self._detector.state
        for t, frame in enumerate(frames):
            if self._detector.is_cut(frame):
                cuts.append(t)
            scenes.append(self._detector.state)
        self._detector.state = before  # it advances with the chunks that are done
        return cuts, scenes

    def _within_scene(self, singles: list[Tensor], scene: Tensor | None) -> list[Tensor]:
        """The frames [1, 3, H, W] up to the next cut, found by a separate detector that starts from `scene`."""
        if self._detector is None:
            return singles
        scout = SceneCutDetector(self._detector.threshold)
        scout.state = scene
        return singles[: next((t for t, frame in enumerate(singles) if scout.is_cut(frame[0])), len(singles))]

    def _advance(self, rec: Rec, count: int, height: int, width: int, ratio: float, scene: Tensor | None) -> None:
        self._frame_count += count
        if self._detector:
            self._detector.state = scene
        self._state = StreamState(
            rec, self.engine.variant, height, width, ratio, self.engine.dtype, self._frame_count, scene
        )

    def _run(
        self,
        frames: Tensor,
        rec: Rec | None,
        ratio: float,
        out: torch.dtype,
        foreground: bool,
        drawing: Drawing | None = None,
    ) -> EngineOutput:
        """Runs the engine on the first chunk of the frames, on as many as fit in memory."""
        while True:
            if self.stopped():
                raise Stopped
            part = frames[: self.chunk_for(*frames.shape[-2:])]
            try:
                return self.engine.run(
                    part, rec, ratio, out=out, foreground=foreground, drawing=drawing, view=self.view
                )
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    H, W = frames.shape[-2:]  # noqa: N806
                    raise StudioError(
                        f"Not even one {W}x{H} frame fits in the memory of {self.engine.device}. Use a smaller "
                        "downsample ratio or smaller frames, close other programs, or use the device cpu."
                    ) from error
            # Outside the except block, so that the tensors of the failed attempt have been freed.
            self._chunk = len(part) // 2
            release_cached_memory(self.engine.device)
            log.warning("Out of memory with %d frames per run; continuing with %d.", len(part), self._chunk)

    def chunk_for(self, height: int, width: int) -> int:
        """How many frames of this size the network runs at once."""
        if self._chunk is not None:
            return self._chunk
        if self.engine.device.type == "cpu":
            return 1
        return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // (height * width)))

    def _replayed(self, opening: list[Tensor], ratio: float) -> Rec | None:
        """The state just before a scene's first frame, from replaying its opening (frames [1, 3, H, W]) backwards."""
        rec = None
        for t in opening_backwards(self.warm_up, len(opening)):
            rec = self._run(opening[t], rec, ratio, torch.uint8, foreground=False).rec
        return rec

    def _singles(self, frames: Tensor | np.ndarray | Sequence[np.ndarray]) -> list[Tensor]:
        """Separate frames [1, 3, H, W]; pictures are not copied."""
        if isinstance(frames, Tensor | np.ndarray):
            return list(self._checked(frames).split(1))
        if len({np.shape(picture) for picture in frames}) > 1:
            self._checked(frames)  # raises
        return [self._checked([picture]) for picture in frames]

    def _checked(self, frames: Tensor | np.ndarray | Sequence[np.ndarray]) -> Tensor:
        try:
            if not isinstance(frames, Tensor):
                frames = frames_from_pictures(frames) if len(frames) else torch.empty(0, 3, 0, 0)
        except (ValueError, TypeError) as error:
            raise StudioError(f"The frames cannot be used: {error}.") from error
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise StudioError(
                f"The frames have the shape {list(frames.shape)}; expected a tensor [T, 3, H, W], "
                "or pictures [T, H, W, 3]."
            )
        if not frames.is_floating_point() and frames.dtype not in (torch.uint8, torch.uint16):
            raise StudioError(f"The frames are {frames.dtype}; expected float 0..1, uint8 or uint16.")
        if len(frames) and 0 in frames.shape:
            raise StudioError(f"The frames are empty: {frames.shape[3]}x{frames.shape[2]} pixels.")
        if len(frames) and frames.is_floating_point() and self._state is None:  # once per stream, because it takes time
            peak = frames[0].amax().item()
            if not peak < 1.5:
                raise StudioError(
                    f"The frames reach {peak:g}; float frames are 0..1. Scale them to 0..1, or give uint8."
                )
        return frames

    def fitting_ratio(self, height: int, width: int) -> float:
        """The downsample ratio for frames of this size. Raises StudioError if there is a state of another size (unless
        on_size_change="reset") or ratio."""
        state = self._state
        if state and (state.height, state.width) != (height, width):
            message = f"The frames are {width}x{height} but the state belongs to {state.width}x{state.height} frames."
            if self.on_size_change == "error":
                raise StudioError(f"{message} Reset the state when a new clip begins, or scale all frames to one size.")
            log.warning("%s Restarting the stream.", message)
            self.reset()
            state = None
        ratio = choose_downsample_ratio(self.downsample_ratio, height, width)
        if state and state.downsample_ratio != ratio:
            raise StudioError(
                f"The downsample ratio is {ratio:g} but the state was made with {state.downsample_ratio:g}. "
                "Use one ratio for the whole clip, or reset the state."
            )
        return ratio
