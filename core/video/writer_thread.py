"""A FrameWriter in a thread of its own."""

# H, W height and width; C channels

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from .partial_output import Written
from .writer import FrameWriter


class ToCome(Protocol):
    """A picture that the GPU is still computing."""

    def numpy(self) -> np.ndarray:
        """Waits for the picture and returns it."""
        ...


class WriterThread:
    """A writer in its own thread, up to `queue` frames behind. That thread waits for pictures from the GPU.

    from_zero: shift all pts so that the first frame that is put has the pts 0.
    """

    def __init__(self, writer: FrameWriter, queue: int, from_zero: bool = False):
        self.writer = writer
        self.finished: Path | None = None
        self._queue = queue
        self._zero = None if from_zero else 0
        self._thread = ThreadPoolExecutor(1, "rvm-write")
        self._waiting: deque[Future[None]] = deque()

    def put(self, picture: np.ndarray | ToCome, pts: int, number: int) -> None:
        """Queues a frame; waits while the queue is full. Raises the error of an earlier frame's writing."""
        while len(self._waiting) >= self._queue:
            self._waiting.popleft().result()
        self._zero = pts if self._zero is None else self._zero
        self._waiting.append(self._thread.submit(self._write, picture, pts - self._zero, number))

    def _write(self, picture: np.ndarray | ToCome, pts: int, number: int) -> None:
        self.writer.write(picture if isinstance(picture, np.ndarray) else picture.numpy(), pts, number)

    def finish(self) -> Path:
        while self._waiting:
            self._waiting.popleft().result()
        self._thread.shutdown()
        self.finished = self.writer.finish()
        return self.finished

    def end(self, keep: bool) -> None:
        """Ends the thread after an error or stop; with `keep`, after all queued frames were written or failed."""
        self._thread.shutdown(cancel_futures=not keep)
        for future in self._waiting:
            if not future.cancelled() and (error := future.exception()):
                self.writer.notes.append(f"the last frames were not written: {error}")
                break
        self._waiting.clear()

    def mark(self) -> Future[Written]:
        """The writer's mark after the frames put by now."""
        return self._thread.submit(self.writer.mark)

    def abandon(self, keep: bool, *, settle: bool = True) -> Path | None:
        """Abandons the output after an error or stop, see FrameWriter. A finished one stays, and its path is
        returned."""
        if self.finished:
            return self.finished
        self.end(keep)
        return self.writer.abandon(keep, settle=settle)

    def settle(self) -> Path | None:
        """See FrameWriter. Returns the path of a finished output."""
        return self.finished or self.writer.settle()
