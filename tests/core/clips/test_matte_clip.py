"""The pipeline from file to files, with an engine whose matte is known: alpha is red, the foreground the picture."""

# T frames, H, W

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips import matte_clip as video_matting
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.color import ToRGB, resolve_tags

from .matted_clips import audio_of, close_times, decoded, pictures_of, seconds_of


def rgba_of(path: Path) -> list[np.ndarray]:
    """[H, W, 4] 8-bit pictures of any transparent output."""
    if path.is_dir():
        return [np.array(Image.open(name).convert("RGBA")) for name in sorted(path.glob("*.png"))]
    if path.suffix in (".apng", ".webp"):
        image = Image.open(path)
        pictures = []
        for index in range(image.n_frames):
            image.seek(index)
            pictures.append(np.array(image.convert("RGBA")))
        return pictures
    to_rgb, pictures = ToRGB(), []
    for frame in decoded(path):
        alpha = frame.reformat(format="yuva444p" if frame.format.name.startswith("yuva") else frame.format.name)
        if frame.format.name == "yuva444p10le" or frame.format.name == "yuva444p12le":
            bits = 10 if "10" in frame.format.name else 12
            plane = np.frombuffer(frame.planes[3], np.uint16).reshape(frame.height, -1)[:, : frame.width]
            alpha = np.round(plane / (2**bits - 1) * 255)
        elif frame.format.name.startswith("yuva"):
            alpha = np.frombuffer(frame.planes[3], np.uint8).reshape(frame.height, -1)[:, : frame.width]
        else:
            alpha = frame.to_ndarray(format="rgba")[..., 3]
        rgb = to_rgb(frame, resolve_tags(frame, frame.height))
        pictures.append(np.dstack([rgb, alpha.astype(np.uint8)]))
    return pictures


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "audio", "clock"),
    [
        (".mov", "aac", Fraction(0)),
        (".mkv", "aac", Fraction(1, 1000)),
        (".webm", "libopus", Fraction(1, 1000)),
        (".png", None, None),
        (".apng", None, None),
        (".webp", None, None),
        (".mp4", "aac", Fraction(0)),
    ],
)
def test_1080p_with_audio_through_every_format_and_back(suffix, audio, clock, tmp_path, make_clip, red_engine):
    rate = Fraction(30000, 1001)
    source = make_clip(tmp_path / f"in.{'mkv' if audio == 'libopus' else 'mp4'}", (1920, 1080), 6, rate, audio or "aac")
    truth = pictures_of(source)
    path = tmp_path / f"out{suffix}"
    kind = "composite" if suffix == ".mp4" else "matte"
    report = matte_clip(source, [Output(path, kind)], MattingSession(red_engine), ClipOptions(background="#204080"))
    assert report.frames == 6
    (written,) = report.outputs
    if kind == "matte":
        results = rgba_of(written)
        assert len(results) == 6
        for result, src in zip(results, truth, strict=True):
            alpha = src[..., 0]
            assert np.abs(result[..., 3].astype(int) - alpha).max() <= 1
            # The visible colour: weighted by alpha.
            error = np.abs(result[..., :3].astype(float) - src) * (alpha[..., None] / 255)
            assert error.max() <= (2 if suffix in (".mkv", ".png", ".apng", ".webp") else 4)
            assert error.mean(dtype=np.float64) <= 0.7
            assert np.percentile(error, 99.9) <= 2
    else:
        results = pictures_of(written)
        bgr = np.array([0x20, 0x40, 0x80])
        for result, src in zip(results, truth, strict=True):
            alpha = src[..., :1] / 255
            error = result - (src * alpha + bgr * (1 - alpha))
            # 4:2:0 and quantisation leave more on single pixels; a wrong matrix or range would show in the means.
            assert np.abs(error).mean() <= 1
            assert np.abs(error.mean((0, 1))).max() <= 0.5
            assert np.percentile(np.abs(error), 99) <= 4
    if clock is not None:
        assert close_times(seconds_of(written), seconds_of(source), clock)
        ours, theirs = audio_of(written), audio_of(source)
        assert [data for data, _ in ours] == [data for data, _ in theirs]
        assert close_times([t for _, t in ours], [t for _, t in theirs], clock)


def test_all_outputs_in_one_pass(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=7)
    truth = pictures_of(source)
    outputs = [
        Output(tmp_path / "matte.mkv", "matte"),
        Output(tmp_path / "over.mkv", "composite"),
        Output(tmp_path / "alpha.mkv", "alpha"),
        Output(tmp_path / "fgr.mkv", "foreground"),
    ]
    calls = []
    report = matte_clip(
        source,
        outputs,
        MattingSession(red_engine, chunk=3),
        ClipOptions(background="blue", preview=tmp_path / "sheet.png"),
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(3, 7), (6, 7), (7, 7)]
    assert report.outputs == [*(output.path for output in outputs), tmp_path / "sheet.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["in.mkv", "sheet.png", *(output.path.name for output in outputs)]
    )
    matte, over, alpha, fgr = (
        [frame.to_ndarray(format=form) for frame in decoded(output.path)]
        for output, form in zip(outputs, ("rgba", "rgb24", "gray", "rgb24"), strict=True)
    )
    for t, src in enumerate(truth):
        visible = src * (src[..., :1] > 0)
        assert np.array_equal(alpha[t], src[..., 0])
        assert np.array_equal(fgr[t], visible)
        assert np.array_equal(matte[t], np.dstack([visible, src[..., 0]]))
        share = src[..., :1] / 255
        assert np.abs(over[t] - (src * share + np.array([0, 0, 255]) * (1 - share))).max() <= 0.51


def test_premultiplied(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=2)
    path = tmp_path / "out.mkv"
    matte_clip(source, [Output(path, "matte")], MattingSession(red_engine), ClipOptions(premultiplied=True))
    for result, src in zip(decoded(path), pictures_of(source), strict=True):
        expected = src * (src[..., :1] / 255)
        assert np.abs(result.to_ndarray(format="rgba")[..., :3] - expected).max() <= 0.51
    with av.open(str(path)) as container:
        assert "premultiplied" in str(container.metadata)


def test_ten_bits_stay_ten_bits(tmp_path, red_engine):
    """A ramp finer than 8 bits comes out with as many steps as went in."""
    source = tmp_path / "in.mkv"
    ramp = np.tile(np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None], (16, 1, 3))
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1024, 16, "gbrp10le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="rgb48le").reformat(format="gbrp10le")))
        container.mux(stream.encode(None))
    path = tmp_path / "out.mkv"
    matte_clip(source, [Output(path, "matte")], MattingSession(red_engine))
    (frame,) = decoded(path)
    alpha = frame.to_ndarray(format="rgba64le")[0, :, 3]
    assert len(np.unique(alpha)) > 1000


@pytest.mark.parametrize("pts", [[0, 3000, 3001, 9000, 90000], [1800, 5400, 9000, 20000, 20001]])
def test_variable_frame_rate_keeps_each_time(tmp_path, make_clip, red_engine, pts):
    source = make_clip(tmp_path / "in.mov", frames=5, pts=pts)
    path = tmp_path / "out.mov"
    matte_clip(source, [Output(path, "matte")], MattingSession(red_engine))
    assert seconds_of(path) == seconds_of(source)


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm", ".mp4", ".png"])
def test_a_trimmed_clip_begins_at_zero_and_keeps_its_sound_in_time(tmp_path, make_clip, red_engine, suffix):
    """Frames of varying length."""
    pts = [round(90000 * (i / 25 + 0.013 * (i % 3))) for i in range(50)]
    source = make_clip(tmp_path / "in.mkv", frames=50, pts=pts, audio="libopus" if suffix == ".webm" else "aac")
    times, truth, sound = seconds_of(source), pictures_of(source), audio_of(source)
    start, duration = 0.7, 0.65
    inside = [i for i, time in enumerate(times) if start <= time < start + duration]
    options = ClipOptions(start=start, duration=duration)
    calls = []
    report = matte_clip(
        source,
        [Output(tmp_path / f"out{suffix}", "composite" if suffix == ".mp4" else "matte")],
        MattingSession(red_engine, warm_up=3),
        options,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert report.frames == len(inside)
    assert abs(calls[-1][1] - len(inside)) <= 1
    (path,) = report.outputs
    if suffix == ".png":
        assert [name.name for name in sorted(path.glob("*.png"))] == [f"{i:05d}.png" for i in range(len(inside))]
    else:
        begin = times[inside[0]]
        clock = Fraction(0) if suffix in (".mov", ".mp4") else Fraction(1, 1000)
        assert close_times(seconds_of(path), [times[i] - begin for i in inside], 2 * clock)
        packet = sound[1][1] - sound[0][1]
        expected = [(d, t - begin) for d, t in sound if begin - packet < t < Fraction(start + duration)]
        assert [data for data, _ in audio_of(path)] == [data for data, _ in expected]
        assert max(abs(a - b) for (_, a), (_, b) in zip(audio_of(path), expected, strict=True)) <= Fraction(1, 1000)
    if suffix in (".mkv", ".png"):
        ours = rgba_of(path)
        for result, index in zip(ours, inside, strict=True):
            assert np.array_equal(result[..., 3], truth[index][..., 0])


def test_the_sound_stays_out_where_it_is_not_wanted(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", audio="aac")
    options = ClipOptions(keep_audio=False)
    matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(red_engine), options)
    with av.open(str(tmp_path / "out.mov")) as container:
        assert not container.streams.audio
        assert container.metadata["title"] == "a test clip"


def test_odd_sizes_lose_nothing(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", size=(45, 31), codec="ffv1", pix_fmt="bgr0", frames=2)
    outputs = [Output(tmp_path / "out.mov", "matte"), Output(tmp_path / "out.mp4", "composite")]
    matte_clip(source, outputs, MattingSession(red_engine))
    assert pictures_of(tmp_path / "out.mov")[0].shape == (31, 45, 3)
    assert pictures_of(tmp_path / "out.mp4")[0].shape == (32, 46, 3)


def test_a_still_and_a_sequence(tmp_path, red_engine):
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in (1001, 1002, 1004):
        Image.fromarray(np.full((20, 30, 3), number % 256, np.uint8)).save(folder / f"shot_{number}.png")
    matte_clip(folder, [Output(tmp_path / "out" / "m_%05d.png", "matte")], MattingSession(red_engine))
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["m_01001.png", "m_01002.png", "m_01004.png"]
    report = matte_clip(
        folder / "shot_1001.png", [Output(tmp_path / "still.png", "matte")], MattingSession(red_engine, warm_up=12)
    )
    assert report.frames == 1
    assert np.array(Image.open(tmp_path / "still.png"))[0, 0].tolist() == [1001 % 256] * 4


@pytest.mark.parametrize("kind", ["matte", "alpha"])
def test_the_last_result_of_every_chunk_is_shown(tmp_path, make_clip, red_engine, kind):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=7)
    shown = []
    session = MattingSession(red_engine, chunk=3)
    matte_clip(source, [Output(tmp_path / "o.mkv", kind)], session, on_result=lambda *both: shown.append(both))
    assert len(shown) == 3
    for index, (fgr, pha) in zip((2, 5, 6), shown, strict=True):
        truth = torch.from_numpy(pictures_of(source)[index]).permute(2, 0, 1)[None] / 255
        assert torch.equal(fgr, truth)
        assert torch.equal(pha, truth[:, :1])


@pytest.mark.parametrize(("large", "draws", "times"), [(0, True, 2), (0, False, 0), (96 * 64, True, 0)])
def test_memory_is_given_back_now_and_then_where_pictures_are_large(
    tmp_path, make_clip, red_engine, monkeypatch, large, draws, times
):
    given = []
    monkeypatch.setattr(video_matting, "LARGE_PICTURE", large)
    monkeypatch.setattr(video_matting, "give_freed_memory_back", lambda: given.append(None))
    monkeypatch.setattr(type(red_engine), "draws", draws, raising=False)
    clip = make_clip(tmp_path / "in.mp4", size=(96, 64), frames=11)
    matte_clip(clip, [Output(tmp_path / "out.mkv", "alpha")], MattingSession(red_engine, warm_up=0))
    assert len(given) == times


@pytest.mark.parametrize("second", ["in.mp4", "OUT.mov"])
def test_outputs_must_differ_from_the_input_and_each_other(tmp_path, make_clip, red_engine, second):
    source = make_clip(tmp_path / "in.mp4")
    before = source.read_bytes()
    outputs = [Output(tmp_path / "OUT.mov", "matte"), Output(tmp_path / second, "composite")]
    with pytest.raises(StudioError, match="Choose another name"):
        matte_clip(source, outputs, MattingSession(red_engine))
    assert source.read_bytes() == before
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.parametrize("source", ["shots", "shots/*.png", "shots/s_%02d.png"])
@pytest.mark.parametrize("output", ["shots/s_%02d.png", "shots/cut_%05d.png", "shots.png", "shots/s_01.png"])
def test_an_input_sequence_is_neither_overwritten_nor_mixed_with(tmp_path, red_engine, source, output):
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 30, 3), 9 * number, np.uint8)).save(folder / f"s_{number:02d}.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StudioError, match=r"among the pictures of the input|is (a picture of )?the input"):
        matte_clip(
            tmp_path / source,
            [Output(tmp_path / output, "matte")],
            MattingSession(red_engine),
            ClipOptions(overwrite=True),
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
