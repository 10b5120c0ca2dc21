"""A worker whose mattes are known, for tests of what OBS does with them.

    known_worker.py ARENA MASK [DELAY_MS] [REPORT]       MASK: a number 0..255, or "pattern"

"pattern": reads the number that a frame of numbered_clip.py carries and mattes exactly that frame's pattern; what a
picture is drawn with other than its own matte shows. REPORT: a file that is rewritten with what stands in the shared
memory ten times a second.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent.parent / "obs_plugin"))
import numbered_clip  # noqa: E402
import rvm_frame_protocol as protocol  # noqa: E402


def matte_of(picture, mask: str) -> np.ndarray:
    rows = np.frombuffer(picture.pixels, np.uint8).reshape(picture.height, picture.linesize)
    if mask != "pattern":
        return np.full((picture.height, picture.width), int(mask), np.uint8)
    pixels = rows[:, : 4 * picture.width].reshape(picture.height, picture.width, 4)
    matte = numbered_clip.matte(numbered_clip.number_of(pixels))
    (height, width), whole = matte.shape, np.zeros((picture.height, picture.width), np.uint8)
    whole[:height, :width] = matte  # the clip lies in the left upper corner of what is matted
    return whole


def write_report(path: str, arena) -> None:
    """A JSON object: the worker's process, and each slot's fields."""
    slots = [{name: getattr(slot.control, name) for name in FIELDS} for slot in arena.slots if slot.control.instance]
    settings = [slot.read_settings() for slot in arena.slots if slot.control.instance]
    Path(path + ".partial").write_text(json.dumps({"pid": os.getpid(), "slots": slots, "settings": settings}))
    os.replace(path + ".partial", path)


FIELDS = ("instance", "width", "height", "latency_ns", "delay_ns", "shown_frames", "late_frames", "shown")


def main(name: str, mask: str, delay_ms: str = "0", report: str = "") -> None:
    arena = protocol.Arena.attach(name)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()  # OBS is gone
    arena.write_status(protocol.READY, device="none", engine="known mattes", model=mask)
    done: dict[int, tuple[int, int]] = {}  # slot -> instance, number
    reported = 0.0
    while True:
        arena.beat()
        if report and time.monotonic() > reported + 0.1:
            write_report(report, arena)
            reported = time.monotonic()
        idle = True
        for slot in arena.slots:
            instance, number = done.get(slot.index, (0, 0))
            picture = slot.read_picture(number if instance == slot.control.instance else 0)
            if picture is None:
                continue
            slot.take(picture)
            alpha = matte_of(picture, mask)
            if not picture.is_intact():
                continue
            start = time.monotonic()
            time.sleep(float(delay_ms) / 1000)
            with slot.write_matte(picture, picture.width, picture.height) as matte:
                matte.alpha[:] = alpha.tobytes()
            slot.control.work_ns = int((time.monotonic() - start) * 1e9)
            done[slot.index] = picture.instance, picture.number
            idle = False
        if idle:
            time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
