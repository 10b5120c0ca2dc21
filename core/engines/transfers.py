"""Copies of frames to a GPU and of results back that overlap with its computation: each direction has its own stream.

Only `pace` and the use of a `Download` wait for the GPU. Pinned CPU memory comes from one of PyTorch's allocators, GPU
memory from another: both keep what they have allocated, so that nothing new is allocated after the first frames, and
neither reuses memory before the copies that use it have finished.
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

AHEAD = 2  # runs in flight at most: one that computes, one whose frames are uploaded


class Download:
    """A result on its way from the GPU to the CPU. `done` is None if it has arrived already."""

    def __init__(self, result: Tensor, done: Any | None):
        self._result, self._done = result, done

    def tensor(self) -> Tensor:
        """Waits for the result, and returns it on the CPU."""
        if self._done is not None:
            self._done.synchronize()
            self._done = None
        return self._result

    def numpy(self) -> np.ndarray:
        """The same as an array, which keeps its memory from being reused."""
        return self.tensor().numpy()


class Transfers:
    """Copies that run beside the current stream of `device`. An engine with `transfers` uploads frames with them and
    returns before its results are computed; to get results on the CPU, download them here.

    cuda: torch.cuda, or a stand-in for it.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda):
        self._device, self._cuda = device, cuda
        self._up, self._down = cuda.Stream(device), cuda.Stream(device)
        self._begun: deque[Any] = deque()
        self._can_pin = True

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """CPU memory that the GPU can access directly; ordinary memory if none is left."""
        if self._can_pin:
            try:
                return self._new_pinned(shape, dtype)
            except RuntimeError as error:
                log.warning("no pinned memory (%s): copies to and from %s will be slower", error, self._device)
                self._can_pin = False
        return torch.empty(tuple(shape), dtype=dtype)

    def pace(self) -> None:
        """Called once per run, before the launch: waits until at most one earlier run is in flight, so that a caller
        that never reads the results does not fill the GPU's memory with frames."""
        mark = self._cuda.Event(blocking=True)
        mark.record(self._cuda.current_stream(self._device))
        self._begun.append(mark)
        if len(self._begun) >= AHEAD:
            self._begun.popleft().synchronize()

    def upload(self, frames: Tensor) -> Tensor:
        """frames [T, C, H, W] on the CPU -> on the GPU, in the same memory order. Work launched on the current stream
        afterwards can use them."""
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
        """Starts to copy a contiguous result to the CPU; the copy begins when the current stream has computed it."""
        assert result.is_contiguous(), "strided results would be copied once more"
        self._down.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._down):
            pinned = self.pinned(result.shape, result.dtype)
            self._copy(pinned, result)
            done = self._cuda.Event(blocking=True)  # waiting threads sleep: decoders and encoders need the cores
            done.record(self._down)
        self._uses(result, self._down)
        return Download(pinned, done)

    def downloads(self, outputs: Iterable[EngineOutput]) -> Iterator[EngineOutput]:
        """The outputs of a stream with fgr and pha on the CPU. Each is yielded when the next run has been launched: it
        is copied and used while that one computes."""
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

    # The tests' stand-in for a GPU replaces these.

    def _new(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, device=self._device)

    def _new_pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def _is_pinned(self, x: Tensor) -> bool:
        return x.is_pinned()

    def _copy(self, target: Tensor, source: Tensor) -> None:
        target.copy_(source, non_blocking=True)

    def _uses(self, x: Tensor, stream: Any) -> None:
        """Keeps the memory of x, which another stream allocated, until `stream` has finished its work so far."""
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
