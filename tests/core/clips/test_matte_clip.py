"""The pipeline from file to files, with an engine whose matte is known: alpha is red, the foreground the picture."""

# T frames, H, W

import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips import matte_clip as video_matting
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.alpha_ops import blurred_background, checkerboard
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.color import ColorTags, ToRGB, resolve_tags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter


def pictures_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def names(folder: Path) -> list[str]:
    """But the claims on outputs, hidden files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".claim")


def decoded(path: Path) -> list[av.VideoFrame]:
    """Frames with alpha: VP9's and VP8's own alpha is dropped by libav's default decoders."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "vp9":
            return list(container.decode(stream))
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        decoder.extradata = stream.codec_context.extradata
        frames = []
        for packet in container.demux(stream):
            frames += decoder.decode(packet if packet.size else None)
        for frame in frames:
            frame.time_base = stream.time_base
        return frames


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


def seconds_of(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in decoded(path)]


def audio_of(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.size]


def close_times(ours, theirs, unit=Fraction(0)):
    return len(ours) == len(theirs) and all(abs(a - b) <= unit / 2 for a, b in zip(ours, theirs, strict=True))


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
            # Colour as it will be seen: weighed by alpha.
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


def test_warm_up_looks_ahead_without_losing_a_frame(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=9)
    for warm_up in (3, 20):
        session = MattingSession(red_engine, warm_up=warm_up, chunk=2)
        path = tmp_path / f"out{warm_up}.mkv"
        report = matte_clip(source, [Output(path, "alpha")], session)
        assert report.frames == 9
        assert session.state.rec[0].item() == 9 + warm_up
        assert np.array_equal(decoded(path)[0].to_ndarray(format="gray"), pictures_of(source)[0][..., 0])


@pytest.mark.parametrize("background", ["#102030", "picture", "video", "blur"])
def test_backgrounds(tmp_path, make_clip, red_engine, background):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=6)
    truth = pictures_of(source)
    wanted = background
    if background == "picture":
        wanted = str(tmp_path / "wide.png")
        Image.fromarray(np.full((10, 400, 3), (10, 200, 30), np.uint8)).save(wanted)
    if background == "video":  # half as fast as the source, three frames long: it is held and looped
        wanted = str(tmp_path / "behind.mkv")
        with av.open(wanted, "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(25, 2))
            stream.width, stream.height, stream.pix_fmt = 40, 40, "bgr0"
            for index in range(2):
                flat = np.full((40, 40, 3), 40 + 100 * index, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="rgb24")))
            container.mux(stream.encode(None))
    path = tmp_path / "out.mkv"
    matte_clip(source, [Output(path, "composite")], MattingSession(red_engine), ClipOptions(background=wanted))
    results = [frame.to_ndarray(format="rgb24").astype(float) for frame in decoded(path)]
    levels = {"#102030": [(16, 32, 48)] * 6, "picture": [(10, 200, 30)] * 6}
    levels["video"] = [(40, 40, 40)] * 2 + [(140, 140, 140)] * 2 + [(40, 40, 40)] * 2
    for t, (result, src) in enumerate(zip(results, truth, strict=True)):
        share = src[..., :1] / 255
        if background == "blur":
            frame = torch.from_numpy(src).permute(2, 0, 1)[None] / 255
            behind = 255 * blurred_background(frame, frame[:, :1])[0].permute(1, 2, 0).numpy()
        else:
            behind = np.array(levels[background][t])
        assert np.abs(result - (src * share + behind * (1 - share))).max() <= 1


@pytest.mark.parametrize("length", [1, 4])
def test_backgrounds_in_memory(tmp_path, make_clip, red_engine, length):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=6)
    behind = torch.linspace(0, 0.9, length).view(-1, 1, 1, 1).expand(-1, 3, 64, 96)
    path = tmp_path / "out.mkv"
    options = ClipOptions(background=behind)
    matte_clip(source, [Output(path, "composite")], MattingSession(red_engine, chunk=5), options)
    for t, (frame, src) in enumerate(zip(decoded(path), pictures_of(source), strict=True)):
        share = src[..., :1] / 255
        level = 255 * behind[t % length, 0, 0, 0].item()
        assert np.abs(frame.to_ndarray(format="rgb24") - (src * share + level * (1 - share))).max() <= 0.51


# What is done to edges and colours


def outputs_of_every_kind(folder: Path) -> list[Output]:
    return [Output(folder / f"{kind}.mkv", kind) for kind in ("matte", "composite", "alpha", "foreground")]


def test_edges_are_of_every_output(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=3)
    edges = EdgeOptions(grow=-2, feather=1.5, black_point=0.1, white_point=0.8, gamma=0.9)
    options = ClipOptions(background="blue", edges=edges, preview=tmp_path / "sheet.png")
    outputs = outputs_of_every_kind(tmp_path)
    shown = []
    session = MattingSession(red_engine, chunk=2)
    matte_clip(source, outputs, session, options, on_result=lambda *both: shown.append(both))
    matte, over, alpha, fgr = (decoded(output.path) for output in outputs)
    for t, src in enumerate(pictures_of(source)):
        red = torch.from_numpy(src[..., 0].astype(np.float32) / 255)[None, None]
        pha = refine_edges(red, edges)[0, 0].numpy()
        assert np.abs(pha - src[..., 0] / 255).max() > 0.1
        levels = np.round(pha * 255).astype(np.uint8)
        assert np.array_equal(alpha[t].to_ndarray(format="gray"), levels)
        assert np.array_equal(matte[t].to_ndarray(format="rgba")[..., 3], levels)
        assert np.array_equal(fgr[t].to_ndarray(format="rgb24"), src * (levels[..., None] > 0))
        expected = src * pha[..., None] + np.array([0, 0, 255]) * (1 - pha[..., None])
        assert np.abs(over[t].to_ndarray(format="rgb24") - expected).max() <= 0.51
        if t in (1, 2):
            assert np.abs(shown[t - 1][1][0, 0].numpy() - pha).max() < 1e-6


class Inverting(Engine):
    """An engine whose foreground is the picture's negative; it counts how often it is asked for one."""

    name, variant, device, dtype = "inverting", "mobilenetv3", torch.device("cpu"), torch.float32

    def __init__(self):
        self.foregrounds = 0

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        src = to_float(frames)
        self.foregrounds += wanted.foreground
        return EngineOutput(
            quantise(1 - src, wanted.out) if wanted.foreground else None,
            quantise(src[:, :1], wanted.out),
            (torch.zeros(1, 1, 1, 1),) * 4,
        )


@pytest.mark.parametrize("decontaminate", [0, 0.25, 1])
def test_colours_are_the_networks_the_sources_or_between(tmp_path, make_clip, decontaminate):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=2)
    engine, outputs = Inverting(), outputs_of_every_kind(tmp_path)
    options = ClipOptions(background="black", decontaminate=decontaminate)
    matte_clip(source, outputs, MattingSession(engine), options)
    assert engine.foregrounds == (2 if decontaminate else 0)
    matte, over, _, fgr = (decoded(output.path) for output in outputs)
    for t, src in enumerate(pictures_of(source)):
        alpha = src[..., :1]
        expected = decontaminate * (255.0 - src) + (1 - decontaminate) * src
        if decontaminate < 1:
            expected = np.where(alpha == 255, src, expected)
        visible = expected * (alpha > 0)
        assert np.abs(matte[t].to_ndarray(format="rgba")[..., :3] - visible).max() <= 0.51
        assert np.abs(fgr[t].to_ndarray(format="rgb24") - visible).max() <= 0.51
        assert np.abs(over[t].to_ndarray(format="rgb24") - expected * (alpha / 255)).max() <= 0.51


@pytest.mark.parametrize("decontaminate", [-0.1, 1.1, float("nan")])
def test_a_share_of_the_colours_that_cannot_be(decontaminate):
    with pytest.raises(StudioError, match=r"decontaminate is .* expected a number from 0 to 1"):
        ClipOptions(decontaminate=decontaminate)


# Previews


@pytest.mark.parametrize(
    ("size", "small"), [((1280, 721), (512, 288)), ((96, 64), (96, 64)), ((45, 31), (44, 30)), ((30, 2000), (6, 512))]
)
def test_a_preview_is_small_and_over_a_checkerboard(tmp_path, make_clip, red_engine, size, small):
    """Against Pillow's mean over the pixels that fall into one."""
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
        if size[0] > 1000:  # in tiny pictures much of the colour goes with every second pixel's
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


def test_a_wrong_background_is_refused(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(StudioError, match="'grren' is neither a colour nor a file"):
        matte_clip(
            source,
            [Output(tmp_path / "o.mp4", "composite")],
            MattingSession(red_engine),
            ClipOptions(background="grren"),
        )
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_stopping_keeps_a_playable_partial_file(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=40, audio="aac")
    stop = threading.Event()
    outputs = [Output(tmp_path / "out.mov", "matte"), Output(tmp_path / "out.mp4", "composite")]

    def progress(done, total):
        if done == 12:
            stop.set()

    report = matte_clip(source, outputs, MattingSession(red_engine), on_progress=progress, stopped=stop.is_set)
    assert report.stopped
    assert report.frames == 12
    assert names(tmp_path) == ["in.mp4", "out.partial.mov", "out.partial.mp4"]
    for path in report.outputs:
        assert len(decoded(path)) == 12
        assert audio_of(path)[-1][1] < 12 / 25 + 0.1


class Counting(Engine):
    """An engine that counts its runs and asks for a stop within run number `limit`."""

    def __init__(self, engine, limit):
        self.engine, self.limit, self.runs = engine, limit, 0
        self.name, self.variant, self.device, self.dtype = engine.name, engine.variant, engine.device, engine.dtype

    def run(self, *args, **kwargs):
        self.runs += 1
        return self.engine.run(*args, **kwargs)

    def stopped(self):
        return self.runs >= self.limit


def test_no_run_of_the_engine_follows_a_stop(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=20)
    for limit, frames in ((0, 0), (1, 0), (4, 0), (5, 1), (9, 5)):
        engine = Counting(red_engine, limit)
        session = MattingSession(engine, warm_up=4)
        before = session.stopped
        report = matte_clip(source, [Output(tmp_path / "out.mov", "matte")], session, stopped=engine.stopped)
        assert (report.stopped, report.frames, engine.runs) == (True, frames, limit)
        assert session.stopped is before
        left = ["out.partial.mov", "out.partial.mov.safetensors"] if frames else []
        assert names(tmp_path) == ["in.mp4", *left]
        if frames:
            assert len(decoded(tmp_path / "out.partial.mov")) == frames


def test_a_stop_within_a_chunk_keeps_the_frames_before_the_cut(tmp_path):
    """A chunk of 6 with a cut at its fourth frame: the new scene's warm-up is stopped, the three frames stay."""
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[0:64, 0:96]
    for index, texture in enumerate([np.sin(x / 9) * np.cos(y / 7)] * 3 + [np.cos(x / 5 - y / 11)] * 3):
        Image.fromarray(np.uint8(120 + 50 * texture)).convert("RGB").save(folder / f"{index:02d}.png")
    engine = Counting(Remembering(), 2 + 1 + 1)
    session = MattingSession(engine, chunk=6, scene_cut=True, warm_up=2)
    report = matte_clip(folder, [Output(tmp_path / "o.mkv", "alpha")], session, stopped=engine.stopped)
    assert (report.stopped, report.frames, engine.runs, session.cuts) == (True, 3, 4, [])
    assert len(decoded(tmp_path / "o.partial.mkv")) == 3


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


class Failing(Engine):
    """An engine that breaks at a frame."""

    def __init__(self, engine, at, error):
        self.engine, self.left, self.error = engine, at, error
        self.name, self.variant, self.device, self.dtype = engine.name, engine.variant, engine.device, engine.dtype

    def run(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.engine.run(*args, **kwargs)


def test_a_fault_in_the_middle_keeps_what_was_done_and_says_so(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=20)
    engine = Failing(red_engine, 9, StudioError("The card fell out."))
    with pytest.raises(
        StudioError, match=r"The card fell out\. The finished part \(9 frames\) is kept in .*out\.partial\.mov"
    ):
        matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(engine, chunk=1))
    assert len(decoded(tmp_path / "out.partial.mov")) == 9
    left = ["in.mp4", "out.partial.mov", "out.partial.mov.safetensors"]
    assert names(tmp_path) == left
    engine = Failing(red_engine, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        matte_clip(source, [Output(tmp_path / "none.mov", "matte")], MattingSession(engine, chunk=1))
    assert names(tmp_path) == left


def test_a_damaged_clip_is_matted_as_far_as_it_can_be_read(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mkv", size=(320, 240), frames=40, audio="aac")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    source.write_bytes(data)
    report = matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(red_engine))
    assert report.damage
    assert 10 < report.frames <= 40
    assert len(decoded(tmp_path / "out.mov")) == report.frames


@pytest.mark.parametrize("second", ["in.mp4", "OUT.mov"])
def test_outputs_must_differ_from_the_input_and_each_other(tmp_path, make_clip, red_engine, second):
    source = make_clip(tmp_path / "in.mp4")
    before = source.read_bytes()
    outputs = [Output(tmp_path / "OUT.mov", "matte"), Output(tmp_path / second, "composite")]
    with pytest.raises(StudioError, match="Choose another name"):
        matte_clip(source, outputs, MattingSession(red_engine))
    assert source.read_bytes() == before
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_threads_end_with_the_clip(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=30)
    before = threading.active_count()
    matte_clip(source, [Output(tmp_path / "a.mov", "matte")], MattingSession(red_engine))
    with pytest.raises(StudioError):
        matte_clip(
            source, [Output(tmp_path / "b.mov", "matte")], MattingSession(Failing(red_engine, 3, StudioError("x")))
        )
    assert threading.active_count() == before


def test_a_fault_while_finishing_keeps_the_outputs_that_are_done(tmp_path, make_clip, red_engine, monkeypatch):
    source = make_clip(tmp_path / "in.mp4", frames=5)
    finish = FrameWriter.finish

    def fail_on_mp4(writer):
        if writer.path.suffix == ".mp4":
            raise StudioError("The disk is full.")
        return finish(writer)

    monkeypatch.setattr(FrameWriter, "finish", fail_on_mp4)
    outputs = [Output(tmp_path / "out.mov", "matte"), Output(tmp_path / "out.mp4", "composite")]
    with pytest.raises(StudioError, match=r"disk is full.*kept in .*out\.mov, .*out\.partial\.mp4"):
        matte_clip(source, outputs, MattingSession(red_engine))
    assert names(tmp_path) == ["in.mp4", "out.mov", "out.partial.mp4"]
    assert len(decoded(tmp_path / "out.partial.mp4")) == 5


def test_a_contact_sheet_that_cannot_be_written_costs_nothing_else(tmp_path, make_clip, red_engine):
    source = make_clip(tmp_path / "in.mp4", frames=5)
    options = ClipOptions(preview=source / "sheet.png")
    with pytest.raises(StudioError, match=r"sheet cannot be written .* The other files were written: .*out\.mov"):
        matte_clip(source, [Output(tmp_path / "out.mov", "matte")], MattingSession(red_engine), options)
    assert len(decoded(tmp_path / "out.mov")) == 5


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


def test_the_background_is_not_overwritten(tmp_path, make_clip, red_engine):
    source, behind = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "behind.mp4")
    before = behind.read_bytes()
    options = ClipOptions(background=str(behind), overwrite=True)
    with pytest.raises(StudioError, match="is the background"):
        matte_clip(source, [Output(behind, "composite")], MattingSession(red_engine), options)
    assert behind.read_bytes() == before


class Remembering(Engine):
    """An engine whose alpha is a running mean of red: what was replayed, and in what order, shows in every frame."""

    name, variant, device, dtype = "remembering", "mobilenetv3", torch.device("cpu"), torch.float32

    def _run(self, frames, rec, downsample_ratio, wanted):
        src, memory, alphas = to_float(frames), rec[0] if rec else torch.zeros(1, 1, 1, 1), []
        for frame in src:
            memory = 0.7 * memory + 0.3 * frame[0].mean()
            alphas.append(memory.expand(1, 1, *src.shape[2:]))
        return EngineOutput(quantise(src, wanted.out), quantise(torch.cat(alphas), wanted.out), (memory,) * 4)


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


def test_no_file_stays_open(tmp_path, make_clip, red_engine):
    source, behind = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "behind.mp4", frames=3)
    options = ClipOptions(background=str(behind))
    matte_clip(source, [Output(tmp_path / "out.mp4", "composite")], MattingSession(red_engine), options)
    failing = MattingSession(Failing(red_engine, 2, StudioError("x")))
    with pytest.raises(StudioError, match="x"):
        matte_clip(source, [Output(tmp_path / "b.mp4", "composite")], failing, options)
    assert not [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(tmp_path)]


def test_a_stop_completes_no_file_that_nobody_will_look_for(tmp_path, make_clip, red_engine, monkeypatch):
    """Completing one takes an encoder's look-ahead; a cancel should not wait for that."""
    clip = make_clip(tmp_path / "clip.mp4", frames=20)
    completed, kept = [], FrameWriter.abandon
    monkeypatch.setattr(
        FrameWriter,
        "abandon",
        lambda writer, keep, **how: completed.append((writer.path.name, keep)) or kept(writer, keep, **how),
    )
    outputs = [
        Output(tmp_path / "out" / "kept.mkv", "matte"),
        Output(tmp_path / "out" / "mix.mp4", "composite", disposable=True),
        Output(tmp_path / "out" / "small.mp4", "preview"),
    ]
    runs = []
    session = MattingSession(red_engine)
    report = matte_clip(clip, outputs, session, stopped=lambda: runs.append(1) or len(runs) > 5)
    assert report.stopped
    assert completed == [("kept.mkv", True), ("mix.mp4", False), ("small.mp4", False)]
    assert [path.name for path in report.outputs] == ["kept.partial.mkv"]
    left = {path.name for path in (tmp_path / "out").iterdir() if path.suffix not in (".safetensors", ".claim")}
    assert left == {"kept.partial.mkv"}
