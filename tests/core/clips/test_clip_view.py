"""A clip's own tags, or a LUT, choose how the network sees it; the outputs keep the clip's values."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from rvm_studio.core.clips.clip_view import read_cube, view_of
from rvm_studio.core.clips.matte_clip import matte_clip
from rvm_studio.core.clips.options import ClipOptions, Output
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.view import hdr_view
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

LUT = "LUT_3D_SIZE 2\n" + "\n".join(f"{i & 1} {i >> 1 & 1} {i >> 2}" for i in range(8))


class Watched(Engine):
    """Remembers the views that it was given; everything is foreground."""

    name, variant, device, dtype = "watched", "mobilenetv3", torch.device("cpu"), torch.float32

    def __init__(self):
        self.views = []

    def _run(self, frames, rec, downsample_ratio, wanted):
        self.views.append(wanted.view)
        state = torch.zeros(1)
        pha = torch.ones(len(frames), 1, *frames.shape[-2:])
        fgr = frames.to(torch.float32) / (65535 if frames.dtype == torch.uint16 else 255)
        return EngineOutput(fgr, pha, (state, state, state, state))


def clip_of(path, transfer, bit_depth=10):
    spec = PictureSpec(
        height=48,
        width=64,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        tags=ColorTags(9 if transfer != 1 else 1, 1, 9 if transfer != 1 else 1, transfer),
        bit_depth=bit_depth,
    )
    writer = FrameWriter(path, spec, content="rgb")
    for number in range(3):
        writer.write(np.full((48, 64, 3), 9000 * (number + 1), np.uint16), number, number)
    writer.finish()
    return path


def test_the_tags_choose():
    assert view_of(ColorTags(9, 1, 9, 16)) is hdr_view(16)
    assert view_of(ColorTags(9, 1, 9, 18)) is hdr_view(18)
    assert view_of(ColorTags(1, 1, 1, 1)) is None
    assert view_of(ColorTags(9, 1, 9, 14)) is None


@pytest.mark.parametrize("transfer", [1, 16, 18])
def test_every_run_of_an_hdr_clip_has_its_view(tmp_path, transfer):
    """The warm-up's too. The session is as before afterwards, and the output has the clip's own values."""
    clip, engine = clip_of(tmp_path / "clip.mov", transfer), Watched()
    session = MattingSession(engine, warm_up=2)
    matte_clip(clip, [Output(tmp_path / "cut.mov", "matte")], session)
    assert engine.views == [None if transfer == 1 else hdr_view(transfer)] * 5
    assert session.view is None
    with open_reader(clip) as before, open_reader(tmp_path / "cut.mov") as after:
        for wanted, found in zip(before, after, strict=True):
            assert np.abs(wanted.image.astype(int) - found.image[..., :3]).max() < 200  # of 65535


def test_a_lut_takes_its_place(tmp_path):
    (tmp_path / "log.cube").write_text(LUT)
    engine = Watched()
    options = ClipOptions(view_lut=tmp_path / "log.cube")
    matte_clip(clip_of(tmp_path / "a.mov", 16), [Output(tmp_path / "b.mov", "matte")], MattingSession(engine), options)
    assert [view.name for view in engine.views] == ["log.cube"] * 3


def test_a_session_keeps_a_view_of_its_own(tmp_path):
    engine, view = Watched(), hdr_view(18)
    session = MattingSession(engine, view=view)
    matte_clip(clip_of(tmp_path / "a.mov", 1), [Output(tmp_path / "b.mov", "matte")], session)
    assert set(engine.views) == {view}


def test_a_lut_that_cannot_be_read(tmp_path):
    with pytest.raises(StudioError, match=r"The LUT .*no\.cube cannot be read \(No such file"):
        read_cube(tmp_path / "no.cube")
    (tmp_path / "bad.cube").write_bytes(b"\x00\xff" * 100)
    with pytest.raises(StudioError, match=r"bad\.cube"):
        read_cube(tmp_path / "bad.cube")
