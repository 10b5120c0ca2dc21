"""Opening files as videos: which stream is the picture, what is none, and where a search is exact."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.container import is_indexed, open_container, video_stream


def make_music(path, cover: bool, video_after=False):
    """A track of sound, with a picture of its cover as music has it."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac" if path.suffix == ".mp4" else "flac", rate=48000)
        sound.codec_context.layout = "mono"
        if cover:
            picture = container.add_stream("png")
            picture.width, picture.height, picture.pix_fmt = 8, 8, "rgb24"
            cover_art = av.stream.Disposition.attached_pic
            picture.disposition = getattr(cover_art, "value", cover_art)  # no int in older PyAV
        video = None
        if video_after:
            video = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 32, 16, "yuv420p"
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if video:
            for index in range(3):
                frame = av.VideoFrame(32, 16, "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
        for part in av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=48000).resample(samples):
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def test_the_cover_of_music_is_no_video(tmp_path):
    path = make_music(tmp_path / "song.mp4", cover=True)
    with open_container(path) as container:
        assert {stream.type for stream in container.streams} == {"audio", "video"}
        with pytest.raises(StudioError, match=r"song\.mp4 contains no video, only audio, cover art\. Expected"):
            video_stream(container, path)


def test_a_video_behind_its_cover(tmp_path):
    path = make_music(tmp_path / "clip.mp4", cover=True, video_after=True)
    with open_container(path) as container:
        assert len(container.streams.video) == 2
        assert (video_stream(container, path).width, video_stream(container, path).height) == (32, 16)


def test_sound_alone(tmp_path):
    path = make_music(tmp_path / "song.flac", cover=False)
    with open_container(path) as container, pytest.raises(StudioError, match="contains no video, only audio"):
        video_stream(container, path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.nfo", "notes.ans"])
def test_text_is_not_drawn_as_a_video(tmp_path, name):
    """libav would, for endings such as these."""
    (tmp_path / name).write_text("A line of text.\n" * 100)
    with pytest.raises(StudioError, match=rf"{name} (is a text file\. Expected|cannot be opened as a video)"):
        open_container(tmp_path / name)


def test_one_of_them_libav_would_draw(tmp_path):
    (tmp_path / "notes.txt").write_text("A line of text.\n" * 100)
    with av.open(str(tmp_path / "notes.txt")) as container:
        assert container.format.name == "tty"
    with pytest.raises(StudioError, match="is a text file"):
        open_container(tmp_path / "notes.txt")


def test_what_cannot_be_opened_says_why_and_how_large_it_is(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0" * 1234)
    with pytest.raises(StudioError, match=r"broken\.mp4 cannot be opened as a video \(.+; 1234 bytes\)"):
        open_container(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_colon_is_no_protocol(tmp_path, make_clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mkv", frames=1).rename(tmp_path / "http:in.mkv")
    with open_container(Path("http:in.mkv")) as container:
        assert video_stream(container, Path("http:in.mkv")).width == 96


@pytest.mark.parametrize(
    ("name", "indexed"), [("a.mp4", True), ("a.mov", True), ("a.mkv", True), ("a.ts", False), ("a.mpg", False)]
)
def test_where_a_search_loses_nothing(tmp_path, make_clip, name, indexed):
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    with open_container(make_clip(tmp_path / name, frames=2, codec=codec)) as container:
        assert is_indexed(container) == indexed


def test_a_webm_too(tmp_path, make_clip):
    with open_container(make_clip(tmp_path / "a.webm", frames=2, codec="libvpx-vp9")) as container:
        assert is_indexed(container)


def test_a_picture_is_not_indexed(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with open_container(tmp_path / "a.png") as container:
        assert not is_indexed(container)
