"""Frames to a graphics card and results back while it computes: each way has a stream of its own.

Nothing here waits for the card but `Download` at its use, and `pace`. The CPU's memory is pinned and comes from one of
PyTorch's allocators, the card's from another: both keep what they have, so that after the first frames nothing new is
taken, and neither hands out memory again before the copies that use it have ended.
"""

# T frames of one stream, C channels, H, W

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..network import Rec
from .engine import EngineOutput

log = logging.getLogger(__name__)

AHEAD = 2  # runs that may be on their way at once: one that computes, one whose frames are being brought


class Download:
    """A result on its way from the card to the CPU. `done` is None where it is there already."""

    def __init__(self, result: Tensor, done: Any | None):
        self._result, self._done = result, done

    def tensor(self) -> Tensor:
        """The result, on the CPU, once it is there."""
        if self._done is not None:
            self._done.synchronize()
            self._done = None
        return self._result

    def numpy(self) -> np.ndarray:
        """The same; the array keeps its memory from being used again."""
        return self.tensor().numpy()


class Transfers:
    """Copies beside the current stream of `device`. An engine that has `transfers` brings frames from the CPU by them,
    and returns before its results are there: whoever wants them on the CPU downloads them here.

    cuda: torch.cuda, or what stands for it.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda):
        self._device, self._cuda = device, cuda
        self._up, self._down = cuda.Stream(device), cuda.Stream(device)
        self._begun: deque[Any] = deque()
        self._can_pin = True

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory of the CPU that the card reads and writes by itself; any other where there is no more of it."""
        if self._can_pin:
            try:
                return self._new_pinned(shape, dtype)
            except RuntimeError as error:
                log.warning("no pinned memory (%s): copies to and from %s are slower", error, self._device)
                self._can_pin = False
        return torch.empty(tuple(shape), dtype=dtype)

    def pace(self) -> None:
        """Called once a run, before it is launched: waits until no more than one earlier run is on its way, so that
        whoever does not look at the results does not fill the card's memory with frames."""
        mark = self._cuda.Event(blocking=True)
        mark.record(self._cuda.current_stream(self._device))
        self._begun.append(mark)
        if len(self._begun) >= AHEAD:
            self._begun.popleft().synchronize()

    def upload(self, frames: Tensor) -> Tensor:
        """frames [T, C, H, W] on the CPU -> on the card, in their memory order. What is launched on the current stream
        afterwards finds them there."""
        interleaved = _is_interleaved(frames)
        source = frames.permute(0, 2, 3, 1) if interleaved else frames.contiguous()
        if not self._is_pinned(source):
            pinned = self.pinned(source.shape, source.dtype)
            pinned.copy_(source)
            source = pinned
        with self._cuda.stream(self._up):
            target = self._new(source.shape, source.dtype)
            self._copy(target, source)
        current = self._cuda.current_stream(self._device)
        current.wait_stream(self._up)
        self._uses(target, current)
        return target.permute(0, 3, 1, 2) if interleaved else target

    def download(self, result: Tensor) -> Download:
        """Begins to bring a contiguous result to the CPU, as soon as the current stream has computed it."""
        assert result.is_contiguous(), "the copy engines move whole blocks: what is strided would be copied first"
        self._down.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._down):
            pinned = self.pinned(result.shape, result.dtype)
            self._copy(pinned, result)
            done = self._cuda.Event(blocking=True)  # who waits sleeps: decoders and encoders need the cores
            done.record(self._down)
        self._uses(result, self._down)
        return Download(pinned, done)

    def downloads(self, outputs: Iterable[EngineOutput]) -> Iterator[EngineOutput]:
        """The outputs of a stream with fgr and pha on the CPU, each given out when the run after it has been launched:
        it is brought and used while that one computes."""
        before: _OnItsWay | None = None
        for output in outputs:
            planar = output.fgr is not None and not _is_interleaved(output.fgr)
            fgr = output.fgr if output.fgr is None or planar else output.fgr.permute(0, 2, 3, 1)
            now = _OnItsWay(
                None if fgr is None else self.download(fgr.contiguous()), planar, self.download(output.pha), output.rec
            )
            if before:
                yield before.arrived()
            before = now
        if before:
            yield before.arrived()

    # What stands for a card in the tests replaces these.

    def _new(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, device=self._device)

    def _new_pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def _is_pinned(self, x: Tensor) -> bool:
        return x.is_pinned()

    def _copy(self, target: Tensor, source: Tensor) -> None:
        target.copy_(source, non_blocking=True)

    def _uses(self, x: Tensor, stream: Any) -> None:
        """x's memory, of another stream, is not used again before what `stream` does with it so far is done."""
        x.record_stream(stream)


class _OnItsWay(NamedTuple):
    fgr: Download | None
    planar: bool  # the memory order of fgr
    pha: Download
    rec: Rec

    def arrived(self) -> EngineOutput:
        fgr = None if self.fgr is None else self.fgr.tensor()
        return EngineOutput(fgr if fgr is None or self.planar else fgr.permute(0, 3, 1, 2), self.pha.tensor(), self.rec)


def _is_interleaved(frames: Tensor) -> bool:
    return frames.permute(0, 2, 3, 1).is_contiguous()
