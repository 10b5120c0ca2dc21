"""Scores of folders and of an engine's mattes, against core.evaluation.metrics and the golden values."""

# T frames, C channels, H, W

import gc

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.core.evaluation import clips as evaluation
from rvm_studio.core.evaluation.clips import Clip, Score, find_clips, score_clip, score_table, surplus_clips
from rvm_studio.core.evaluation.metrics import matting_metrics
from rvm_studio.core.stream.session import MattingSession, Stopped
from rvm_studio.core.video.reader import open_reader


def write(folder, frames: torch.Tensor, suffix="png", first=0):
    """[T, C, H, W] uint8 as numbered pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).save(folder / f"{t + first:04d}.{suffix}")
    return folder


def random_frames(channels: int, frames=5, height=19, width=26, seed=0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (frames, channels, height, width), dtype=np.uint8)
    )


@pytest.fixture
def pair(tmp_path):
    """A clip "data/a" on both sides, and its frames: pred pha, true pha, pred fgr, true fgr."""
    layers = [random_frames(1, seed=1), random_frames(1, seed=2), random_frames(3, seed=3), random_frames(3, seed=4)]
    for place, frames in zip(("pred/{}/pha", "true/{}/pha", "pred/{}/fgr", "true/{}/fgr"), layers, strict=True):
        write(tmp_path / place.format("data/a"), frames)
    return layers


def only_clip(tmp_path) -> Clip:
    (clip,) = find_clips(tmp_path / "true", tmp_path / "pred")
    return clip


def means(values: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.mean().item() for name, value in values.items()}


# ---- scores


def test_golden(golden, tmp_path):
    tensors, _ = golden("i_metrics")
    for side in ("pred", "true"):
        write(tmp_path / side / "pha", tensors[f"{side}_pha"][:, None])
        write(tmp_path / side / "fgr", tensors[f"{side}_fgr"].permute(0, 3, 1, 2))
    score = score_clip(only_clip(tmp_path))
    assert score.frames == 4
    assert list(score.metrics) == ["mad", "mse", "grad", "conn", "dtssd", "fgr_mad", "fgr_mse"]
    for name, value in score.metrics.items():
        assert value == pytest.approx(tensors[name].mean().item(), rel=3e-7)


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_the_same_as_the_metrics_whatever_the_chunks(pair, tmp_path, monkeypatch, high, at_once):
    monkeypatch.setitem(evaluation._CHUNK_PIXELS, "cpu", at_once * 19 * 26)
    progress = []
    score = score_clip(only_clip(tmp_path), high, on_progress=lambda *x: progress.append(x))
    assert score.metrics == pytest.approx(means(matting_metrics(*pair, high_resolution=high)), rel=1e-12)
    assert ("conn" in score.metrics) == (not high)
    assert progress == [(min(t, 5), 5) for t in range(at_once, 5 + at_once, at_once)]


def test_alpha_alone_where_a_side_has_no_foreground(pair, tmp_path):
    (tmp_path / "pred/data/a/fgr").rename(tmp_path / "pred/data/a/other")
    score = score_clip(only_clip(tmp_path))
    assert score.metrics == pytest.approx(means(matting_metrics(*pair[:2])), rel=1e-12)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    values = np.array([[0, 100, 257], [30000, 65000, 65535]], np.uint16)
    for side, picture in (("true", values), ("pred", np.zeros_like(values))):
        (tmp_path / side / "pha").mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / side / "pha/0.png")
    assert score_clip(only_clip(tmp_path)).metrics["mad"] == pytest.approx(values.mean() / 65535 * 1e3, rel=1e-6)


def test_videos(tmp_path, make_clip):
    """pha.mkv without loss beside a folder of pictures: the red of what the reader gives."""
    for side in ("pred", "true"):
        (tmp_path / side).mkdir()
    make_clip(tmp_path / "pred/pha.mkv", (26, 20), 6, codec="ffv1", pix_fmt="bgr0")
    with open_reader(tmp_path / "pred/pha.mkv") as reader:
        red = torch.stack([torch.from_numpy(frame.image[..., 0].copy()) for frame in reader])
    true = random_frames(1, 6, 20, 26)
    write(tmp_path / "true/pha", true)
    assert score_clip(only_clip(tmp_path)).metrics == pytest.approx(means(matting_metrics(red, true)), rel=1e-12)


def test_two_videos_or_folders_of_pictures_are_a_clip(tmp_path, make_clip):
    a = make_clip(tmp_path / "a.mkv", (26, 20), 3, codec="ffv1", pix_fmt="bgr0")
    (clip,) = find_clips(a, a)
    assert (clip.name, clip.dataset) == ("a", "")
    assert score_clip(clip).metrics["mad"] == 0
    pictures = write(tmp_path / "pictures", random_frames(1, 3, 20, 26))
    (clip,) = find_clips(a, pictures)
    assert score_clip(clip).metrics["mad"] > 0


def test_one_frame_of_one_pixel(tmp_path):
    write(tmp_path / "true/pha", torch.full((1, 1, 1, 1), 51, dtype=torch.uint8))
    write(tmp_path / "pred/pha", torch.full((1, 1, 1, 1), 102, dtype=torch.uint8))
    metrics = score_clip(only_clip(tmp_path)).metrics
    assert (metrics["mad"], metrics["mse"], metrics["dtssd"]) == (pytest.approx(200), pytest.approx(40), 0)


def test_what_a_network_makes_of_com(pair, tmp_path, red_engine):
    """The engine's alpha is red, its foreground the picture: known without any network."""
    com = random_frames(3, seed=9)
    write(tmp_path / "true/data/a/com", com)
    (clip,) = find_clips(tmp_path / "true")
    score = score_clip(clip, session=MattingSession(red_engine))
    assert score.metrics == pytest.approx(means(matting_metrics(com[:, :1], pair[1], com, pair[3])), rel=1e-12)


def test_a_network_is_compared_as_if_its_result_was_written(tmp_path, red_engine):
    """Rounded to 8 bits, as the official protocol, which goes through files."""

    class Soft(type(red_engine)):
        def run(self, *arguments, **options):
            output = super().run(*arguments, **options)
            return output._replace(pha=output.pha * 0.373)

    com = random_frames(3, seed=9)
    write(tmp_path / "com", com)
    write(tmp_path / "pha", com[:, :1] // 3)
    score = score_clip(find_clips(tmp_path)[0], session=MattingSession(Soft()))
    rounded = (com[:, :1].double() * 0.373).round().to(torch.uint8)
    assert score.metrics == pytest.approx(means(matting_metrics(rounded, com[:, :1] // 3)), rel=1e-9)


def test_a_network_that_gives_no_numbers(tmp_path, red_engine):
    class Broken(type(red_engine)):
        def run(self, *arguments, **options):
            output = super().run(*arguments, **options)
            return output._replace(pha=output.pha * torch.nan)

    write(tmp_path / "com", random_frames(3))
    write(tmp_path / "pha", random_frames(1))
    with pytest.raises(StudioError, match="is not finite"):
        score_clip(find_clips(tmp_path)[0], session=MattingSession(Broken()))


@pytest.mark.slow
def test_frames_that_were_read_are_let_go(tmp_path, monkeypatch):
    """Whether or not Python's own collector comes by: it counts objects, not the megabytes of theirs."""
    monkeypatch.setitem(evaluation._CHUNK_PIXELS, "cpu", 1)
    frames = random_frames(1, 40)
    for side in ("pred", "true"):
        write(tmp_path / side / "pha", frames)
    clip, held = only_clip(tmp_path), []
    gc.collect()
    gc.disable()
    try:
        score_clip(clip, on_progress=lambda *_: held.append(sum(type(x) is av.VideoFrame for x in gc.get_objects())))
    finally:
        gc.enable()
    assert len(held) == 40
    assert max(held) < 12


def test_stopped(pair, tmp_path):
    with pytest.raises(Stopped):
        score_clip(only_clip(tmp_path), stopped=lambda: True)


# ---- finding clips


def test_clips_at_any_depth_and_their_data_sets(tmp_path):
    for name in ("vm/0001", "vm/0000", "aim/x/0000", "single", "vm/.0002.partial", ".hidden/0", "vm/0003.partial"):
        write(tmp_path / "true" / name / "pha", random_frames(1, 1))
    write(tmp_path / "true/vm/0000/pha/pha", random_frames(1, 1))  # within a part there are no clips
    write(tmp_path / "pred/vm/0000/pha", random_frames(1, 1))
    clips = find_clips(tmp_path / "true", tmp_path / "pred")
    assert [(clip.name, clip.dataset) for clip in clips] == [
        ("aim/x/0000", "aim"),
        ("single", ""),
        ("vm/0000", "vm"),
        ("vm/0001", "vm"),
    ]
    assert clips[2].pred == {"pha": tmp_path / "pred/vm/0000/pha"}
    assert clips[3].pred == {}


def test_a_folder_that_is_a_clip_itself(pair, tmp_path):
    (clip,) = find_clips(tmp_path / "true/data/a", tmp_path / "pred/data/a")
    assert (clip.name, clip.dataset) == ("a", "")
    assert score_clip(clip).frames == 5


def test_surplus_clips(tmp_path):
    for name in ("true/a", "pred/a", "pred/b/c"):
        write(tmp_path / name / "pha", random_frames(1, 1))
    clips = find_clips(tmp_path / "true", tmp_path / "pred")
    assert surplus_clips(clips, tmp_path / "pred") == ["b/c"]


@pytest.mark.parametrize("what", ["nowhere", "empty", "other"])
def test_nothing_found(tmp_path, what):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other/fgr", random_frames(3, 1))
    with pytest.raises(StudioError, match="does not exist" if what == "nowhere" else "contains no clip"):
        find_clips(tmp_path / what)


# ---- faults, each told with what was found


def fault(tmp_path) -> str:
    with pytest.raises(StudioError) as error:
        score_clip(only_clip(tmp_path))
    return str(error.value)


def test_a_missing_prediction(pair, tmp_path):
    (tmp_path / "pred/data/a/pha").rename(tmp_path / "pred/data/a/alpha")
    assert str(tmp_path / "pred/data/a") in fault(tmp_path)


def test_a_missing_com(pair, tmp_path, red_engine):
    with pytest.raises(StudioError, match="no com"):
        score_clip(find_clips(tmp_path / "true")[0], session=MattingSession(red_engine))


@pytest.mark.parametrize("part", ["pha", "fgr"])
def test_another_number_of_frames(pair, tmp_path, part):
    (tmp_path / f"pred/data/a/{part}/0002.png").unlink()
    message = fault(tmp_path)
    assert f"predicted {part} has 4" in message
    assert f"true {part} has 5" in message
    assert f"predicted {part} lacks number 2" in message


def test_a_video_that_is_too_short(pair, tmp_path, make_clip):
    for path in (tmp_path / "pred/data/a/pha").iterdir():
        path.unlink()
    (tmp_path / "pred/data/a/pha").rmdir()
    (tmp_path / "pred/data/a/fgr").rename(tmp_path / "unused")
    make_clip(tmp_path / "pred/data/a/pha.mkv", (26, 20), 3, codec="ffv1", pix_fmt="bgr0")
    write(tmp_path / "true/data/a/pha", random_frames(1, 5, 20, 26))
    assert "predicted pha ends after 3, true pha has more" in fault(tmp_path)


def test_another_size(pair, tmp_path):
    write(tmp_path / "pred/data/a/fgr", random_frames(3, 5, 20, 26))
    assert "predicted fgr is 26x20, true pha 26x19" in fault(tmp_path)


def test_one_picture_of_another_size(pair, tmp_path):
    write(tmp_path / "pred/data/a/pha", random_frames(1, 1, 20, 26), first=3)
    assert "0003.png is 26x20" in fault(tmp_path)


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_corrupt_png(pair, tmp_path, number, share):
    path = tmp_path / f"pred/data/a/pha/000{number}.png"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = fault(tmp_path)
    assert "damaged" in message
    assert f"000{number}.png" in message


def test_a_jpeg_that_is_cut_off(pair, tmp_path):
    """libav reads it without a word."""
    for path in (tmp_path / "true/data/a/fgr").iterdir():
        path.unlink()
    write(tmp_path / "true/data/a/fgr", pair[3], "jpg")
    assert score_clip(only_clip(tmp_path)).frames == 5
    path = tmp_path / "true/data/a/fgr/0004.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "0004.jpg is truncated" in fault(tmp_path)


# ---- the table


def score(name: str, frames: int, **metrics: float) -> Score:
    dataset = name.split("/")[0] if "/" in name else ""
    return Score(Clip(name, dataset, {}, {}), frames, metrics)


def test_means_over_clips_not_frames():
    header, rows = score_table([score("x/a", 1, mad=1.0), score("x/b", 99, mad=3.0)], 2)
    assert header == ["clip", "frames", "mad"]
    assert rows == [["x/a", 1, 1.0], ["x/b", 99, 3.0], ["mean of 2 clips", 100, 2.0]]


def test_data_sets_and_missing_foregrounds():
    scores = [score("x/a", 2, mad=1.0), score("x/b", 2, mad=2.0, fgr_mad=8.0), score("y/a", 2, mad=6.0)]
    header, rows = score_table([*scores, score("z", 2, mad=7.0)], 5)
    assert header == ["clip", "frames", "mad", "fgr_mad"]
    assert rows[0] == ["x/a", 2, 1.0, None]
    assert rows[4:] == [
        ["x: mean of 2 clips", 4, 1.5, 8.0],
        ["y: mean of 1 clip", 2, 6.0, None],
        ["others: mean of 1 clip", 2, 7.0, None],
        ["mean of 4 of 5 clips", 8, 4.0, 8.0],
    ]
