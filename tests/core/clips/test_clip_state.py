"""The session's state across clips, warm-up and chunks."""

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips.matte_clip import Output, matte_clip
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import MattingSession

from .matted_clips import Counting, Remembering, decoded, names, pictures_of


def test_warm_up_looks_ahead_without_losing_a_frame(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=9)
    for warm_up in (3, 20):
        session = MattingSession(red_engine, warm_up=warm_up, chunk=2)
        path = tmp_path / f"out{warm_up}.mkv"
        report = matte_clip(source, [Output(path, "alpha")], session)
        assert report.frames == 9
        assert session.state.rec[0].item() == 9 + warm_up
        assert np.array_equal(decoded(path)[0].to_ndarray(format="gray"), pictures_of(source)[0][..., 0])


def test_a_session_with_a_state_goes_on_from_it(tmp_path, make_clip):
    whole = make_clip(tmp_path / "whole.mkv", codec="ffv1", pix_fmt="bgr0", frames=11)
    truth = pictures_of(whole)
    for name, pictures in (("a", truth[:4]), ("b", truth[4:])):
        (tmp_path / name).mkdir()
        for index, image in enumerate(pictures):
            Image.fromarray(image).save(tmp_path / name / f"{index:03d}.png")
    alone, carried = MattingSession(Remembering(), warm_up=3), MattingSession(Remembering(), warm_up=3)
    expected = tmp_path / "whole_alpha.mkv"
    matte_clip(whole, [Output(expected, "alpha")], alone)
    results = []
    for name in "ab":
        path = tmp_path / f"{name}.mkv"
        assert matte_clip(tmp_path / name, [Output(path, "alpha")], carried).frames == (4 if name == "a" else 7)
        results += [frame.to_ndarray(format="gray") for frame in decoded(path)]
    assert np.array_equal(np.stack(results), [frame.to_ndarray(format="gray") for frame in decoded(expected)])
    assert carried.state.frame_count == 11
    assert torch.equal(carried.state.rec[0], alone.state.rec[0])


def test_a_state_of_another_size_is_an_error_before_anything_else(tmp_path, make_clip, red_engine):
    source, other = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "other.mp4", size=(80, 64))
    engine = Counting(red_engine, 1000)
    session = MattingSession(engine, warm_up=3)
    matte_clip(other, [Output(tmp_path / "other.mov", "matte")], session)
    state, runs = session.state, engine.runs
    with pytest.raises(StudioError, match="The frames are 96x64 but the state belongs to 80x64 frames"):
        matte_clip(source, [Output(tmp_path / "new" / "out.mov", "matte")], session)
    assert engine.runs == runs
    assert session.state is state
    assert names(tmp_path) == ["in.mp4", "other.mov", "other.mp4"]


def test_warm_up_after_a_cut_is_the_same_for_every_chunk(tmp_path):
    """16 pictures of random brightness, cuts at 6 and 13; the last scene is shorter than the warm-up."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:64, 0:96]
    scenes = [np.sin(x / 9) * np.cos(y / 7), np.cos(x / 5 - y / 11), np.sin(x * y / 300)]
    brightness = random.uniform(60, 190, 16)
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(16):
        texture = scenes[(index >= 6) + (index >= 13)]
        picture = np.uint8(brightness[index] + 50 * texture)
        Image.fromarray(picture).convert("RGB").save(folder / f"{index:02d}.png")
    results = {}
    for chunk in (1, 2, 3, 5, 16):
        session = MattingSession(Remembering(), chunk=chunk, scene_cut=True, warm_up=4)
        path = tmp_path / f"{chunk}.mkv"
        matte_clip(folder, [Output(path, "alpha")], session)
        assert session.cuts == [6, 13]
        results[chunk] = np.stack([frame.to_ndarray(format="gray") for frame in decoded(path)])
        assert np.array_equal(results[chunk], results[1]), chunk
    means = [np.array(Image.open(folder / f"{index:02d}.png").convert("RGB"))[..., 0].mean() for index in range(16)]
    for begin, order in ((0, [4, 3, 2, 1, 0]), (6, [10, 9, 8, 7, 6]), (13, [13, 14, 15, 14, 13])):
        memory = 0.0
        for index in order:
            memory = 0.7 * memory + 0.3 * means[index]
        assert abs(results[1][begin, 0, 0] - memory) <= 0.51
