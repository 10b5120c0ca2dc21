"""What no output has is said."""

from fractions import Fraction

import av
import numpy as np
from rvm_studio.core.video.reader import open_reader


def write(path, codec, pix_fmt, options=None, alpha_mode=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = 48, 64, pix_fmt
        if alpha_mode:
            stream.metadata["alpha_mode"] = alpha_mode
        for i in range(2):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 4), 99, np.uint8), format="rgba")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def notes(path):
    with open_reader(path) as reader:
        list(reader)
    return reader.notes


def test_transparency_of_the_video(tmp_path):
    expected = ["the video's own transparency is not used: its hidden colours are matted too"]
    assert notes(write(tmp_path / "a.mov", "prores_ks", "yuva444p10le", {"profile": "4"})) == expected
    assert notes(write(tmp_path / "a.mkv", "ffv1", "bgra")) == expected
    assert notes(write(tmp_path / "a.webm", "libvpx-vp9", "yuva420p", {"lossless": "1"}, alpha_mode="1")) == expected
    assert notes(write(tmp_path / "b.mkv", "ffv1", "yuv420p")) == []


def test_mastering_metadata(tmp_path):
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {"x265-params": f"log-level=error:master-display={master}:max-cll=1000,400:hdr10=1:repeat-headers=1"}
    path = write(tmp_path / "a.mkv", "libx265", "yuv420p10le", options)
    assert notes(path) == ["the HDR mastering metadata (brightness of the display, light levels) is not kept"]
