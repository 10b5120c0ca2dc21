"""Backgrounds, edges and colours in every kind of output."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
from rvm_studio.core.engines import Engine, EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.alpha_ops import blurred_background
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.core.pictures.pixel_format import quantise, to_float
from rvm_studio.core.stream.session import MattingSession

from .matted_clips import decoded, pictures_of


@pytest.mark.parametrize("background", ["#102030", "picture", "video", "blur"])
def test_backgrounds(tmp_path, make_clip, red_engine, background):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", frames=6)
    truth = pictures_of(source)
    wanted = background
    if background == "picture":
        wanted = str(tmp_path / "wide.png")
        Image.fromarray(np.full((10, 400, 3), (10, 200, 30), np.uint8)).save(wanted)
    if background == "video":  # half the source's frame rate, two frames long: its frames are repeated, and it loops
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
    """An engine whose foreground is the picture's negative; it counts how often a foreground is requested."""

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


def test_the_background_is_not_overwritten(tmp_path, make_clip, red_engine):
    source, behind = make_clip(tmp_path / "in.mp4"), make_clip(tmp_path / "behind.mp4")
    before = behind.read_bytes()
    options = ClipOptions(background=str(behind), overwrite=True)
    with pytest.raises(StudioError, match="is the background"):
        matte_clip(source, [Output(behind, "composite")], MattingSession(red_engine), options)
    assert behind.read_bytes() == before
