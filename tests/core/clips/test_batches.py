"""Batches in memory, as ComfyUI holds them, against the formulas worked out frame by frame."""

# T frames, C channels, H, W; pictures are [T, H, W, C], masks [T, H, W]

import pytest
import torch
from rvm_studio.core.clips.batches import composite_pictures, decontaminate_pictures, matte_pictures, refine_masks
from rvm_studio.core.engines import EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.alpha_ops import blurred_background
from rvm_studio.core.pictures.decontaminate import decontaminate, despill
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.core.stream.session import MattingSession, Stopped

T, H, W = 5, 6, 9


def pictures(count=T, channels=3, height=H, width=W, seed=0) -> torch.Tensor:
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(seed))


def masks(count=T, height=H, width=W, seed=7) -> torch.Tensor:
    return pictures(count, 1, height, width, seed)[..., 0]


def planar(picture: torch.Tensor) -> torch.Tensor:
    """[H, W, C] -> [1, 3, H, W]"""
    return picture[..., :3].permute(2, 0, 1)[None]


# Matting


@pytest.mark.parametrize("channels", [3, 4, 6])
@pytest.mark.parametrize("chunk", [1, 2, 9])
def test_a_batch_is_one_stream(red_engine, channels, chunk):
    """Alpha is red, and the engine counts the frames that its state has seen."""
    src = pictures(channels=channels)
    session = MattingSession(red_engine, chunk=chunk)
    rgba = matte_pictures(session, src)
    assert rgba.shape == (T, H, W, 4)
    assert rgba.dtype == torch.float32
    assert torch.equal(rgba[..., :3], src[..., :3])
    assert torch.equal(rgba[..., 3], src[..., 0])
    assert session.state.rec[0].item() == T
    mask = matte_pictures(session, src, foreground=False)
    assert torch.equal(mask, src[..., 0])
    assert session.state.rec[0].item() == 2 * T, "it goes on where it was"


def test_the_foreground_is_not_computed_where_nobody_wants_it(red_engine, monkeypatch):
    run, asked = red_engine.run, []

    def noted(*args, foreground=True, **options) -> EngineOutput:
        asked.append(foreground)
        return run(*args, foreground=foreground, **options)

    monkeypatch.setattr(red_engine, "run", noted, raising=False)
    matte_pictures(MattingSession(red_engine), pictures(2), foreground=False)
    matte_pictures(MattingSession(red_engine), pictures(2))
    assert asked == [False, False, True, True]


@pytest.mark.parametrize("foreground", [True, False])
def test_progress_and_the_last_frame_of_every_chunk(red_engine, foreground):
    src, done, shown = pictures(), [], []
    matte_pictures(
        MattingSession(red_engine, chunk=2),
        src,
        foreground=foreground,
        on_progress=lambda *counts: done.append(counts),
        on_result=lambda fgr, pha: shown.append((fgr, pha.clone())),
    )
    assert done == [(2, 5), (4, 5), (5, 5)]
    assert len(shown) == 3
    for (fgr, pha), t in zip(shown, (1, 3, 4), strict=True):
        assert torch.equal(pha, planar(src[t])[:, :1])
        assert (fgr is None) if not foreground else torch.equal(fgr, planar(src[t]))


@pytest.mark.parametrize("foreground", [True, False])
def test_an_empty_batch(red_engine, foreground):
    result = matte_pictures(MattingSession(red_engine), pictures(0), foreground=foreground)
    assert result.shape == ((0, H, W, 4) if foreground else (0, H, W))


def test_a_stop_is_passed_on(red_engine):
    session = MattingSession(red_engine, chunk=1)
    done = []
    session.stopped = lambda: len(done) >= 2
    with pytest.raises(Stopped):
        matte_pictures(session, pictures(), on_progress=lambda *counts: done.append(counts))
    assert session.state.frame_count == 2


# Composites


@pytest.mark.parametrize("linear_light", [False, True])
def test_over_a_colour(linear_light):
    fgr, mask, color = pictures(), masks(), torch.tensor([0.1, 0.7, 0.3])
    found = composite_pictures(fgr, mask, color, linear_light=linear_light)
    a = mask[..., None].double()
    if linear_light:  # IEC 61966-2-1

        def light(x):
            return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)

        mixed = a * light(fgr.double()) + (1 - a) * light(color.double())
        expected = torch.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)
    else:
        expected = a * fgr + (1 - a) * color
    assert found.shape == (T, H, W, 3)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_over_pictures_from_the_first_again(count):
    fgr, mask, bgr = pictures(channels=4), masks(), pictures(count, seed=3)
    found = composite_pictures(fgr, mask, bgr)
    for t in range(T):
        a = mask[t, ..., None]
        assert torch.allclose(found[t], a * fgr[t, ..., :3] + (1 - a) * bgr[t % count], atol=1e-6)


def test_a_background_of_another_shape_is_cut_around_the_centre():
    src, nobody = pictures(), torch.zeros(T, H, W)
    wide, high = pictures(1, width=W + 6, seed=3), pictures(1, height=H + 4, seed=4)
    assert torch.equal(composite_pictures(src, nobody, wide), wide[:, :, 3:-3].expand(T, H, W, 3))
    assert torch.equal(composite_pictures(src, nobody, high), high[:, 2:-2].expand(T, H, W, 3))
    halves = torch.zeros(1, 4 * H, 4 * W, 3)
    halves[:, 2 * H :] = 1
    found = composite_pictures(src, nobody, halves)
    assert found[:, : H // 2 - 1].max() < 0.01
    assert found[:, H // 2 + 1 :].min() > 0.99


@pytest.mark.parametrize(("images", "mattes"), [(1, 4), (4, 1), (1, 1)])
def test_one_for_all(images, mattes):
    fgr, mask = pictures(images), masks(mattes)
    found = composite_pictures(fgr, mask, torch.zeros(3))
    assert torch.allclose(found, fgr * mask[..., None], atol=1e-6)
    assert len(found) == max(images, mattes)


@pytest.mark.parametrize("blur", [0, 1.5])
def test_over_the_blurred_source(blur):
    fgr, mask, src = pictures(), masks(), pictures(seed=5)
    found = composite_pictures(fgr, mask, src, blur=blur)
    for t in range(T):
        a = mask[t][None, None]
        behind = blurred_background(planar(src[t]), a, blur)
        assert torch.allclose(planar(found[t]), a * planar(fgr[t]) + (1 - a) * behind, atol=1e-6)


@pytest.mark.parametrize(
    ("fgr", "mask", "bgr", "blur", "message"),
    [
        (pictures(), masks(), pictures(0), None, "The background has no frames"),
        (pictures(), masks(), pictures(height=4), 1.0, "The background to blur is 9x4 but the frames are 9x6"),
        (pictures(), masks(), pictures(width=4), 1.0, "The background to blur is 4x6 but the frames are 9x6"),
        (pictures(), masks(height=5), torch.zeros(3), None, "The mask is 9x5 but the images are 9x6"),
        (pictures(), masks(width=5), torch.zeros(3), None, "The mask is 5x6 but the images are 9x6"),
        (pictures(5), masks(4), torch.zeros(3), None, "There are 5 images but 4 masks"),
        (pictures(channels=2), masks(), torch.zeros(3), None, r"got \[5, 6, 9, 2\] and \[5, 6, 9\]"),
        (pictures()[0], masks(), torch.zeros(3), None, r"got \[6, 9, 3\]"),
        (pictures(), masks()[0], torch.zeros(3), None, r"and \[6, 9\]"),
    ],
)
def test_what_does_not_fit_together(fgr, mask, bgr, blur, message):
    with pytest.raises(StudioError, match=message):
        composite_pictures(fgr, mask, bgr, blur=blur)


@pytest.mark.parametrize(("images", "mattes"), [(0, 0), (0, 1), (1, 0)])
def test_nothing_over_something_is_nothing(images, mattes):
    assert composite_pictures(pictures(images), masks(mattes), torch.zeros(3)).shape == (0, H, W, 3)


# Edges


def smoothed(frames: torch.Tensor, s: float) -> torch.Tensor:
    """(1 - 2 s / 3) of a frame and s / 3 of both neighbours, the ends their own."""
    padded = torch.cat([frames[:1], frames, frames[-1:]])
    return (1 - 2 * s / 3) * frames + s / 3 * (padded[:-2] + padded[2:])


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("temporal", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_masks_inverted_then_smoothed_then_refined(count, temporal, invert):
    mask, options = masks(count), EdgeOptions(grow=1, black_point=0.2)
    given = mask.clone()
    found = refine_masks(mask, options, temporal=temporal, invert=invert)
    expected = smoothed(1 - mask if invert else mask, temporal)
    assert torch.allclose(found, refine_edges(expected[:, None], options)[:, 0], atol=1e-6)
    assert torch.equal(mask, given)


def test_options_that_do_nothing_give_the_mask():
    found = refine_masks(masks(), EdgeOptions())
    assert torch.equal(found, masks())
    assert refine_masks(masks(0), EdgeOptions(grow=1)).shape == (0, H, W)


# Colours at the edges


def test_a_pure_colour_at_the_edges_is_taken_out_frame_by_frame():
    src, mask, fgr = pictures(), masks(), pictures(seed=9)
    found = decontaminate_pictures(src, mask, 0.7, foreground=fgr)
    for t in range(T):
        expected = decontaminate(planar(src[t]), mask[t][None, None], 0.7, planar(fgr[t]))
        assert torch.allclose(planar(found[t]), expected, atol=1e-6)
        assert torch.equal(found[t, ..., 3], mask[t])
    without = decontaminate_pictures(src, mask, 0.7)
    assert torch.allclose(planar(without[2]), decontaminate(planar(src[2]), mask[2][None, None], 0.7), atol=1e-6)
    assert torch.equal(decontaminate_pictures(src, mask, 0)[..., :3], src)


def test_one_foreground_for_all_and_spill():
    src, mask, fgr, green = pictures(), masks(1), pictures(1, seed=9), torch.tensor([0.0, 1.0, 0.0])
    found = decontaminate_pictures(src, mask, 1, foreground=fgr, spill=green, spill_strength=0.5)
    for t in range(T):
        cleaned = decontaminate(planar(src[t]), mask[:1, None], 1, planar(fgr[0]))
        assert torch.allclose(planar(found[t]), despill(cleaned, [0, 1, 0], 0.5), atol=1e-6)
        assert torch.equal(found[t, ..., 3], mask[0])


@pytest.mark.parametrize(
    ("foreground", "size"), [(pictures(4), "4 frames of 9x6"), (pictures(height=5), "5 frames of 9x5")]
)
def test_a_foreground_that_is_another_clips(foreground, size):
    with pytest.raises(StudioError, match=f"The foreground has {size} but the images are 5 of 9x6"):
        decontaminate_pictures(pictures(), masks(), 1, foreground=foreground)


# For every kind


@pytest.mark.parametrize(
    "work",
    [
        lambda each: composite_pictures(pictures(), masks(), torch.zeros(3), each=each),
        lambda each: refine_masks(masks(), EdgeOptions(), each=each),
        lambda each: decontaminate_pictures(pictures(), masks(), 1, each=each),
    ],
)
def test_a_host_is_asked_before_every_frame(work):
    calls = []
    work(lambda: calls.append(1))
    assert len(calls) == T

    def cancel():
        calls.append(1)
        if len(calls) == T + 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        work(cancel)
    assert len(calls) == T + 3
