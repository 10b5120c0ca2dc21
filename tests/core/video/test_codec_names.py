"""Codecs that libav does not know get the name that the file gives them."""

from pathlib import Path

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.codec_names import codec_name, is_encrypted, sample_entries
from rvm_studio.core.video.reader import check_source, open_reader

from .flashing_clips import flashing_clip
from .test_timeline import copied


@pytest.mark.parametrize(
    ("name", "video", "audio"),
    [("a.mp4", "'avc1'", "'mp4a'"), ("a.mov", "'avc1'", "'mp4a'"), ("a.mkv", "'V_MPEG4/ISO/AVC'", "'A_AAC'"),
     ("a.avi", "'H264'", None)],
)  # fmt: skip
def test_names_in_the_file(tmp_path, name, video, audio):
    path = flashing_clip(tmp_path / name, 0.4)
    with av.open(str(path)) as container:
        form = container.format.name
    assert codec_name(path, form, "video") == video
    assert audio is None or codec_name(path, form, "audio") == audio


def test_no_name():
    assert codec_name(Path("missing.mp4"), "mov,mp4", "video") == "unknown"


def test_an_unknown_video_codec_is_named(tmp_path):
    path = flashing_clip(tmp_path / "a.mp4", 0.4)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"zz\xffz\0\0\0\0"))
    for use in (check_source, open_reader):
        with pytest.raises(StudioError, match=r"has the codec 'zz\\xffz', which this libav cannot decode"):
            use(path)


def test_samples_of_each_track(tmp_path):
    found = sample_entries(flashing_clip(tmp_path / "a.mp4", 0.4))
    assert [(entry.track, entry.kind, entry.code) for entry in found] == [(0, "video", b"avc1"), (1, "audio", b"mp4a")]
    assert found[0].size == (48, 64)
    assert sample_entries(tmp_path / "missing.mp4") == []


def test_an_encrypted_picture_is_refused(tmp_path):
    path = flashing_clip(tmp_path / "a.mp4", 0.4)
    assert not is_encrypted(path, "mov,mp4", "video")
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"encv\0\0\0\0"))
    with pytest.raises(StudioError, match=r"a\.mp4 is encrypted"):
        check_source(path)


def test_encrypted_and_unknown_sound_is_left_out(tmp_path):
    path = flashing_clip(tmp_path / "a.mp4", 0.4)
    path.write_bytes(path.read_bytes().replace(b"mp4a\0\0\0\0", b"enca\0\0\0\0"))
    assert copied(path, tmp_path / "a.mov") == ([], ["the audio is not copied: it is encrypted"])
    path = flashing_clip(tmp_path / "b.mkv", 0.4)
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    _, notes = copied(path, tmp_path / "b.mov")
    assert notes == ["the audio is not copied: its codec 'A_ZZZ' is not supported by this libav"]
