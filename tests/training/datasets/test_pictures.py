"""Reading pictures and frames of videos as squares; which frames make a clip."""

# T frames

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.training.datasets.pictures import (
    VideoFrames,
    draw_frames,
    load_picture,
    load_sequence,
    picture_size,
)
from rvm_studio.training.datasets.samples import UnreadableSampleError
from rvm_studio.training.datasets.synthesis.randomness import Dice


def values(frames) -> list[int]:
    """The mean of each frame."""
    return frames.float().mean((1, 2, 3)).round().int().tolist()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_a_picture_becomes_a_square(tmp_path, make_picture, suffix):
    found = load_picture(make_picture(tmp_path / f"a.{suffix}", 120, (57, 31)), 16)
    assert (found.shape, found.dtype) == ((3, 16, 16), torch.uint8)
    assert (found.int() - 120).abs().max() <= 2


def test_what_is_left_stays_left(tmp_path):
    image = np.zeros((30, 80, 3), np.uint8)
    image[:, 40:] = (200, 100, 50)
    Image.fromarray(image).save(tmp_path / "a.png")
    found = load_picture(tmp_path / "a.png", 32)
    assert (found[:, :, :14] == 0).all()
    assert (found[:, :, 18:] == torch.tensor([200, 100, 50]).view(3, 1, 1)).all()


def test_alpha_of_16_bits_is_scaled(tmp_path):
    Image.fromarray(np.full((20, 20), 128 * 257, np.uint16)).save(tmp_path / "a.png")
    found = load_picture(tmp_path / "a.png", 8, gray=True)
    assert found.shape == (1, 8, 8)
    assert (found == 128).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1", "CMYK"])
def test_other_modes_are_read(tmp_path, mode):
    image = Image.new("RGB", (20, 10), (255, 255, 255)).convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    image.save(tmp_path / f"a.{suffix}")
    assert (load_picture(tmp_path / f"a.{suffix}", 8) >= 254).all()
    assert (load_picture(tmp_path / f"a.{suffix}", 8, gray=True) >= 254).all()


def test_a_turned_photograph_stands_upright(tmp_path):
    image = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 20, 0).repeat(40, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter: what is on top lies on the right
    image.convert("RGB").save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = load_picture(tmp_path / "a.jpg", 16)
    assert (found[:, :, :6] > 240).all()
    assert (found[:, :, 10:] < 15).all()


def test_broken_and_missing_pictures_are_told(tmp_path, make_picture, break_file):
    broken = break_file(make_picture(tmp_path / "broken.jpg", 9))
    (tmp_path / "text.png").write_text("not a picture")
    for path in (broken, tmp_path / "text.png", tmp_path / "missing.jpg"):
        with pytest.raises(UnreadableSampleError, match=path.name):
            load_picture(path, 8)
        if path is not broken:
            with pytest.raises(UnreadableSampleError, match=path.name):
                picture_size(path)


def test_a_cut_off_jpeg_is_no_picture(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    assert picture_size(tmp_path / "a.jpg") == (64, 64)  # the head is whole
    with pytest.raises(UnreadableSampleError):
        load_picture(tmp_path / "a.jpg", 64)


def test_a_picture_unlike_its_counterpart_is_told(tmp_path, make_picture):
    path = make_picture(tmp_path / "a.png", 9, (40, 30))
    assert load_picture(path, 8, like=(40, 30)).shape == (3, 8, 8)
    with pytest.raises(UnreadableSampleError, match=r"40x30.*41x30"):
        load_picture(path, 8, like=(41, 30))


def test_a_sequence_keeps_its_order(tmp_path, make_picture):
    paths = [make_picture(tmp_path / f"{k}.png", 50 * k) for k in range(4)]
    frames = load_sequence([paths[k] for k in (3, 1, 1, 0)], 8)
    assert frames.shape == (4, 3, 8, 8)
    assert frames.is_contiguous()
    assert values(frames) == [150, 50, 50, 0]
    assert load_sequence(paths[:1], 8, gray=True).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("length", [1, 2, 7, 100])
@pytest.mark.parametrize("frames", [1, 5, 15])
def test_a_clip_is_read_without_false_cuts(length, frames):
    """Steps from frame to frame are those of the speed, or less where it turns round at an end: never a jump."""
    for seed in range(60):
        dice = Dice(seed)
        places, words = draw_frames(dice, dice.whole(0, length - 1), length, frames)
        assert len(places) == frames
        assert all(0 <= k < length for k in places)
        speed = float(words.split(" x")[1].split()[0])
        steps = np.abs(np.diff(places))
        assert (steps <= np.ceil(speed)).all(), (words, places)


def test_speeds_shifts_and_directions_are_all_drawn():
    words, firsts = [], []
    for seed in range(600):
        places, said = draw_frames(Dice(seed), 1000, 5000, 10)
        words.append(said)
        firsts.append(min(places))
        speed = float(said.split(" x")[1].split()[0])
        expected = 1000 + int(said[1:].split()[0]) - 1000 + np.floor(np.arange(10) * speed)
        assert places == (expected[::-1] if "backwards" in said else expected).tolist()
    for speed in ("0.5", "1", "2", "3", "4", "5"):
        assert sum(f" x{speed}" in w for w in words) == pytest.approx(100, abs=33)
    assert sum("backwards" in w for w in words) == pytest.approx(300, abs=43)
    assert set(firsts) == set(range(1000, 1010))


@pytest.mark.parametrize(
    "wanted",
    [[0], [39], list(range(40)), list(range(39, -1, -1)), [7, 7, 8, 8], [30, 20, 10, 0, 10, 20], [13, 25], [5, 39, 12]],
)
def test_the_frames_of_a_video_by_number(tmp_path, make_video, wanted):
    path = make_video(tmp_path / "a.mp4", [20 + 5 * t for t in range(40)])
    frames = VideoFrames(path).load(wanted, 16)
    assert frames.shape == (len(wanted), 3, 16, 16)
    assert values(frames) == pytest.approx([20 + 5 * t for t in wanted], abs=2)


def test_gray_of_a_video(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", [0, 255, 128])
    frames = VideoFrames(path).load([0, 1, 2], 12, gray=True)
    assert frames.shape == (3, 1, 12, 12)
    assert values(frames) == pytest.approx([0, 255, 128], abs=1)


def test_what_a_video_says_of_itself(tmp_path, make_video):
    path = VideoFrames(make_video(tmp_path / "a.mp4", [9] * 7, (64, 48)))
    assert path.count() == 7
    assert path.size() == (64, 48)


def test_a_number_past_the_end_gives_the_last_frame(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", [20 + 5 * t for t in range(10)])
    assert values(VideoFrames(path).load([8, 9, 12], 8)) == pytest.approx([60, 65, 65], abs=2)


def test_broken_videos_are_told(tmp_path, make_video, break_file, make_picture):
    broken = break_file(make_video(tmp_path / "a.mp4", [9] * 5))
    (tmp_path / "empty.mp4").write_bytes(b"")
    for path in (broken, tmp_path / "empty.mp4", tmp_path / "missing.mp4"):
        for action in (VideoFrames(path).count, VideoFrames(path).size, lambda p=path: VideoFrames(p).load([0], 8)):
            with pytest.raises(UnreadableSampleError, match=path.name):
                action()
