"""Codecs that libav does not know get the name that the file gives them."""

from pathlib import Path

import av
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.codec_names import codec_name
from rvm_studio.core.video.reader import check_source, open_reader

from .flashing_clips import flashing_clip


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
