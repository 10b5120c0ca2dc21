"""Records of a job while it runs, so that a killed process, a power cut or a full disk costs a few seconds of work.

The state after a frame is remembered every second. Once all outputs hold that frame outside this process, a thread of
its own waits until the disk has it, and then replaces the job's record. The pictures do not wait for any of this.
"""

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import StudioError
from ..stream.session import StreamState
from ..video.partial_output import Written
from ..video.writer_thread import WriterThread
from .resume import JobRecord, Stop

REMEMBER_EVERY = 1.0  # seconds
SAVE_EVERY = 4.0
_MOST_REMEMBERED = 60  # moments that the outputs do not hold yet, and the last one that they do


@dataclass(frozen=True)
class _Moment:
    """What the state has seen, and what the outputs will contain once their threads have come so far."""

    frames: int
    state: StreamState
    cuts: list[int]
    marks: list[Future[Written]]

    def stop(self) -> Stop | None:
        """None while not all outputs have come so far, or if one has failed before."""
        if not all(mark.done() and not mark.cancelled() and mark.exception() is None for mark in self.marks):
            return None
        written = [mark.result() for mark in self.marks]
        if any(output.frames != self.frames for output in written):
            return None
        return Stop(self.state, self.cuts, written)


class Checkpoints:
    """Saves `record` every few seconds. threads: of the outputs in it.

    Attributes:
        saved: The frames of the last record that was saved; 0 without one.
    """

    def __init__(self, record: JobRecord, threads: Sequence[WriterThread]) -> None:
        self.saved = 0
        self._record, self._threads = record, threads
        self._moments: list[_Moment] = []
        self._remember_at = self._save_at = 0.0
        self._thread = ThreadPoolExecutor(1, "rvm-record")
        self._saving: Future[None] | None = None

    def after(self, state: StreamState, frames: int, cuts: list[int]) -> None:
        """Call it after every chunk, with the state after `frames` frames of the clip."""
        now = time.monotonic()
        if now >= self._remember_at:
            self._remember_at = now + REMEMBER_EVERY
            marks = [thread.mark() for thread in self._threads]
            held = next((i for i, moment in enumerate(self._moments[::-1], 1) if self._held(moment)), 0)
            self._moments = [*self._moments[-held:][-_MOST_REMEMBERED:], _Moment(frames, state, cuts, marks)]
        if now >= self._save_at and (self._saving is None or self._saving.done()):
            later = (moment for moment in reversed(self._moments) if moment.frames > self.saved)
            if stop := next(filter(None, map(self._held, later)), None):
                self._save_at = now + SAVE_EVERY
                self._saving = self._thread.submit(self._save, stop)

    def _held(self, moment: _Moment) -> Stop | None:
        """What to save of a moment, if all outputs hold it."""
        stop = moment.stop()
        if stop is None:
            return None
        pairs = zip(self._threads, stop.written, strict=True)
        return stop if all(thread.writer.holds(mark) for thread, mark in pairs) else None

    def _save(self, stop: Stop, *, in_place: bool = False) -> None:
        with contextlib.suppress(StudioError, OSError):  # as on a full disk: the record before it still holds
            for thread in self._threads:
                thread.writer.sync()
            self._record.save(stop, in_place=in_place)
            self.saved = stop.frames
            for thread in self._threads:
                thread.writer.forget_earlier()

    def end(self) -> None:
        """Waits for a record that is being saved."""
        self._thread.shutdown()

    def rescue(self, frames: int) -> int:
        """After outputs ended that could not be completed, but hold `frames` frames: saves a record of the last moment
        that fits. Returns the frames of the record; 0 if there is none."""
        for moment in reversed(self._moments):
            stop = moment.stop()
            if stop and self.saved < stop.frames <= frames:
                self._save(stop)
                if self.saved and self.saved != stop.frames:
                    self._save(stop, in_place=True)
                break
        return self.saved if self.saved <= frames else 0
