"""RVM Matte Video, RVM Save Alpha Video and RVM Save RGBA: clips from file to file, equal to the core's own result."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.network import MattingNetwork
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.reader import open_reader
from rvm_studio.rvm_nodes import video_input
from rvm_studio.rvm_nodes.matte_video import RVMMatteVideo
from rvm_studio.rvm_nodes.save_video import SUFFIXES, RVMSaveAlphaVideo, RVMSaveRGBA

RATE = Fraction(24)
MATTE = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 0, "scene_cut": 0.0, "chunk": 0}
VIDEO = {"output": "composite", "background": "#00b140", **MATTE}
SAVE = {
    "filename_prefix": "video/RVM",
    "format": "FFV1",
    "alpha": "straight",
    "keep_audio": True,
    "resume": True,
    "grow": 0.0,
    "feather": 0.0,
    "black_point": 0.0,
    "white_point": 1.0,
    "decontaminate": 1.0,
    **MATTE,
}


@pytest.fixture
def clip(tmp_path, frames):
    """A lossless clip of 8 frames with sound."""

    def make(name="clip.mkv", count=8, height=64, width=80) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
            sound = container.add_stream("pcm_s16le", rate=48000)
            sound.codec_context.layout = "mono"
            tone = (8000 * np.sin(np.arange(48000 * count // 24) / 20)).astype(np.int16)[None]
            for picture in frames(count, height, width):
                pixels = (picture * 255).round().to(torch.uint8).numpy()
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")))
            container.mux(stream.encode(None))
            for start in range(0, tone.shape[1], 1000):
                frame = av.AudioFrame.from_ndarray(tone[:, start : start + 1000].copy(), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48000, start
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        return path

    return make


def pictures(path) -> torch.Tensor:
    """[T, H, W, C] of any clip, alpha included."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name == "vp9":  # the usual decoder drops alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            decoded = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        else:
            decoded = list(container.decode(stream))
        has_alpha = any(component.is_alpha for component in decoded[0].format.components)
        ranges = {}
        if decoded[0].format.name.startswith("yuv"):  # PyAV 14 does not look at the frame's own
            ranges = {"src_color_range": "MPEG", "dst_color_range": "JPEG"}
        name = "rgba" if has_alpha else "rgb24"
        return torch.stack([torch.from_numpy(frame.to_ndarray(format=name, **ranges)) for frame in decoded])


def truth(network, path, **settings):
    """(fgr [T, 3, H, W], pha [T, 1, H, W]) by the core's session."""
    with open_reader(path) as reader:
        images = [frame.image for frame in reader]
    return MattingSession(network, **settings).matte(images)


def coarse(pictures: torch.Tensor) -> torch.Tensor:
    """Averages of 8 x 8 pixels."""
    return torch.nn.functional.avg_pool2d(pictures.float().permute(0, 3, 1, 2), 8)


def times(path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def sound_seconds(path) -> float:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0.0
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


# ---- RVM Matte Video


def matte_video(fake, model, path, **changes):
    video = path if hasattr(path, "get_components") else fake.VideoFromFile(str(path))
    return RVMMatteVideo().matte(model, video, **(VIDEO | changes))


def test_a_composite_is_the_cores(comfy, fake, model, network, clip):
    path = clip()
    video, alpha, state, count, fps = matte_video(fake, model, path)
    fgr, pha = truth(network, path)
    green = torch.tensor([0, 177, 64.0]).view(1, 3, 1, 1) / 255
    expected = (fgr * pha + green * (1 - pha)).permute(0, 2, 3, 1) * 255
    result = pictures(video.get_stream_source())
    # Noise in colour is more than 4:2:0 can hold; averages over blocks must come through.
    assert (coarse(result) - coarse(expected)).abs().mean() < 4
    assert (result - expected).mean((0, 1, 2)).abs().max() < 2
    grey = pictures(alpha.get_stream_source())[..., 0]
    assert (grey - pha[:, 0] * 255).abs().mean() < 1.5  # H.264 of noise
    assert (count, fps, state["frame_count"]) == (8, 24.0, 8)
    assert sound_seconds(video.get_stream_source()) == pytest.approx(8 / 24, abs=0.05)
    assert times(video.get_stream_source()) == pytest.approx(times(path), abs=1e-3)


def test_the_results_lie_in_the_temp_folder(comfy, fake, model, clip):
    results = matte_video(fake, model, clip())[:2]
    assert {Path(video.get_stream_source()).parent for video in results} == {comfy.root / "temp"}
    assert not list((comfy.root / "output").rglob("*"))


def test_alpha_alone_is_one_file(comfy, fake, model, network, clip):
    path = clip()
    video, alpha, *_ = matte_video(fake, model, path, output="alpha")
    assert video.get_stream_source() == alpha.get_stream_source()
    assert len(list((comfy.root / "temp").iterdir())) == 1


def test_a_foreground_is_black_where_nothing_is(comfy, fake, model, network, clip):
    path = clip()
    video, *_ = matte_video(fake, model, path, output="foreground")
    fgr, pha = truth(network, path)
    expected = (fgr * (pha > 0.5 / 255)).permute(0, 2, 3, 1) * 255
    assert (coarse(pictures(video.get_stream_source())) - coarse(expected)).abs().mean() < 4


def test_over_a_picture_and_over_a_clip(comfy, fake, model, clip, frames):
    path = clip()
    grey = torch.full((1, 30, 40, 3), 128 / 255)
    over_picture = pictures(matte_video(fake, model, path, background_image=grey)[0].get_stream_source())
    over_colour = pictures(matte_video(fake, model, path, background="#808080")[0].get_stream_source())
    # A last bit in one pixel may send the encoder another way: averages over blocks must agree.
    assert (coarse(over_picture) - coarse(over_colour)).abs().mean() < 1
    behind = fake.VideoFromFile(str(clip("behind.mkv")))
    over_clip = pictures(matte_video(fake, model, path, background_video=behind)[0].get_stream_source())
    assert (over_clip.float() - over_colour.float()).abs().mean() > 5


def test_over_the_blurred_room(comfy, fake, model, clip):
    path = clip()
    blurred = pictures(matte_video(fake, model, path, background="blur")[0].get_stream_source())
    green = pictures(matte_video(fake, model, path)[0].get_stream_source())
    assert (blurred.float() - green.float()).abs().mean() > 5


def test_two_backgrounds_are_one_too_many(comfy, fake, model, clip, frames):
    path = clip()
    behind = fake.VideoFromFile(str(path))
    with pytest.raises(StudioError, match="RVM Matte Video: Both background_image and background_video"):
        matte_video(fake, model, path, background_image=frames(1), background_video=behind)


def test_a_background_that_is_none(comfy, fake, model, clip):
    with pytest.raises(StudioError, match=r"RVM Matte Video: .*'grean'"):
        matte_video(fake, model, clip(), background="grean")


def test_a_clip_goes_on_with_a_state(comfy, fake, model, network, clip, tmp_path):
    path = clip(count=9)
    pha = truth(network, path)[1]
    *_, state, _, _ = matte_video(fake, model, fake.VideoFromFile(str(path), duration=5 / 24), output="alpha")
    assert state["frame_count"] == 5
    rest = fake.VideoFromFile(str(path), start_time=5 / 24)
    _, alpha, _, count, _ = matte_video(fake, model, rest, output="alpha", state=state)
    assert count == 4
    assert (pictures(alpha.get_stream_source())[..., 0] - pha[5:, 0] * 255).abs().mean() < 1.5  # H.264 of noise


def test_a_state_of_another_size_is_refused_before_any_work(comfy, fake, model, clip):
    small, large = clip("small.mkv", height=36, width=64), clip("large.mkv")
    state = matte_video(fake, model, small)[2]
    for file in (comfy.root / "temp").iterdir():
        file.unlink()
    comfy.loaded.clear()
    with pytest.raises(StudioError, match="frames are 80x64 but the state belongs to 64x36"):
        matte_video(fake, model, large, state=state)
    assert not comfy.loaded
    assert not list((comfy.root / "temp").iterdir())


def test_a_trimmed_clip_is_matted_as_trimmed(comfy, fake, model, clip):
    path = clip()
    video, _, _, count, _ = matte_video(fake, model, fake.VideoFromFile(str(path), start_time=0.125, duration=0.125))
    assert count == 3
    assert times(video.get_stream_source()) == pytest.approx([0, 1 / 24, 2 / 24], abs=1e-3)
    assert sound_seconds(video.get_stream_source()) == pytest.approx(3 / 24, abs=0.05)


def test_frames_in_memory_go_through_a_lossless_file(comfy, fake, model, network, clip, frames):
    images = frames(5)
    tone = {"waveform": torch.rand(1, 1, 10000) - 0.5, "sample_rate": 48000}
    video = fake.VideoFromComponents(fake.components(images, Fraction(25), tone))
    result, alpha, _, count, fps = matte_video(fake, model, video)
    rounded = (images * 255).round() / 255
    pha = MattingSession(network).matte(rounded.permute(0, 3, 1, 2))[1]
    assert (pictures(alpha.get_stream_source())[..., 0] - pha[:, 0] * 255).abs().mean() < 1.5  # H.264 of noise
    assert (count, fps) == (5, 25.0)
    assert sound_seconds(result.get_stream_source()) == pytest.approx(0.2, abs=0.05)
    assert {file.suffix for file in (comfy.root / "temp").iterdir()} == {".mp4"}  # the file between is gone


def test_a_clip_of_bytes(comfy, fake, model, clip):
    path = clip()
    video = fake.VideoFromFile(io.BytesIO(path.read_bytes()))
    assert matte_video(fake, model, video)[3] == 8
    assert {file.suffix for file in (comfy.root / "temp").iterdir()} == {".mp4"}


def test_edits_that_are_still_to_be_made_are_made(comfy, fake, model, clip):
    path = clip()

    class Edited(fake.VideoFromFile):
        def has_pending_frame_edits(self):
            return True

        def save_to(self, target, format=None, codec=None, metadata=None):
            Path(target).write_bytes(clip("edited.mkv", 3).read_bytes())

    assert matte_video(fake, model, Edited(str(path)))[3] == 3


@pytest.mark.parametrize("video", [None, "clip.mp4", torch.zeros(2, 8, 8, 3)])
def test_what_is_no_video_is_refused(comfy, model, video):
    with pytest.raises(StudioError, match=r"RVM Matte Video: The video input is .* not a VIDEO. Connect Load Video"):
        RVMMatteVideo().matte(model, video, **VIDEO)


def test_a_model_of_another_node_pack_is_refused(comfy, fake, clip):
    with pytest.raises(StudioError, match=r"RVM Matte Video: The model input is not an RVM model\."):
        matte_video(fake, object(), clip())
    with pytest.raises(StudioError, match=r"RVM Save Alpha Video: The model input is not an RVM model\."):
        save(fake, object(), clip())


def test_a_clip_that_cannot_be_read(comfy, fake, model, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"\0" * 1000)
    with pytest.raises(StudioError, match=r"RVM Matte Video: .*broken.mp4 cannot be opened as a video"):
        matte_video(fake, model, tmp_path / "broken.mp4")
    with pytest.raises(StudioError, match="does not exist"):
        matte_video(fake, model, tmp_path / "gone.mp4")


def test_progress_and_previews(comfy, fake, model, clip):
    matte_video(fake, model, clip())
    assert comfy.progress[-1] == (8, 8)
    assert comfy.previews[0][0] == "JPEG"


def count_runs(monkeypatch) -> list:
    runs = []
    forward = MattingNetwork.forward
    monkeypatch.setattr(MattingNetwork, "forward", lambda *a, **k: runs.append(1) or forward(*a, **k))
    return runs


@pytest.mark.parametrize("warm_up", [0, 12])
def test_a_cancel_leaves_nothing_in_the_temp_folder(comfy, fake, model, clip, monkeypatch, warm_up):
    path = clip(count=40)
    runs = count_runs(monkeypatch)
    comfy.cancel_after = 6
    with pytest.raises(fake.InterruptProcessingException):
        matte_video(fake, model, path, warm_up=warm_up)
    assert len(runs) <= 6
    assert not comfy.interrupted
    assert not list((comfy.root / "temp").iterdir())


# ---- RVM Save Alpha Video


def save(fake, model, path, **changes):
    video = path if hasattr(path, "get_components") else fake.VideoFromFile(str(path))
    return RVMSaveAlphaVideo().save(model, video, **(SAVE | changes))


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_format_holds_the_cores_alpha(comfy, fake, model, network, clip, format):
    path = clip()
    answer = save(fake, model, path, format=format)
    saved, state = answer["result"]
    assert Path(saved).parent == comfy.root / "output" / "video"
    assert Path(saved).name == ("RVM_00001_" if format == "PNG sequence" else f"RVM_00001_{SUFFIXES[format]}")
    pha = (truth(network, path)[1][:, 0] * 255).round()
    if format == "WebP":  # libav writes it and cannot read it
        from PIL import Image, ImageSequence

        with Image.open(saved) as animation:
            alphas = [torch.from_numpy(np.array(f.convert("RGBA"))[..., 3]) for f in ImageSequence.Iterator(animation)]
        result = torch.stack(alphas)
    else:
        result = pictures(f"{saved}/%05d.png" if format == "PNG sequence" else saved)[..., 3]
    assert (result - pha).abs().max() <= 1
    assert state["frame_count"] == 8
    assert not list((comfy.root / "output").rglob("*.partial*"))


def test_what_is_shown_on_the_node_is_a_clip_in_the_temp_folder(comfy, fake, model, clip):
    shown = save(fake, model, clip())["ui"]
    (entry,) = shown["images"]
    assert shown["animated"] == (True,)
    assert entry["type"] == "temp"
    preview = comfy.root / "temp" / entry["filename"]
    assert pictures(preview).shape == (8, 64, 80, 3)


def test_names_are_numbered_as_comfyuis_own(comfy, fake, model, clip):
    path = clip()
    names = [Path(save(fake, model, path, format=format)["result"][0]).name for format in ("FFV1", "FFV1", "VP9")]
    assert names == ["RVM_00001_.mkv", "RVM_00002_.mkv", "RVM_00003_.webm"]


def test_a_name_outside_the_output_folder_is_refused(comfy, fake, model, clip):
    with pytest.raises(StudioError, match=r"RVM Save Alpha Video: The filename prefix '../x' is not a path inside"):
        save(fake, model, clip(), filename_prefix="../x")


def test_edges(comfy, fake, model, network, clip):
    from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges

    path = clip()
    changes = {"grow": -1.0, "feather": 1.0, "black_point": 0.1, "white_point": 0.9}
    result = pictures(save(fake, model, path, **changes)["result"][0])[..., 3]
    expected = refine_edges(truth(network, path)[1], EdgeOptions(*changes.values()))[:, 0] * 255
    assert (result - expected).abs().max() <= 1


def test_colours_of_the_source_or_of_the_person(comfy, fake, model, network, clip):
    path = clip()
    fgr, pha = truth(network, path)
    shown = (pha > 0.5 / 255).permute(0, 2, 3, 1)
    person = pictures(save(fake, model, path)["result"][0])[..., :3]
    assert ((person - fgr.permute(0, 2, 3, 1) * 255) * shown).abs().max() <= 1
    source = pictures(save(fake, model, path, decontaminate=0.0)["result"][0])[..., :3]
    assert ((source.float() - pictures(path)) * shown).abs().max() <= 1


def test_premultiplied(comfy, fake, model, network, clip):
    path = clip()
    saved = save(fake, model, path, alpha="premultiplied")["result"][0]
    fgr, pha = truth(network, path)
    assert (pictures(saved)[..., :3] - (fgr * pha).permute(0, 2, 3, 1) * 255).abs().max() <= 1
    with av.open(saved) as container:
        assert "premultiplied" in {k.lower(): v for k, v in container.metadata.items()}["comment"]


@pytest.mark.parametrize("keep", [True, False])
def test_sound(comfy, fake, model, clip, keep):
    saved = save(fake, model, clip(), keep_audio=keep)["result"][0]
    assert (sound_seconds(saved) > 0) is keep


@pytest.mark.parametrize("format", ["ProRes 4444", "VP9", "FFV1", "PNG sequence"])
def test_a_cancelled_file_is_kept_and_gone_on_with(comfy, fake, model, clip, monkeypatch, format):
    path = clip(count=12)
    whole = save(fake, model, path, format=format, filename_prefix="whole")["result"][0]
    comfy.cancel_after = 9
    with pytest.raises(fake.InterruptProcessingException):
        save(fake, model, path, format=format)
    folder = comfy.root / "output" / "video"
    assert [entry.name for entry in folder.iterdir() if "partial" in entry.name]
    runs = count_runs(monkeypatch)
    saved = save(fake, model, path, format=format)["result"][0]
    assert len(runs) < 12
    pattern = "/%05d.png" if format == "PNG sequence" else ""
    assert torch.equal(pictures(f"{saved}{pattern}"), pictures(f"{whole}{pattern}"))
    assert [entry.name for entry in folder.iterdir()] == [Path(saved).name]


def test_without_resume_a_new_file_is_begun(comfy, fake, model, clip, monkeypatch):
    path = clip(count=12)
    comfy.cancel_after = 9
    with pytest.raises(fake.InterruptProcessingException):
        save(fake, model, path)
    runs = count_runs(monkeypatch)
    saved = save(fake, model, path, resume=False)["result"][0]
    assert len(runs) == 12
    assert Path(saved).name == "RVM_00002_.mkv"
    assert len([entry for entry in Path(saved).parent.iterdir() if entry.name.endswith(".partial.mkv")]) == 1


def test_another_clips_partial_file_is_left_alone(comfy, fake, model, clip, monkeypatch):
    first, second = clip("first.mkv", 12), clip("second.mkv", 6)
    comfy.cancel_after = 9
    with pytest.raises(fake.InterruptProcessingException):
        save(fake, model, first)
    (partial,) = (comfy.root / "output" / "video").glob("*.partial.mkv")
    kept = partial.read_bytes()
    assert len(pictures(save(fake, model, second)["result"][0])) == 6
    assert partial.read_bytes() == kept
    runs = count_runs(monkeypatch)
    assert len(pictures(save(fake, model, first)["result"][0])) == 12
    assert len(runs) < 12


# ---- RVM Save RGBA


def save_rgba(images, **changes):
    settings = {"fps": 24.0, "filename_prefix": "video/RVM", "format": "FFV1", "alpha": "straight"} | changes
    return RVMSaveRGBA().save(images, **settings)


@pytest.fixture
def rgba(frames):
    images = torch.cat([frames(5), torch.linspace(0, 1, 80).expand(5, 64, 80)[..., None]], -1)
    images[:, :, :8, 3] = 0
    return images


def test_frames_are_saved_exactly_but_for_what_cannot_be_seen(comfy, rgba):
    result = pictures(save_rgba(rgba)["result"][0])
    expected = (rgba * 255).round()
    expected[..., :3] *= expected[..., 3:] > 0
    assert torch.equal(result, expected.to(torch.uint8))


def test_sound_beside_frames(comfy, rgba):
    tone = {"waveform": torch.rand(1, 2, 48000) - 0.5, "sample_rate": 48000}
    assert sound_seconds(save_rgba(rgba, audio=tone)["result"][0]) == pytest.approx(5 / 24, abs=0.05)
    assert sound_seconds(save_rgba(rgba)["result"][0]) == 0


def test_a_fractional_rate(comfy, rgba):
    with av.open(save_rgba(rgba, fps=29.97)["result"][0]) as container:
        assert container.streams.video[0].average_rate == pytest.approx(Fraction(30000, 1001), rel=1e-3)


def test_frames_without_transparency_are_refused(comfy, frames):
    with pytest.raises(StudioError, match=r"RVM Save RGBA: The images have the shape .* Connect the rgba output"):
        save_rgba(frames(2))


def test_no_frames_are_refused(comfy, rgba):
    with pytest.raises(StudioError, match="RVM Save RGBA: There are no images to save"):
        save_rgba(rgba[:0])


def test_an_audio_that_is_none(comfy, rgba):
    with pytest.raises(StudioError, match="RVM Save RGBA: The audio input is not an AUDIO"):
        save_rgba(rgba, audio="song.mp3")


def test_a_cancel_while_saving(comfy, fake, rgba):
    comfy.cancel_after = 3
    with pytest.raises(fake.InterruptProcessingException):
        save_rgba(rgba.repeat(10, 1, 1, 1))
    assert not [p for p in (comfy.root / "output").rglob("*") if p.is_file() and ".partial" not in p.name]


def test_silence_is_no_track():
    assert video_input.audio_track(None) is None
    assert video_input.audio_track({"waveform": torch.zeros(1, 2, 0), "sample_rate": 44100}) is None
