"""Inputs of `rvm-studio matte`: clips, sequences, stills, batches, and files that cannot be read."""

import json
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.clips.matte_clip import ClipReport

from .matte_results import files, frames_of, posix, the_error

pytestmark = pytest.mark.usefixtures("in_folder")


# Which inputs are one clip, and what their outputs are called


@pytest.fixture
def shots(in_folder):
    """Five numbered pictures in shots/."""
    (in_folder / "shots").mkdir()
    for number in range(1, 6):
        Image.new("RGB", (32, 24), (40 * number, 90, 90)).save(f"shots/s_{number:04d}.png")
    return "shots"


@pytest.mark.parametrize("source", ["shots", "shots/", "shots/*.png", "shots/s_%04d.png"])
def test_an_image_sequence_is_one_clip(red_studio, shots, source):
    assert red_studio("matte", source, "-o", "out.mkv", "--fps", "12.5").code == 0
    with av.open("out.mkv") as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert [float(t) for t in times] == [0, 0.08, 0.16, 0.24, 0.32]


@pytest.mark.parametrize(
    ("source", "name"),
    [("shots", "shots"), ("shots/*.png", "shots"), ("shots/s_%04d.png", "s"), ("shots/s_000?.png", "s_000")],
)
def test_a_sequence_into_a_folder_is_named_after_it(red_studio, shots, source, name):
    assert red_studio("matte", source, "-o", "out").code == 0
    assert [file for file in files() if not file.startswith("shots")] == [f"out/{name}.mov"]


def test_a_numbered_pattern_keeps_the_numbers(red_studio, shots):
    assert red_studio("matte", shots, "-o", "cut/m_%03d.png").code == 0
    assert [file for file in files() if file.startswith("cut")] == [f"cut/m_{number:03d}.png" for number in range(1, 6)]


def test_a_still_is_one_picture(red_studio, shots):
    code, out, _ = red_studio("matte", "shots/s_0005.png", "-o", "cut.png")
    assert code == 0
    assert "matted 1 frame in" in out
    assert np.array(Image.open("cut.png"))[0, 0].tolist() == [200, 90, 90, 200]


def test_several_stills_are_photographs_and_a_note_says_so(red_studio, shots):
    code, _, err = red_studio("matte", "shots/s_0001.png", "shots/s_0002.png", "-o", "out")
    assert code == 0
    assert err.startswith("note: 2 pictures are matted separately")
    assert [file for file in files() if file.startswith("out")] == ["out/s_0001.png", "out/s_0002.png"]


@pytest.fixture
def videos(make_clip, in_folder):
    """videos/ with two clips, and files that a folder of videos may hold beside them."""
    (in_folder / "videos").mkdir()
    for name in ("b.mp4", "a.mkv"):
        make_clip(f"videos/{name}", size=(32, 24), frames=2)
    Path("videos/._a.mkv").write_text("what macOS leaves on foreign disks")
    Path("videos/notes.txt").write_text("not a video")
    make_clip("videos/c.partial.mov", size=(32, 24), frames=2)
    return "videos"


@pytest.mark.parametrize("source", [["videos"], ["videos/*"], ["videos/b.mp4", "videos/a.mkv", "videos/b.mp4"]])
def test_a_batch(red_studio, videos, source):
    code, out, _ = red_studio(
        "matte", *source, "-o", "out", "--format", "webm", "--alpha", "alpha/", "--preview", "see/"
    )
    assert code == 0
    made = [file for file in files() if not file.startswith("videos")]
    assert made == [
        *("alpha/a_alpha.mp4", "alpha/b_alpha.mp4", "out/a.webm", "out/b.webm", "see/a_sheet.png", "see/b_sheet.png")
    ]
    assert out.count(": matted 2 frames in ") == 2


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_failed_member_does_not_stop_the_others(red_studio, clip, make_clip, bad):
    make_clip("other.mp4", size=(32, 24), frames=2)
    Path("text.mp4").write_text("no video")
    names = ["clip.mp4", "other.mp4"]
    names.insert(bad, "text.mp4")
    ran = red_studio("matte", *names, "-o", "out")
    assert ran.code == 1
    assert [line for line in ran.err.splitlines() if line.startswith("rvm-studio")] == [
        line for line in ran.err.splitlines() if "text.mp4" in line
    ]
    assert [file for file in files() if file.startswith("out")] == ["out/clip.mov", "out/other.mov"]


def test_a_bug_in_one_member_does_not_stop_the_others_either(red_studio, clip, make_clip, monkeypatch, red_engine):
    make_clip("other.mp4", size=(32, 24), frames=2)
    run, calls = red_engine.run, []

    def fails_first(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise IndexError("a bug")
        return run(*args, **options)

    monkeypatch.setattr(red_engine, "run", fails_first)
    ran = red_studio("matte", "clip.mp4", "other.mp4", "-o", "out")
    assert ran.code == 1
    assert "rvm-studio: internal error (IndexError: a bug)" in ran.err
    assert "Traceback" not in ran.err
    assert files() == ["clip.mp4", "other.mp4", "out/other.mov"]


@posix
@pytest.mark.parametrize("name", ["take:2", "clip[1]", "a b%03d", "-dash", "Übung 日本", "con*cat:x|y", b"caf\xe9"])
def test_strange_names(red_studio, make_clip, name):
    if isinstance(name, bytes):
        if sys.platform != "linux":
            pytest.skip("names are UTF-8 here")
        name = os.fsdecode(name)
    os.rename(make_clip("plain.mp4", size=(32, 24), frames=2), f"{name}.mp4")
    Image.new("RGB", (32, 24), "red").save("plain.png")
    os.rename("plain.png", f"{name}.png")
    code, _, err = red_studio("matte", f"./{name}.mp4", f"./{name}.png", "-o", "out")
    assert code == 0, err
    single = name.replace("%", "_")  # in a picture's name it would stand for a number
    assert sorted(os.listdir("out")) == sorted([f"{name}.mov", f"{single}.png"])


def test_a_title_in_another_encoding(red_studio, make_clip):
    data = Path(make_clip("clip.mkv", size=(32, 24), frames=2)).read_bytes()
    Path("clip.mkv").write_bytes(data.replace(b"a test clip", b"caf\xe9 clip  "))
    assert b"caf\xe9" in Path("clip.mkv").read_bytes()
    code, _, err = red_studio("matte", "clip.mkv", "-o", "out.mov")
    assert code == 0, err


def test_the_folder_one_is_in(red_studio, make_clip, in_folder):
    (in_folder / "trip").mkdir()
    os.chdir("trip")
    for number in range(3):
        Image.new("RGB", (32, 24), "red").save(f"{number}.png")
    assert red_studio("matte", ".", "-o", "../out").code == 0
    assert os.listdir("../out") == ["trip.mov"]


# Inputs that cannot be read


def audio_only(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def no_frames(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


def text(path):
    Path(path).write_text("no video\n" * 200)


def cut_short(path):
    """The first half of an mp4: its index, which stands at the end, is missing."""
    Path(path).write_bytes(Path("clip.mp4").read_bytes()[:2000])


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("text.mp4", text, "text.mp4 cannot be opened as a video"),
        ("text.txt", text, "text.txt is a text file"),
        ("text.png", text, "text.png has no readable picture"),
        ("empty.mp4", lambda path: Path(path).touch(), "empty.mp4 is empty (0 bytes)"),
        ("cut.mp4", cut_short, "cut.mp4 cannot be opened as a video"),
        ("sound.wav", audio_only, "sound.wav contains no video, only audio"),
        ("none.mkv", no_frames, "none.mkv"),
        ("none.mp4", no_frames, "none.mp4"),
        ("empty", lambda path: Path(path).mkdir(), "The folder empty contains no pictures"),
        ("missing.mp4", lambda path: None, "missing.mp4 does not exist"),
        ("missing/*.png", lambda path: None, "No picture matches missing"),
        ("missing_%05d.png", lambda path: None, "matches the pattern missing_%05d.png"),
    ],
)
def test_unreadable_inputs(red_studio, clip, name, make, says):
    make(name)
    before = files()
    ran = red_studio("matte", name, "-o", "out.mov", "--alpha", "alpha.mp4")
    assert says in the_error(ran)
    assert ran.out == ""
    assert files() == before


def test_a_corrupt_packet_in_the_middle(red_studio, make_clip):
    """One line of error, an output with the readable frames, the next clip matted, exit code 1."""
    make_clip("hurt.mkv", size=(320, 240), frames=40)
    make_clip("well.mp4", size=(32, 24), frames=2)
    data = bytearray(Path("hurt.mkv").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    Path("hurt.mkv").write_bytes(data)
    code, out, err = red_studio("matte", "hurt.mkv", "well.mp4", "-o", "out", "--json")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("rvm-studio: hurt.mkv is damaged (")
    assert line.endswith("The readable part was matted.")
    done = [event for event in map(json.loads, out.splitlines()) if event["event"] == "done"]
    assert [event["input"] for event in done] == ["hurt.mkv", "well.mp4"]
    assert done[0]["damage"]
    assert 10 < len(frames_of("out/hurt.mov")) == done[0]["frames"]
    assert len(frames_of("out/well.mov")) == 2


def test_many_damaged_places_are_still_one_line(red_studio, clip, monkeypatch):
    report = ClipReport(Path(clip), damage=[f"place {number}" for number in range(50)])
    monkeypatch.setattr("rvm_studio.core.clips.matte_clip.matte_clip", lambda *_, **__: report)
    ran = red_studio("matte", clip, "-o", "out.mov")
    assert the_error(ran) == (
        "rvm-studio: clip.mp4 is damaged (place 0; place 1; place 2; and 47 more). The readable part was matted."
    )
