"""Standard output as an output: what a program at the other end of a pipe gets, in processes of their own."""

import io
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import known_engines
import numpy as np
import pytest
from rvm_studio.core.video.reader import open_reader

DRIVER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import known_engines
from rvm_studio.core.cli import main, matte
matte.load_engine = known_engines.load
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", DRIVER, str(Path(known_engines.__file__).parent), "matte", *arguments]


def test_a_pipe_gets_the_cut_out_with_times_and_sound(make_clip):
    make_clip("clip.mp4", size=(64, 48), frames=8, rate=Fraction(30000, 1001), audio="aac")
    done = subprocess.run(command("clip.mp4", "-o", "-"), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"clip.mp4: matted 8 frames" in done.stderr
    with open_reader("clip.mp4") as reader:
        source = [(frame.pts * reader.info.time_base, frame.image) for frame in reader]
    with av.open(io.BytesIO(done.stdout)) as container:
        assert container.metadata["COMMENT"] == "alpha: straight"
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        frames = list(container.decode(video=0))
    assert len(frames) == 8
    for frame, (time, image) in zip(frames, source, strict=True):
        assert abs(Fraction(frame.pts) * frame.time_base - time) < Fraction(1, 1000)
        rgba = frame.to_ndarray(format="rgba")
        assert np.array_equal(rgba[..., 3], image[..., 0])  # the engine's alpha is red
    with av.open(io.BytesIO(done.stdout)) as container:
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 5
    assert sorted(os.listdir()) == ["clip.mp4", "loads"]
    if ffmpeg := shutil.which("ffmpeg"):  # another program, which cannot go back in a pipe
        read = subprocess.run([ffmpeg, "-v", "error", "-i", "-", "-f", "framemd5", "-"], input=done.stdout, stdout=-1)
        assert (read.returncode, read.stdout.count(b"\n0,")) == (0, 8)


def test_a_reader_that_ends_early_is_one_line(make_clip):
    make_clip("clip.mp4", size=(320, 240), frames=30)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command("clip.mp4", "-o", "-", "--quiet"), stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    lines = [line for line in done.stderr.splitlines() if line != "a library's greeting"]
    assert done.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("rvm-studio: Standard output cannot be written (")
    assert lines[0].endswith("): the program that reads it has ended.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "webm"], "Standard output takes one format, mkv (FFV1 with transparency and sound), not webm."),
        (["--for", "premiere"], "Standard output takes one format, mkv: leave --for out"),
        (["--json"], "--json and the video cannot both use standard output"),
        (["--resume"], "--resume and the video cannot both use standard output"),
        (["other.mp4"], "2 clips cannot all go to standard output: give one, or an output folder"),
    ],
)
def test_what_cannot_be_streamed(red_studio, make_clip, arguments, says):
    for name in ("clip.mp4", "other.mp4"):
        make_clip(name, size=(32, 24), frames=2)
    ran = red_studio("matte", "clip.mp4", *arguments, "-o", "-")
    assert ran.code == 1
    assert f"rvm-studio: {says}" in ran.err
    assert sorted(os.listdir()) == ["clip.mp4", "other.mp4"]


def test_a_terminal_is_refused(red_studio, make_clip, monkeypatch):
    make_clip("clip.mp4", size=(32, 24), frames=2)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = red_studio("matte", "clip.mp4", "-o", "-")
    assert (ran.code, ran.out) == (1, "")
    assert "The output - is standard output, which is a terminal. Pipe it into a program" in ran.err


def test_a_pipe_gets_the_pixel_shape_and_the_timecode():
    with av.open("clip.mov", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.metadata["timecode"] = "01:00:00:00"
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    done = subprocess.run(command("clip.mov", "-o", "-", "--quiet"), capture_output=True)
    assert done.returncode == 0, done.stderr
    with av.open(io.BytesIO(done.stdout)) as container:
        stream = container.streams.video[0]
        assert Fraction(stream.sample_aspect_ratio.numerator, stream.sample_aspect_ratio.denominator) == Fraction(4, 3)
        assert stream.metadata["TIMECODE"] == "01:00:00:00"
        assert len(list(container.decode(stream))) == 4
