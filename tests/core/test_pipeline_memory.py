"""Peak memory of a whole matting process does not depend on the clip's length."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from rvm_studio.core.process_tuning import tune_process
tune_process()
from pathlib import Path
from rvm_studio.core import MattingNetwork, MattingSession
from rvm_studio.core.video_matting import ClipOptions, Output, matte_clip
clip, folder = Path(sys.argv[1]), Path(sys.argv[2])
outputs = [Output(folder / "out.mov", "matte"), Output(folder / "out.mp4", "composite")]
session = MattingSession(MattingNetwork(), device="cpu", downsample_ratio=0.2, warm_up=3)
report = matte_clip(clip, outputs, session, ClipOptions(overwrite=True, preview=folder / "sheet.png"))
print(report.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read with getrusage")
def test_ten_times_the_length_takes_the_same_memory(tmp_path, make_clip):
    peaks = {}
    for frames in (30, 300):
        clip = make_clip(tmp_path / f"{frames}.mp4", size=(640, 360), frames=frames, audio="aac")
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        output = subprocess.check_output(
            [sys.executable, "-c", SCRIPT, str(clip), str(tmp_path)], text=True, env=environment
        )
        count, peak = map(int, output.split())
        assert count == frames
        peaks[frames] = peak / (2**20 if sys.platform == "darwin" else 2**10)
    # 270 frames more are 180 MB as RGB and 62 MB as decoded pictures: any that were kept would show.
    assert peaks[300] - peaks[30] < 40, peaks
