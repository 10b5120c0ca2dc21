"""Peak memory of a whole matting process does not depend on the clip's length."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from rvm_studio.core.machine.process_tuning import tune_process
tune_process()
from pathlib import Path
from rvm_studio.core import MattingNetwork, MattingSession
from rvm_studio.core import ClipOptions, Output, matte_clip
clip, folder = Path(sys.argv[1]), Path(sys.argv[2])
outputs = [Output(folder / "out.mov", "matte"), Output(folder / "out.mp4", "composite")]
session = MattingSession(MattingNetwork(), device="cpu", downsample_ratio=0.2, warm_up=3)
peaks = []
progress = lambda *_: peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
matte_clip(clip, outputs, session, ClipOptions(preview=folder / "sheet.png"), on_progress=progress)
print(*peaks)
"""
FULL = 100  # frames after which queues and encoders hold all that they ever will


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read with getrusage")
def test_three_times_the_length_takes_the_same_memory(tmp_path, make_clip):
    clip = make_clip(tmp_path / "clip.mp4", size=(640, 360), frames=3 * FULL, audio="aac")
    command = [sys.executable, "-c", SCRIPT, str(clip), str(tmp_path)]
    output = subprocess.check_output(command, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
    peaks = [int(peak) / (2**20 if sys.platform == "darwin" else 2**10) for peak in output.split()]
    assert len(peaks) == 3 * FULL
    # 200 frames more are 138 MB as RGB and 69 MB as decoded pictures: any that were kept would show.
    assert peaks[-1] - peaks[FULL] < 40, peaks
