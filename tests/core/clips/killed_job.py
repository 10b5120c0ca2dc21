"""A job that kills its process in the middle of the work, with its last record written.

    python killed_job.py SOURCE OUTPUT FRAMES [--resume]

In an interpreter of its own: a copy (fork) of a process whose libraries have threads may hang.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from resumed_jobs import run
from rvm_studio.core.clips import checkpoints
from rvm_studio.core.clips.matte_clip import ClipOptions, Output


def main() -> None:
    source, output, limit, *more = sys.argv[1:]
    checkpoints.REMEMBER_EVERY = checkpoints.SAVE_EVERY = 0
    after, frames_done = checkpoints.Checkpoints.after, 0

    def then(self, state, frames, cuts):
        nonlocal frames_done
        after(self, state, frames, cuts)
        frames_done += 1
        if self._saving is not None:
            self._saving.result()
        if frames_done == int(limit):
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.Checkpoints.after = then
    run(Path(source), [Output(Path(output), "matte")], ClipOptions(resume=bool(more)))


if __name__ == "__main__":
    main()
