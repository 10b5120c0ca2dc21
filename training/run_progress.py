"""How far a run is: a bar, or a line now and then, with the time left for the stage and for the whole recipe."""

import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from .recipe import Preset, Stage

SECONDS_BETWEEN_LINES = 15.0
_SMOOTHING = 0.9


def work_of_step(stage: Stage, preset: Preset) -> float:
    """A step's work in network pixels, to compare stages: forward and backward of all its passes."""
    frames = stage.low.frames
    pictures = (frames + (preset.segmentation_images or frames)) / 2
    work = (frames + pictures) * stage.low.size**2
    if stage.high is not None:
        full = stage.high.frames * stage.high.size**2
        work += full * stage.high.ratio**2 + 0.25 * full  # the refiner's share of a full pixel
    return work


class RunProgress:
    """Called after every step. `stages`: (stage, its steps) of the whole run, those done included."""

    def __init__(self, stages: Sequence[tuple[Stage, int]], preset: Preset, shown: bool) -> None:
        self._stages = list(stages)
        self._work = {stage.number: work_of_step(stage, preset) for stage, _ in stages}
        self._seconds_per_work: float | None = None
        self._shown = shown
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm | None = None
        self._last_line = 0.0
        self._last_step = time.monotonic()

    def begin(self, stage: Stage, done: int, steps: int) -> None:
        self.close()
        self._last_step = time.monotonic()
        self._last_line = 0.0
        if self._shown and self._terminal:
            self._bar = tqdm(desc=f"stage {stage.number}", total=steps, initial=done, unit=" steps", leave=True)

    def step(self, stage: Stage, done: int, loss: float) -> None:
        """`done` of the stage's steps are done."""
        now = time.monotonic()
        took, self._last_step = now - self._last_step, now
        rate = took / self._work[stage.number]
        old = self._seconds_per_work
        self._seconds_per_work = rate if old is None else _SMOOTHING * old + (1 - _SMOOTHING) * rate
        if not self._shown:
            return
        left, left_of_all = self.seconds_left(stage, done)
        times = f"{tqdm.format_interval(left)} left, {tqdm.format_interval(left_of_all)} for all stages"
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, {times}", refresh=False)
            self._bar.update(1)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES or done == self._steps(stage):
            self._last_line = now
            print(
                f"stage {stage.number}: {done}/{self._steps(stage)} steps, loss {loss:.3f}, {times}",
                file=sys.stderr,
                flush=True,
            )

    def seconds_left(self, stage: Stage, done: int) -> tuple[float, float]:
        """Of the stage, and of it and the ones after it."""
        pace = self._seconds_per_work or 0.0
        left = (self._steps(stage) - done) * self._work[stage.number] * pace
        later = sum(steps * self._work[s.number] * pace for s, steps in self._stages if s.number > stage.number)
        return left, left + later

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _steps(self, stage: Stage) -> int:
        return next(steps for s, steps in self._stages if s.number == stage.number)
