"""A worker whose mattes are known, for tests of what OBS does with them.

    known_worker.py ARENA MASK [DELAY] [REPORT]

MASK: a number 0..255; "red", the picture's own red channel; or "pattern", which reads the number that a frame of
numbered_clip.py carries and mattes exactly that frame's pattern: a picture that is drawn with another's matte shows.
"128,+20": with a correction of all colours by +20. DELAY: what a matte takes, in milliseconds, or in frames of OBS
("2f") however long OBS takes for them. REPORT: a file that is rewritten ten times a second with what stands in the
shared memory; while there is a file REPORT.hold, no matte is given.
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
    pixels = rows[:, : 4 * picture.width].reshape(picture.height, picture.width, 4)
    if mask == "red":
        return pixels[..., 0].copy()
    if mask != "pattern":
        return np.full((picture.height, picture.width), int(mask), np.uint8)
    matte = numbered_clip.matte(numbered_clip.number_of(pixels))
    (height, width), whole = matte.shape, np.zeros((picture.height, picture.width), np.uint8)
    whole[:height, :width] = matte  # the clip lies in the left upper corner of what is matted
    return whole


FIELDS = ("instance", "width", "height", "latency_ns", "delay_ns", "shown_frames", "late_frames", "shown")
FIELDS += ("picture_count", "matte_count")


class Life:
    """The worker's sign of life and its report, also while a matte is to take long."""

    def __init__(self, arena, report: str):
        self._arena, self._report, self._reported = arena, report, 0.0
        self.oldest_ns = 0  # of all pictures, when their mattes were given: their age

    def show(self) -> None:
        self._arena.beat()
        if self._report and time.monotonic() > self._reported + 0.1:
            self._write()
            self._reported = time.monotonic()

    def is_held(self) -> bool:
        return bool(self._report) and os.path.exists(self._report + ".hold")

    def _write(self) -> None:
        """A JSON object: the worker's process, and each slot's fields."""
        slots = [slot for slot in self._arena.slots if slot.control.instance]
        content = {
            "pid": os.getpid(),
            "slots": [{name: getattr(slot.control, name) for name in FIELDS} for slot in slots],
            "settings": [slot.read_settings() for slot in slots],
            "sizes": [(slot.picture_headers[0].width, slot.picture_headers[0].height) for slot in self._arena.slots],
            "oldest_ns": self.oldest_ns,
        }
        Path(self._report + ".partial").write_text(json.dumps(content))
        os.replace(self._report + ".partial", self._report)


def wait(life: Life, control, delay: str) -> None:
    """For as long as a matte is to take."""

    def frames() -> int:
        return control.shown_frames + control.late_frames  # counted from the first matte on

    begin, start = time.monotonic(), frames()
    while life.is_held() or (
        start and frames() - start < int(delay[:-1])
        if delay.endswith("f")
        else time.monotonic() - begin < float(delay) / 1000
    ):
        life.show()
        time.sleep(0.001)


def main(name: str, mask: str, delay: str = "0", report: str = "") -> None:
    arena = protocol.Arena.attach(name)
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()  # nothing to read: OBS is gone
    arena.write_status(protocol.READY, device="none", engine="known mattes", model=mask)
    mask, _, correction = mask.partition(",")
    done: dict[int, tuple[int, int]] = {}  # slot -> instance, number
    life = Life(arena, report)
    while True:
        life.show()
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
            wait(life, slot.control, delay)
            size = (max(1, picture.width // 2), max(1, picture.height // 2)) if correction else (0, 0)
            with slot.write_matte(picture, picture.width, picture.height, size) as matte:
                matte.alpha[:] = alpha.tobytes()
                if correction:
                    matte.correction[:] = bytes([128 + round(int(correction) / 2)]) * len(matte.correction)
            slot.control.work_ns = int((time.monotonic() - start) * 1e9)
            life.oldest_ns = max(life.oldest_ns, time.monotonic_ns() - picture.time_ns)
            done[slot.index] = picture.instance, picture.number
            idle = False
        if idle:
            time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
