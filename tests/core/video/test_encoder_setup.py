"""Settings of encoders, and their end while they still work."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from patience import PATIENCE
from rvm_studio.core.video.encoder_setup import EncoderSetup
from rvm_studio.core.video.output_formats import format_for

from .small_outputs import TIME_BASE, setup_of, spec_of


@pytest.mark.parametrize(
    ("name", "quality", "alone"),
    [
        ("a.mov", None, True),
        ("a.mkv", None, True),
        ("a.png", None, True),
        ("a.webm", None, True),  # without loss by default
        ("a.webm", 0, True),
        ("a.webm", 12, False),
        ("a.apng", None, False),
        ("a.webp", None, False),
    ],
)
def test_frames_that_stand_alone(name, quality, alone):
    assert setup_of(Path(name), quality=quality).frames_stand_alone == alone


def test_the_usual_duration_of_a_frame():
    setup = setup_of(Path("a.mov"))
    assert setup.nominal_duration == 1001
    spec = spec_of(frame_rate=Fraction(90), time_base=Fraction(1, 10))
    slow = EncoderSetup(format_for(Path("a.mov")).encoding_for("rgb", 1), "yuv444p10le", spec, {}, None)
    assert slow.nominal_duration == 1  # never none, in however coarse a unit


@pytest.mark.parametrize(
    ("cores", "threads", "used"), [(2, None, 2), (64, None, 4), (64, 3, 3), (64, 9, 4), (None, None, 1)]
)
def test_png_takes_few_threads(monkeypatch, cores, threads, used):
    """Each holds a picture."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert setup_of(Path("a.png"), threads=threads).context().thread_count == used


def test_an_encoder_is_given_what_the_frames_are():
    setup = setup_of(Path("a.mov"), "rgb")
    context = setup.context()
    assert (context.width, context.height, context.pix_fmt) == (32, 16, "yuv444p10le")
    assert (context.time_base, context.framerate) == (TIME_BASE, Fraction(30000, 1001))
    assert (context.colorspace, context.color_range) == (1, 1)
    assert (context.color_primaries, context.color_trc) == (1, 1)


DROP = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 4), dtype=np.uint8)
rate = Fraction(25)
spec = PictureSpec(height=720, width=1280, frame_rate=rate, time_base=1 / rate, tags=ColorTags(1, 1, 1, 1))
for round in range(12):
    writer = FrameWriter(Path(sys.argv[1]) / f"{round}.png", spec, content="rgba")
    for number in range(6):
        writer.write(noise.copy(), number, number)
    if sys.argv[2] == "abandoned":
        writer.abandon(keep=False)
    del writer
print("ended")
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["abandoned", "dropped"])
def test_a_writer_ends_while_its_encoder_works(tmp_path, how):
    """The encoder's threads need Python's lock to let go of a picture: who waits for them must not hold it."""
    command = [sys.executable, "-c", DROP, str(tmp_path), how]
    assert subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout == "ended\n"
