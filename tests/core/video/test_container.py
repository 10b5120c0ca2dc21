"""Opening files with whichever PyAV: its numbers that may be unset, its texts, its log, what it frees twice."""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
from PIL import Image, ImageCms
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.container import known, open_to_read, texts
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

UNSET = [None, Fraction(0)]
if hasattr(av, "AVRational"):
    UNSET += [av.AVRational(0, 1), av.AVRational(0, 0), av.AVRational(1, 0)]


@pytest.mark.parametrize("value", UNSET, ids=repr)
def test_a_number_that_is_not_set_is_none(value):
    assert known(value) is None


@pytest.mark.parametrize("kind", [Fraction, *([av.AVRational] if hasattr(av, "AVRational") else [])])
def test_a_number_that_is_set_is_a_fraction(kind):
    found = known(kind(30000, 1001))
    assert type(found) is Fraction
    assert found == Fraction(30000, 1001)


def test_what_a_reader_tells_are_plain_fractions(make_clip, tmp_path: Path):
    """A number of PyAV's own overflows where it is multiplied, and cannot be rounded."""
    with open_reader(make_clip(tmp_path / "clip.mp4")) as reader:
        info = reader.info
    for number in (info.frame_rate, info.time_base, info.sample_aspect_ratio, info.begins):
        assert type(number) is Fraction


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("Träume".encode(), "Träume"),
        ("Träume".encode("latin-1"), "Träume"),
        ("“quoted”".encode("cp1252"), "“quoted”"),
        (b"\x81 \xe9", "\x81 é"),  # Windows' code page has no 81
        ("東京".encode(), "東京"),
        (b"", ""),
    ],
)
def test_texts_of_any_encoding_become_text(stored: bytes, text: str):
    assert texts({"title": stored.decode("utf-8", "surrogateescape")}) == {"title": text}


def test_titles_in_an_old_encoding_can_be_read(make_clip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes().replace(b"a test clip", "ä test clip".encode("latin-1")))
    with open_to_read(path) as container:
        assert texts(container.metadata)["title"] == "ä test clip"
    with open_reader(path) as reader:
        assert len(list(reader)) == 8


@pytest.fixture
def log_level() -> Iterator[None]:
    yield
    av.logging.set_level(None)


def test_the_level_that_torchvision_sets_is_taken_back(log_level, make_clip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4")
    av.logging.set_level(av.logging.ERROR)
    with open_to_read(path):
        assert av.logging.get_level() is None


@pytest.mark.parametrize("name", ["out.mkv", "out.png"])
def test_nor_does_an_encoder_keep_that_level(log_level, tmp_path: Path, name: str):
    av.logging.set_level(av.logging.ERROR)
    bt709 = ColorTags(1, 1, 1, 1)
    rate = Fraction(25)
    spec = PictureSpec(height=8, width=16, frame_rate=rate, time_base=1 / rate, tags=bt709)
    writer = FrameWriter(tmp_path / name, spec, content="rgb", single=name == "out.png")
    assert av.logging.get_level() is None
    writer.abandon(keep=False)


def test_a_level_that_somebody_wants_stays(log_level, make_clip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4")
    av.logging.set_level(av.logging.FATAL)
    with open_to_read(path):
        assert av.logging.get_level() == av.logging.FATAL


# ---- pictures with a colour profile


@pytest.fixture
def profiled(tmp_path: Path) -> Path:
    """A PNG whose profile has a name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "profiled.png", icc_profile=profile)
    return tmp_path / "profiled.png"


READ = """
import gc, sys
from rvm_studio.core.video.reader import open_reader
for _ in range(20):
    with open_reader(sys.argv[1]) as reader:
        frames = [frame.image for frame in reader]
    del reader
    gc.collect()
print(len(frames), *frames[0].shape)
"""
LOAD = """
import gc, sys
from pathlib import Path
from rvm_studio.training.datasets.pictures import VideoFrames
for _ in range(20):
    frames = VideoFrames(Path(sys.argv[1])).load([0], 16)
    gc.collect()
print(*frames.shape)
"""


def ran(code: str, path: Path) -> str:
    """In a process of its own: a crash must not end the others' tests."""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip()


def test_a_picture_with_a_profile_is_read(profiled: Path):
    assert ran(READ, profiled) == "1 24 32 3"


@pytest.mark.slow
@pytest.mark.versions
def test_a_video_of_pictures_with_a_profile_is_read(profiled: Path, tmp_path: Path):
    path = tmp_path / "video.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgb24"
        container.start_encoding()
        for index in range(3):
            packet = av.Packet(profiled.read_bytes())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            container.mux(packet)
    assert ran(READ, path) == "3 24 32 3"
    assert ran(LOAD, path) == "1 3 16 16"
