"""A clip's outputs as one job: a session's next clip, what may not be overwritten, how much waits."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips.job import QUEUE_BYTES, ClipJob, bytes_of, queue_length, refuse_overlap
from rvm_studio.core.clips.matte_clip import matte_clip
from rvm_studio.core.clips.options import ClipOptions, ClipReport, Output
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.reader import open_reader

SCENES = [
    lambda x, y: np.sin(x / 9) * np.cos(y / 7),
    lambda x, y: np.cos(x / 5 - y / 11),
    lambda x, y: np.sin(x * y / 300),
]


def make_shots(folder: Path, *scenes: int) -> Path:
    """A sequence of pictures, one of the scenes each."""
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:96]
    for index, scene in enumerate(scenes):
        texture = np.uint8(120 + 50 * SCENES[scene](x, y) + index)
        Image.fromarray(texture).convert("RGB").save(folder / f"{index:02d}.png")
    return folder


def cut_notes(report: ClipReport) -> list[str]:
    return [note for note in report.notes if note.startswith("scene cuts")]


def test_each_clip_of_a_session_has_its_own_cuts(tmp_path, red_engine):
    """Counted from the clip's first frame, whatever the session saw before."""
    session = MattingSession(red_engine, scene_cut=True)
    first = make_shots(tmp_path / "first", 0, 0, 0, 1, 1, 2, 2)
    second = make_shots(tmp_path / "second", 2, 2, 0, 0, 0, 0)
    third = make_shots(tmp_path / "third", 0, 0)
    reports = [
        matte_clip(clip, [Output(tmp_path / f"{clip.name}.mkv", "matte")], session) for clip in (first, second, third)
    ]
    assert [cut_notes(report) for report in reports] == [
        ["scene cuts at frames 3, 5"],
        ["scene cuts at frames 2"],
        [],
    ]
    assert session.cuts == [3, 5, 9]


def test_a_cut_to_the_next_clip_is_at_its_first_frame(tmp_path, red_engine):
    session = MattingSession(red_engine, scene_cut=True)
    for clip, scenes in (("a", (0, 1)), ("b", (2, 2))):
        report = matte_clip(make_shots(tmp_path / clip, *scenes), [Output(tmp_path / f"{clip}.mkv", "matte")], session)
    assert cut_notes(report) == ["scene cuts at frames 0"]


def test_a_job_knows_its_cuts_while_it_runs(tmp_path, red_engine):
    session = MattingSession(red_engine, scene_cut=True)
    matte_clip(make_shots(tmp_path / "a", 0, 1, 1), [Output(tmp_path / "a.mkv", "matte")], session)
    shots = make_shots(tmp_path / "b", 1, 1, 0)
    with open_reader(shots) as reader:
        outputs = [Output(tmp_path / "b.mkv", "matte")]
        job = ClipJob(shots, outputs, session, ClipOptions(), reader.info, ClipReport(shots))
        assert job.cuts == []
        list(session.stream([frame.image for frame in reader]))
        assert job.cuts == [2]


# How much may wait


def info_of(tmp_path, make_clip, width=64, height=48, bit_depth=8):
    with open_reader(make_clip(tmp_path / "in.mkv", frames=1)) as reader:
        return replace(reader.info, width=width, height=height, bit_depth=bit_depth)


@pytest.mark.parametrize(
    ("width", "height", "bit_depth", "channels", "size"),
    [(64, 48, 8, 3, 9216), (64, 48, 8, 4, 12288), (64, 48, 10, 3, 18432), (64, 48, 16, 4, 24576), (1, 1, 8, 1, 1)],
)
def test_the_bytes_of_a_picture(tmp_path, make_clip, width, height, bit_depth, channels, size):
    info = info_of(tmp_path, make_clip, width, height, bit_depth)
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    assert bytes_of(info, channels) == size == np.zeros((height, width, channels), dtype).nbytes
    assert bytes_of(info) == np.zeros((height, width, 3), dtype).nbytes


@pytest.mark.parametrize(
    ("width", "height", "bit_depth", "waiting"),
    [
        (1920, 1080, 8, 4),
        (2560, 1440, 8, 2),
        (3840, 2160, 8, 1),
        (1920, 1080, 10, 2),
        (7680, 4320, 16, 1),
        (8, 8, 8, 4),
    ],
)
def test_what_waits_takes_little_memory(tmp_path, make_clip, width, height, bit_depth, waiting):
    info = info_of(tmp_path, make_clip, width, height, bit_depth)
    assert queue_length(info) == waiting
    assert waiting == 1 or waiting * bytes_of(info, 4) <= QUEUE_BYTES


# What may not be overwritten


def overlap(source, *outputs, **options) -> str:
    """What `refuse_overlap` says; "" where it lets the outputs pass."""
    try:
        refuse_overlap(Path(source), [Output(Path(path), "matte") for path in outputs], ClipOptions(**options))
    except StudioError as error:
        return str(error)
    return ""


@pytest.fixture
def shots(tmp_path):
    return make_shots(tmp_path / "shots", 0, 0)


def test_other_names_pass(tmp_path, shots):
    clip = tmp_path / "in.mov"
    clip.touch()
    assert overlap(clip, tmp_path / "out.mov", tmp_path / "in.webm", tmp_path / "in.png") == ""
    assert overlap(shots, tmp_path / "out.mov", tmp_path / "other" / "%05d.png", shots / "out.mov") == ""
    assert overlap(clip, tmp_path / "out.mov", background="green", preview=tmp_path / "sheet.png") == ""
    assert overlap(clip, tmp_path / "out.mov", background=torch.zeros(1, 3, 4, 4)) == ""


@pytest.mark.parametrize("name", ["in.mov", "folder/../in.mov", "link.mov", "same.mov"])
def test_the_input_under_whatever_name(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "in.mov").write_bytes(b"a clip")
    if name == "link.mov":
        (tmp_path / name).symlink_to(tmp_path / "in.mov")
    if name == "same.mov":
        (tmp_path / name).hardlink_to(tmp_path / "in.mov")
    assert "is the input. Choose another name" in overlap(tmp_path / "in.mov", tmp_path / name, overwrite=True)


def test_the_contact_sheet_is_an_output_like_any_other(tmp_path):
    clip = tmp_path / "in.png"
    clip.touch()
    assert "is the input" in overlap(clip, tmp_path / "a.mov", preview=clip)
    sheet = tmp_path / "sheet.png"
    assert "already the name of another output" in overlap(clip, sheet, preview=sheet)


def test_two_outputs_of_one_name(tmp_path):
    clip, out = tmp_path / "in.mov", tmp_path / "out.mov"
    assert "already the name of another output" in overlap(clip, out, tmp_path / "." / "out.mov")


def test_the_background_is_an_input_too(tmp_path):
    clip, room = tmp_path / "in.mov", tmp_path / "room.mov"
    assert "is the background" in overlap(clip, room, background=str(room))


@pytest.mark.parametrize("name", ["00.png", "%02d.png", "new_%02d.png"])
def test_pictures_of_the_input(tmp_path, shots, name):
    message = overlap(shots, shots / name)
    wanted = "is a picture of the input" if name == "00.png" else "would lie among the pictures of the input"
    assert wanted in message


def test_a_plain_name_that_becomes_the_inputs_folder(shots):
    """shots.png stands for shots/%05d.png."""
    assert "among the pictures of the input" in overlap(shots, shots.with_suffix(".png"))


def test_a_contact_sheet_among_the_pictures_is_one_file(shots):
    assert overlap(shots, preview=shots / "sheet.png") == ""


# The ends


def test_without_a_state_to_tell_of_nothing_is_left(tmp_path, red_engine, make_clip):
    """Stopped before the first frame: no file, no record."""
    source = make_clip(tmp_path / "in.mkv", frames=4)
    report = matte_clip(
        source, [Output(tmp_path / "out.mkv", "matte")], MattingSession(red_engine), stopped=lambda: True
    )
    assert (report.stopped, report.frames, report.outputs) == (True, 0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_rate_that_is_asked_for(tmp_path, red_engine, shots):
    options = ClipOptions(frame_rate=Fraction(30000, 1001))
    matte_clip(shots, [Output(tmp_path / "out.mkv", "matte")], MattingSession(red_engine), options)
    with open_reader(tmp_path / "out.mkv") as reader:
        assert reader.info.frame_rate == Fraction(30000, 1001)


def test_the_codec_is_meant_for_the_first_output(tmp_path, red_engine):
    """The others take it if they can."""
    shots = make_shots(tmp_path / "shots", 0, 0)
    outputs = [
        Output(tmp_path / "preview.mp4", "preview"),
        Output(tmp_path / "cut.mov", "composite"),
        Output(tmp_path / "cut.webm", "matte"),
        Output(tmp_path / "alpha.mkv", "alpha"),
    ]
    report = matte_clip(shots, outputs, MattingSession(red_engine), ClipOptions(codec="hevc"))
    assert [note for note in report.notes if "codec" in note] == [
        "cut.webm cannot hold the codec hevc: it has its format's own"
    ]
    found = {}
    for path in (*report.outputs,):
        with av.open(str(path)) as container:
            found[path.name] = container.streams.video[0].codec_context.name
    assert found["cut.mov"] == found["alpha.mkv"] == "hevc"
    assert (found["preview.mp4"], found["cut.webm"][:3]) == ("h264", "vp9")
    with pytest.raises(StudioError, match=r"\.webm cannot hold the codec hevc"):
        matte_clip(shots, [Output(tmp_path / "b.webm", "matte")], MattingSession(red_engine), ClipOptions(codec="hevc"))
