"""Real-time priorities that native code sets are taken back."""

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="threads of Linux"),
    pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may set such priorities"),
]

POLICIES = """
import os

def policies():
    return sorted({os.sched_getscheduler(int(number)) for number in os.listdir("/proc/self/task")})
"""


def ran(code: str) -> list[str]:
    command = [sys.executable, "-c", POLICIES + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def test_a_priority_set_inside_is_taken_back():
    code = """
import threading
from rvm_studio.core.machine.thread_priority import usual_priority
end = threading.Event()
threading.Thread(target=end.wait).start()
with usual_priority():
    for number in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(number), os.SCHED_FIFO, os.sched_param(1))
    print(policies())
print(policies())
end.set()
"""
    assert ran(code) == [f"[{os.SCHED_FIFO}]", f"[{os.SCHED_OTHER}]"]


def test_a_process_that_is_real_time_stays_so():
    code = """
from rvm_studio.core.machine.thread_priority import usual_priority
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
with usual_priority():
    pass
print(policies())
"""
    assert ran(code) == [f"[{os.SCHED_FIFO}]"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_after_a_file_in_av1_the_process_is_as_before(tmp_path, suffix):
    """libsvtav1, as root."""
    code = f"""
import av, numpy, sys
from fractions import Fraction
if "libsvtav1" not in av.codecs_available:
    sys.exit(print("[0]"))
from rvm_studio.core import ColorTags, FrameWriter, PictureSpec
spec = PictureSpec(
    height=128, width=256, frame_rate=Fraction(25), time_base=Fraction(1, 25), tags=ColorTags(1, 1, 1, 1)
)
writer = FrameWriter({str(tmp_path / ("a" + suffix))!r}, spec, content="rgb", codec="av1")
writer.write(numpy.zeros((128, 256, 3), numpy.uint8), 0, 0)
writer.finish()
print(policies())
"""
    assert ran(code) == ["[0]"]
    assert len(list(tmp_path.glob("a.*"))) == 1
