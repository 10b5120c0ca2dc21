"""Engines for tests in processes of their own, where pytest's stand-ins do not reach: found by name, and pickled by it.

The environment says what goes wrong, and at which clip.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import torch
from rvm_studio.core.clips import matte_clip
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.pictures.pixel_format import quantise, to_float


class RedEngine(Engine):
    """Alpha is red's value, the foreground the picture. Run number HOLD_AT is held until there is a file `gate`."""

    name, variant, device, dtype = "red", "mobilenetv3", torch.device("cpu"), torch.float32
    runs = 0

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        self.runs += 1
        if self.runs == int(os.environ.get("HOLD_AT", 0)):
            Path("held").touch()
            while not Path("gate").exists():
                time.sleep(0.002)
        src = to_float(frames)
        seen = rec[0] + len(src) if rec else torch.full((1, 1, 1, 1), float(len(src)))
        fgr = quantise(src, wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(src[:, :1], wanted.out), (seen, seen, seen, seen))


def load(arguments) -> RedEngine:
    """Instead of `load_engine`. A clip whose name contains a way to die kills the process while it is opened."""
    if os.environ.get("DIES_LOADING"):
        os.abort()
    with Path("loads").open("a") as file:
        file.write(f"{os.getpid()}\n")
    print("a library's greeting")  # not between the events
    inner = matte_clip.open_reader

    def open_reader(path, *arguments, **options):
        name = Path(path).name
        if "segfault" in name:
            sys.stdout.flush()
            ctypes.string_at(0)
        if "killed" in name:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return inner(path, *arguments, **options)

    matte_clip.open_reader = open_reader
    return RedEngine()
