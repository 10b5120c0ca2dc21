"""The progress of a run: a bar, or a line from time to time, with the time left for the stage and for all stages."""

import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from .recipe import Preset, Stage

SECONDS_BETWEEN_LINES = 15.0
_SMOOTHING = 0.9


def work_of_step(stage: Stage, preset: Preset) -> float:
    """The work of a step (all its passes), in pixels for the network, for comparing stages."""
    frames = stage.low.frames
    pictures = (frames + (preset.segmentation_images or frames)) / 2
    work = (frames + pictures) * stage.low.size**2
    if stage.high is not None:
        full = stage.high.frames * stage.high.size**2
        work += full * stage.high.ratio**2 + 0.25 * full  # 0.25: the refiner's work per full-size pixel
    return work


class RunProgress:
    """Shows the progress. stages: (stage, number of its steps) of the whole run, including finished stages."""

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
        """Called after every step. done: number of finished steps of the stage."""
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
        """(seconds left for the stage, seconds left for it and all later stages)."""
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
