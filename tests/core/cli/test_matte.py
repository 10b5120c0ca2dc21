"""`rvm-studio matte` as people use it and as it goes wrong. The engine's matte is known: alpha is red."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from patience import PATIENCE, wait_for
from PIL import Image
from rvm_studio.core.cli import matte as cli_matte
from rvm_studio.core.cli.matte import print_report
from rvm_studio.core.cli.stop_signals import stop_on_signal
from rvm_studio.core.clips.matte_clip import ClipReport
from rvm_studio.core.video.reader import open_reader

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(make_clip):
    return make_clip("clip.mp4", size=(64, 48), frames=6)


def files() -> list[str]:
    """Every file below the current folder, but the claims on outputs, hidden files."""
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file() and path.suffix != ".claim")


def frames_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def the_error(ran, code=1) -> str:
    """The one line on standard error of a command that failed."""
    assert ran.code == code
    (line,) = ran.err.splitlines()
    assert line.startswith("rvm-studio")
    return line


# What works


@pytest.mark.parametrize("suffix", ["mov", "webm", "mkv", "apng", "webp", "mp4"])
def test_every_suffix(red_studio, clip, suffix):
    code, out, err = red_studio("matte", clip, "-o", f"out.{suffix}")
    assert code == 0
    assert files() == ["clip.mp4", f"out.{suffix}"]
    assert out.splitlines()[0].startswith("clip.mp4: matted 6 frames in ")
    assert f"  out.{suffix}" in out.splitlines()
    assert "clip.mp4: 6/6 frames (100 %)" in err
    if suffix == "webp":  # libav reads no animated WebP
        assert Image.open("out.webp").n_frames == 6
    else:
        assert len(frames_of(f"out.{suffix}")) == 6


def test_png_is_a_folder_of_pictures(red_studio, clip):
    code, out, _ = red_studio("matte", clip, "-o", "out.png")
    assert code == 0
    assert files() == ["clip.mp4", *(f"out/{number:05d}.png" for number in range(6)), "out/timestamps.json"]
    assert "  out\n" in out
    assert Image.open("out/00003.png").mode == "RGBA"


def test_all_outputs_and_a_preview(red_studio, clip):
    code, out, _ = red_studio(
        "matte", clip, "-o", "m.mkv", "--alpha", "a.mkv", "--foreground", "f.mkv", "--preview", "p.png"
    )
    assert code == 0
    assert files() == ["a.mkv", "clip.mp4", "f.mkv", "m.mkv", "p.png"]
    assert out.splitlines()[1:] == ["  m.mkv", "  a.mkv", "  f.mkv", "  p.png"]
    source = frames_of(clip)
    assert np.array_equal(frames_of("a.mkv")[2][..., 0], source[2][..., 0])
    assert np.array_equal(frames_of("f.mkv")[2], source[2] * (source[2][..., :1] > 0))


def test_mp4_without_a_background_is_green_and_says_so(red_studio, clip):
    code, _, err = red_studio("matte", clip, "-o", "out.mp4")
    assert code == 0
    assert err.startswith("note: .mp4 has no transparency: the background will be green (see --background)\n")
    corner = frames_of("out.mp4")[0][:8, :6].mean((0, 1))  # red, and so alpha, is 0 there
    assert np.abs(corner - [0, 177, 64]).max() < 6


@pytest.mark.parametrize(("background", "corner"), [("#204080", (32, 64, 128)), ("wall.png", (10, 200, 30))])
def test_background(red_studio, clip, background, corner):
    """A background makes a composite, in formats with transparency too."""
    Image.new("RGB", (5, 5), (10, 200, 30)).save("wall.png")
    code, _, err = red_studio("matte", clip, "-o", "out.mkv", "--background", background)
    assert code == 0
    assert "note" not in err
    assert frames_of("out.mkv")[0][0, 0].tolist() == list(corner)
    with av.open("out.mkv") as container:
        assert "alpha" not in str(container.metadata)


def test_premultiplied(red_studio, clip):
    assert red_studio("matte", clip, "-o", "out.mkv", "--premultiplied").code == 0
    with av.open("out.mkv") as container:
        assert container.metadata["COMMENT"] == "alpha: premultiplied"


def test_quality_makes_files_larger_or_smaller(red_studio, make_clip):
    clip = make_clip("big.mp4", size=(320, 240), frames=3)
    for quality in ("1", "40"):
        assert red_studio("matte", clip, "-o", f"q{quality}.mp4", "--quality", quality).code == 0
    assert Path("q1.mp4").stat().st_size > 2 * Path("q40.mp4").stat().st_size


def test_overwrite(red_studio, clip):
    Path("out.mov").write_text("mine")
    Path("sheet.png").write_text("mine")
    line = the_error(red_studio("matte", clip, "-o", "out.mov"))
    assert line.endswith("out.mov exists already. Use --overwrite, or choose another name.")
    assert "sheet.png exists already" in the_error(red_studio("matte", clip, "-o", "b.mov", "--preview", "sheet.png"))
    assert Path("out.mov").read_text() == Path("sheet.png").read_text() == "mine"
    assert files() == ["clip.mp4", "out.mov", "sheet.png"]
    assert red_studio("matte", clip, "-o", "out.mov", "--preview", "sheet.png", "--overwrite").code == 0
    assert len(frames_of("out.mov")) == 6
    assert Image.open("sheet.png").size[0] > 100


def test_quiet_says_nothing(red_studio, clip):
    assert red_studio("matte", clip, "-o", "out.mp4", "--quiet") == (0, "", "")
    assert "exists already" in the_error(red_studio("matte", clip, "-o", "out.mp4", "--quiet"))


def test_the_options_reach_the_session_and_the_reader(red_studio, clip, monkeypatch):
    seen = {}

    def matte_clip(source, outputs, session, options, **_):
        seen.update(ratio=session.downsample_ratio, warm_up=session.warm_up, chunk=session.chunk_for(9, 9))
        seen.update(cut=session._detector and session._detector.threshold, rate=options.frame_rate)
        return ClipReport(Path(source))

    monkeypatch.setattr("rvm_studio.core.clips.matte_clip.matte_clip", matte_clip)
    red_studio("matte", clip, "-o", "a.mov")
    assert seen == {"ratio": "auto", "warm_up": 12, "chunk": 1, "cut": None, "rate": None}
    options = ["--downsample", "0.5", "--warm-up", "0", "--chunk", "3", "--fps", "30000/1001", "--scene-cut"]
    red_studio("matte", clip, "-o", "a.mov", *options)
    assert seen == {"ratio": 0.5, "warm_up": 0, "chunk": 3, "cut": 0.4, "rate": pytest.approx(29.97, abs=1e-3)}
    red_studio("matte", clip, "-o", "a.mov", "--downsample", "full_body", "--scene-cut", "0.7")
    assert (seen["ratio"], seen["cut"]) == ("full_body", 0.7)


# Which inputs, which names


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


# JSON


def test_json_lines(red_studio, clip, monkeypatch):
    monkeypatch.setitem(sys.modules["rvm_studio.core.cli.progress"].SECONDS_BETWEEN_LINES, "json", 0)
    Path("text.mp4").write_text("no video")
    code, out, err = red_studio("matte", "text.mp4", "clip.mp4", "-o", "out", "--json", "--preview", "out")
    assert code == 1
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["error", *["progress"] * 6, "done"]
    assert events[0]["input"] == "text.mp4"
    assert err == f"rvm-studio: {events[0]['message']}\n"
    assert [(event["input"], event["frames"], event["total"]) for event in events[1:7]] == [
        ("clip.mp4", number, 6) for number in range(1, 7)
    ]
    done = events[-1]
    assert done["outputs"] == [str(Path("out/clip.mov")), str(Path("out/clip_sheet.png"))]
    assert (done["input"], done["frames"], done["notes"], done["damage"]) == ("clip.mp4", 6, [], [])
    assert done["fps"] == pytest.approx(6 / done["seconds"], rel=0.05)


def test_the_events_are_in_the_help(red_studio):
    out = red_studio("matte", "--help").out
    for event in ("progress", "done", "stopped", "error"):
        assert re.search(rf"^  {event}  +\w", out, re.MULTILINE)


# What goes wrong before anything runs


def test_nothing_to_write(red_studio, clip):
    assert "give -o OUTPUT" in the_error(red_studio("matte", clip))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "out.xyz"], "'.xyz', which is not a known format: use one of .mov"),
        (["-o", "out", "--format", "xyz"], "'.xyz', which is not a known format"),
        (["-o", "out.mov", "--format", "webm"], "out.mov and the format webm contradict each other"),
        (["-o", "out.mov", "--alpha", "a.doc"], "'.doc', which is not a known format"),
        (["-o", "out.mov", "--preview", "sheet.mov"], "The contact sheet sheet.mov is a picture"),
        (["-o", "out.mov", "--background", "grren"], "'grren' is neither a colour nor a file"),
        (["-o", "out.mov", "--background", "beach.jpg"], "'beach.jpg' is neither a colour nor a file"),
        (["-o", "out.mov", "--background", ""], "'' is neither a colour nor a file"),
        (["-o", "out.mov", "--alpha", "out.mov"], "out.mov is already the name of another output"),
        (["-o", "clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "new/../clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "out.mov", "--foreground", "clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "clip.mp4/out.mov"], "clip.mp4 is not a folder"),
        (["-o", "out.mov", "--downsample", "0.001"], "0.001 leaves no pixel of 64x48 frames"),
    ],
)
def test_outputs_and_options_that_cannot_be(red_studio, clip, options, says):
    before = Path(clip).read_bytes()
    code, out, err = red_studio("matte", clip, *options)
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("rvm-studio: ")
    assert says in line
    assert files() == ["clip.mp4"]
    assert Path(clip).read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--downsample", value) for value in ("0", "1.5", "-1", "big", "nan", "")],
        *[("--fps", value) for value in ("0", "-25", "abc", "1/0", "nan", "inf")],
        *[("--quality", value) for value in ("-1", "best", "nan", "inf")],
        *[("--scene-cut", value) for value in ("0", "2", "clip.mp4", "nan")],
        *[("--chunk", value) for value in ("0", "-2", "1.5", "x")],
        *[("--warm-up", value) for value in ("-1", "x")],
        *[("--threads", value) for value in ("0", "-1", "all")],
        *[("--variant", "huge"), ("--refiner", "best")],
    ],
)
def test_wrong_values_are_refused_at_once(studio, clip, option, value):
    line = the_error(studio("matte", clip, "-o", "out.mov", f"{option}={value}"), code=2)
    assert f"argument {option}: " in line
    assert repr(value) in line


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--device", "gpu", "Unknown device 'gpu'. Use auto, cpu"),
        ("--device", "cuda:99", "99"),
        ("--precision", "fp8", "Unknown precision 'fp8'. Use auto, fp32"),
        ("--weights", "nowhere.safetensors", "nowhere.safetensors, which does not exist"),
        ("--weights", "clip.mp4", "clip.mp4 has an unknown suffix"),
    ],
)
def test_a_network_that_cannot_be_had(studio, clip, option, value, says):
    assert says in the_error(studio("matte", clip, "-o", "out.mov", option, value))
    assert files() == ["clip.mp4"]


def test_fp16_is_refused_on_the_cpu(studio, clip):
    ran = studio("matte", clip, "-o", "out.mov", "--device", "cpu", "--precision", "fp16")
    assert "fp16 is supported on GPUs only" in the_error(ran)


def test_missing_weights(studio, clip, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(Path("gone.safetensors").absolute()))
    line = the_error(studio("matte", clip, "-o", "out.mov"))
    assert "RVM_WEIGHTS is" in line
    assert "gone.safetensors, which does not exist" in line


@pytest.mark.parametrize(
    ("variant", "starter"),
    [("mobilenetv3", "--weights starter"), ("resnet50", "--variant mobilenetv3 --weights starter")],
)
def test_without_a_network_one_sentence_and_three_choices(studio, clip, monkeypatch, tmp_path, variant, starter):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    ran = studio("matte", clip, "-o", "out.mov", "--variant", variant, "--mirror", "http://127.0.0.1:9", "--quiet")
    assert ran.code == 1
    message, *choices = ran.err.splitlines()
    assert message.startswith(
        f"rvm-studio: http://127.0.0.1:9/rvm_{variant}.pth could not be downloaded: the server cannot be reached ("
    )
    assert choices == [
        f"  1. when you are online: rvm-studio weights fetch {variant}",
        f"  2. put rvm_{variant}.pth into {tmp_path / 'models'}, or use another file: --weights FILE",
        f"  3. for a rough matte, use the bundled weights: {starter}",
    ]


def test_what_to_use_instead_is_spelled_as_options(studio, clip):
    ran = studio("matte", clip, "-o", "out.mov", "--variant", "resnet50", "--weights", "starter")
    assert the_error(ran) == "rvm-studio: There are starter weights for mobilenetv3 only. Use --variant mobilenetv3."
    line = the_error(studio("matte", clip, "-o", "out.mov", "--device", "cpu", "--engine", "graph"))
    assert line == "rvm-studio: The engine graph needs a GPU. Use --engine auto."


def test_several_inputs_need_a_folder(red_studio, clip, make_clip):
    make_clip("other.mp4", frames=2)
    line = the_error(red_studio("matte", "clip.mp4", "other.mp4", "-o", "out.mov"))
    assert "Several inputs cannot all become out.mov. Give a folder" in line


def test_two_members_of_one_name(red_studio, make_clip):
    for folder in ("one", "two"):
        Path(folder).mkdir()
        make_clip(f"{folder}/take.mp4", frames=2)
    line = the_error(red_studio("matte", "one/take.mp4", "two/take.mp4", "-o", "out"))
    assert "one/take.mp4 and two/take.mp4 would both be written to" in line
    assert files() == ["one/take.mp4", "two/take.mp4"]


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
    """One clear line, the output finished with what could be read, the next member done, exit code 1."""
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


def test_notes_of_a_clip_are_printed(capsys):
    print_report(ClipReport(Path("a.mp4"), [Path("a.png")], 3, 2.0, ["the audio is not copied"]))
    assert capsys.readouterr().out == (
        "a.mp4: matted 3 frames in 2.0 s (1.5 fps)\n  a.png\n  note: the audio is not copied\n"
    )


# Stopping, killing, a full disk: in a process of their own

DRIVER = """
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("core_conftest", os.environ["CONFTEST"])
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from rvm_studio.core.cli import main, matte

class Held(conftest.RedEngine):
    # Run number HOLD_AT (from 1 on) is held, which the file `held` says, until there is a file `gate`.
    runs = 0

    def run(self, *args, **options):
        self.runs += 1
        open("runs", "w").write(str(self.runs))
        if self.runs == int(os.environ.get("HOLD_AT", 0)):
            open("held", "w").close()
            while not os.path.exists("gate"):
                time.sleep(0.002)
        return super().run(*args, **options)

if limit := int(os.environ.get("FILE_LIMIT", 0)):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
matte.load_engine = lambda arguments: Held()
matte.in_own_process = lambda jobs: False
sys.exit(main.main(sys.argv[1:]))
"""


class Driven(subprocess.Popen):
    """`rvm-studio matte` with the engine above. The files through which it is held are not among the user's."""

    def __init__(self, *arguments, **environment):
        conftest = str(Path(__file__).parent.with_name("conftest.py"))
        super().__init__(
            [sys.executable, "-c", DRIVER, "matte", *arguments],
            env={**os.environ, "CONFTEST": conftest, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_held(self) -> None:
        wait_for(lambda: Path("held").exists() or self.poll() is not None, "the engine's run")
        assert self.poll() is None, self.communicate()

    def stop(self, number: int) -> str:
        """Sends the signal while the engine runs, and lets it go on once the signal has been heeded. The last line."""
        self.wait_until_held()
        self.send_signal(number)
        heeded = "rvm-studio: stopping, finishing the files (press Ctrl-C again to end at once)\n"
        assert self.stderr.readline() == heeded
        Path("gate").touch()
        out, err = self.communicate(timeout=PATIENCE)
        assert err == ""
        return out.splitlines()[-1]

    def finish(self) -> tuple[str, str]:
        return self.communicate(timeout=PATIENCE)


def runs_of_the_engine() -> int:
    """So far; what it was held with is removed."""
    runs = int(Path("runs").read_text())
    for name in ("runs", "held", "gate"):
        Path(name).unlink(missing_ok=True)
    return runs


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_keeps_a_playable_partial_file(make_clip, name, code):
    """It ends with the frame that is at work: the engine is not run once more."""
    make_clip("clip.mp4", size=(64, 48), frames=40, audio="aac")
    make_clip("next.mp4", frames=2)
    arguments = ("clip.mp4", "next.mp4", "-o", "out", "--alpha", "out", "--json", "--warm-up", "0")
    process = Driven(*arguments, HOLD_AT="20")
    stopped = json.loads(process.stop(getattr(signal, name)))
    assert process.returncode == code
    assert stopped["event"] == "stopped"
    assert runs_of_the_engine() == stopped["frames"] == 20
    assert stopped["outputs"] == ["out/clip.partial.mov", "out/clip_alpha.partial.mp4"]
    assert files() == ["clip.mp4", "next.mp4", "out/clip.partial.mov", "out/clip_alpha.partial.mp4"]
    for path in stopped["outputs"]:
        assert len(frames_of(path)) == stopped["frames"]


@posix
def test_a_second_ctrl_c_ends_at_once(clip):
    """Even while the network is busy for good. At once after the first it would be the same wish; a third is not."""
    process = Driven("clip.mp4", "-o", "out.mov", "--warm-up", "0", HOLD_AT="1")
    process.wait_until_held()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("rvm-studio: stopping")
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    out, err = process.finish()
    assert (process.returncode, out, err) == (130, "", "")
    assert runs_of_the_engine() == 1
    (partial,) = set(files()) - {"clip.mp4"}
    assert re.fullmatch(r"out\.[0-9a-f]{8}\.partial\.mov", partial)


@posix
def test_after_a_kill_no_final_name_and_a_new_run_works(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40)
    process = Driven("clip.mp4", "-o", "out.mov", "--json", "--warm-up", "0", HOLD_AT="20")
    process.wait_until_held()
    process.kill()
    process.finish()
    assert runs_of_the_engine() == 20
    assert "out.mov" not in files()
    assert red_studio("matte", "clip.mp4", "-o", "out.mov").code == 0
    assert files() == ["clip.mp4", "out.mov"]
    assert len(frames_of("out.mov")) == 40


@posix
def test_resume_after_a_signal(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40, audio="aac")
    arguments = ("clip.mp4", "-o", "out.mov", "--alpha", "alpha.png", "--json", "--warm-up", "0")
    process = Driven(*arguments, HOLD_AT="20")
    stopped = json.loads(process.stop(signal.SIGINT))
    assert runs_of_the_engine() == (done := stopped["frames"])
    assert stopped["notes"][0] == f"a resumed run will continue at frame {done}"
    assert "out.partial.mov.safetensors" in files()
    ran = red_studio("matte", *arguments, "--resume")
    assert ran.code == 0
    event = json.loads(ran.out.splitlines()[-1])
    assert (event["event"], event["frames"]) == ("done", 40)
    assert event["notes"][0] == f"resumed at frame {done}"
    pictures = [f"alpha/{number:05d}.png" for number in range(40)]
    assert files() == [*pictures, "alpha/timestamps.json", "clip.mp4", "out.mov"]
    whole = frames_of("clip.mp4")
    assert np.array_equal(Image.open("alpha/00039.png"), whole[39][..., 0])
    assert len(frames_of("out.mov")) == 40


@posix
def test_resume_after_a_kill_says_what_it_does(make_clip, red_studio):
    make_clip("clip.mp4", size=(64, 48), frames=40)
    process = Driven("clip.mp4", "-o", "out.png", "--json", "--warm-up", "0", HOLD_AT="20")
    process.wait_until_held()
    process.kill()
    process.finish()
    assert runs_of_the_engine() == 20
    ran = red_studio("matte", "clip.mp4", "-o", "out.png", "--resume", "--warm-up", "0")
    assert ran.code == 0
    assert re.search(r"  note: (resumed at frame \d+|started over: there is no record of how far it came)\n", ran.out)
    assert files() == ["clip.mp4", *(f"out/{number:05d}.png" for number in range(40)), "out/timestamps.json"]


def test_a_full_disk(make_clip):
    """A limit on file sizes stands for it: the large clip fails with one line, the small one after it is done."""
    pytest.importorskip("resource")
    make_clip("large.mp4", size=(320, 240), frames=30)
    make_clip("small.mp4", size=(16, 16), frames=2)
    process = Driven("large.mp4", "small.mp4", "-o", "out", "--quiet", FILE_LIMIT="300000")
    out, err = process.finish()
    assert (process.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("rvm-studio: ")
    assert "large.mov cannot be written because the disk is full" in line
    assert "out/small.mov" in files()
    assert "out/large.mov" not in files()
    assert len(frames_of("out/small.mov")) == 2


def test_stopping_between_two_clips(red_studio, clip, make_clip, monkeypatch):
    """The signal comes while the first clip's report is printed: the second is not begun."""
    make_clip("next.mp4", frames=2)
    events = []

    class Noticing:
        def __enter__(self):
            self.inner = stop_on_signal()
            stop, received = self.inner.__enter__()
            events.append((stop, received))
            return stop, received

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    def report(*_):
        stop, received = events[0]
        received.append(15)
        stop.set()

    monkeypatch.setattr(cli_matte, "stop_on_signal", Noticing)
    monkeypatch.setattr(cli_matte, "print_report", report)
    assert red_studio("matte", "clip.mp4", "next.mp4", "-o", "out").code == 143
    assert files() == ["clip.mp4", "next.mp4", "out/clip.mov"]
