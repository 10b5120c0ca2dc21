"""The preview: a small video over a checkerboard."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.clips.matte_clip import Output, matte_clip
from rvm_studio.core.pictures.alpha_ops import checkerboard
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

from .matted_clips import close_times, pictures_of, seconds_of


@pytest.mark.parametrize(
    ("size", "small"), [((1280, 721), (512, 288)), ((96, 64), (96, 64)), ((45, 31), (44, 30)), ((30, 2000), (6, 512))]
)
def test_a_preview_is_small_and_over_a_checkerboard(tmp_path, make_clip, red_engine, size, small):
    """Against Pillow's box filter: the mean of the pixels that become one."""
    source = make_clip(tmp_path / "in.mkv", size, 3, codec="ffv1", pix_fmt="bgr0", audio="aac")
    path = tmp_path / "preview.mp4"
    matte_clip(source, [Output(path, "preview")], MattingSession(red_engine))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert not container.streams.audio
    assert close_times(seconds_of(path), seconds_of(source), Fraction(1, 1000))
    board = 255 * checkerboard(small[1], small[0])[0].permute(1, 2, 0).numpy()
    for result, src in zip(pictures_of(path), pictures_of(source), strict=True):
        assert result.shape == (small[1], small[0], 3)
        alpha = src[..., :1].astype(np.float32) / 255
        planes = np.moveaxis(np.dstack([src * alpha, alpha]), 2, 0)
        scaled = np.dstack([Image.fromarray(plane).resize(small, Image.Resampling.BOX) for plane in planes])
        error = result - (scaled[..., :3] + (1 - scaled[..., 3:]) * board)
        luma = error @ np.array([0.2126, 0.7152, 0.0722])
        assert abs(luma.mean()) < 1
        assert np.abs(luma).mean() < 2.5
        if size[0] > 1000:  # 4:2:0 loses much of the colour of tiny pictures
            assert np.abs(error.mean((0, 1))).max() < 0.6


def test_a_preview_of_hdr_is_h264_all_the_same(tmp_path, red_engine):
    source = tmp_path / "in.mp4"
    spec = PictureSpec(
        height=48,
        width=64,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        tags=ColorTags(9, 1, 9, 16),
        bit_depth=10,
    )
    writer = FrameWriter(source, spec, content="rgb")
    for index in range(8):
        writer.write(np.full((48, 64, 3), 30000, np.uint16), index, index)
    writer.finish()
    path = tmp_path / "preview.mp4"
    matte_clip(source, [Output(path, "preview")], MattingSession(red_engine))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
