"""VideoMatte240K, ImageMatte and backgrounds on tiny trees of their layouts, whole and with faults."""

# T frames

import shutil
from itertools import pairwise

import pytest
import torch
from rvm_studio.core import VIDEO_SUFFIXES
from rvm_studio.core.errors import StudioError
from rvm_studio.training.datasets.matting_sets import Backgrounds, ImageMatte, VideoMatte240K, _clip_parts

NONE = Backgrounds()


def means(frames) -> list[float]:
    return frames.float().mean((1, 2, 3)).tolist()


def test_frames_of_the_published_layout(videomatte):
    data = VideoMatte240K(videomatte, 1, 4, 32, NONE)
    assert [clip.name for clip in data.clips] == ["0001", "0002", "0003"]  # 0000 and 0100 are for validation
    assert len(data) == 3 * 3  # 12 frames by 4
    result = data.check()
    assert (result.samples, result.missing) == (9, ())
    assert "MIT" in result.licence
    for index in range(len(data)):
        sample = data[1, index]
        assert sample["faults"] == ()
        assert sample["fgr"].shape == (4, 3, 32, 32)
        assert sample["pha"].shape == (4, 1, 32, 32)
        assert sample["bgr"].shape == (4, 3, 32, 32)
        assert {sample[name].dtype for name in ("fgr", "pha", "bgr")} == {torch.uint8}
        # fgr and pha are of the same frames: 10 + 5 t and 20 t
        times = [(value - 10) / 5 for value in means(sample["fgr"])]
        assert [value / 20 for value in means(sample["pha"])] == pytest.approx(times, abs=0.4)


def test_the_splits(videomatte):
    names = {
        split: [clip.name for clip in VideoMatte240K(videomatte, 1, 4, 8, NONE, split).clips]
        for split in ("train", "valid", "test")
    }
    assert names == {"train": ["0001", "0002", "0003"], "valid": ["0000", "0100"], "test": ["0000", "0001"]}
    (videomatte / "valid").mkdir()
    for part in ("fgr", "pha"):
        (videomatte / "valid" / part).mkdir()
        shutil.move(videomatte / "train" / part / "0003", videomatte / "valid" / part / "0003")
    assert [c.name for c in VideoMatte240K(videomatte, 1, 4, 8, NONE, "valid").clips] == ["0003"]
    assert [c.name for c in VideoMatte240K(videomatte, 1, 4, 8, NONE).clips] == ["0000", "0001", "0002", "0100"]
    direct = VideoMatte240K(videomatte / "test", 1, 4, 8, NONE)
    assert [clip.name for clip in direct.clips] == ["0000", "0001"]


def test_videos_of_the_published_layout(videomatte_videos):
    data = VideoMatte240K(videomatte_videos, 1, 8, 16, NONE)
    assert [clip.name for clip in data.clips] == ["0001", "0002"]
    assert len(data) == 2 * 5
    assert data.check().missing == ()
    for address in ((0, 0), (0, 9), (3, 4)):
        sample = data[address]
        assert sample["faults"] == ()
        times = [(value - 20) / 5 for value in means(sample["fgr"])]
        assert [value / 6 for value in means(sample["pha"])] == pytest.approx(times, abs=0.5)


def test_frames_and_videos_give_the_same_frames(videomatte_videos, tmp_path, make_picture):
    for part, step, base, mode in (("fgr", 5, 20, "RGB"), ("pha", 6, 0, "L")):
        for t in range(40):
            make_picture(tmp_path / "frames" / "train" / part / "0001" / f"{t:05d}.png", base + step * t, mode=mode)
    frames = VideoMatte240K(tmp_path / "frames", 1, 8, 16, NONE)
    videos = VideoMatte240K(videomatte_videos, 1, 8, 16, NONE)
    for index in range(5):
        a, b = frames[2, index], videos[2, index]
        assert a["id"] == b["id"]
        assert (a["fgr"].int() - b["fgr"].int()).abs().max() <= 2
        assert (a["pha"].int() - b["pha"].int()).abs().max() <= 1


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_every_video_suffix_of_the_core_is_found(tmp_path, suffix):
    for folder in (tmp_path / "fgr", tmp_path / "videos"):
        folder.mkdir()
        (folder / f"0001{suffix}").touch()
        (folder / f"0002{suffix.upper()}").touch()
    assert len(Backgrounds(videos=tmp_path / "videos").videos) == 2
    assert list(_clip_parts(tmp_path / "fgr")) == ["0001", "0002"]


def test_clips_of_a_camcorder(tmp_path, make_video):
    for part, start in (("fgr", 10), ("pha", 100)):
        make_video(tmp_path / part / "0001.mts", [start + k for k in range(25)])
    data = VideoMatte240K(tmp_path, 1, 8, 16, NONE)
    assert data.check().missing == ()
    assert [clip.length for clip in data.clips] == [25]
    sample = data[0, 0]
    assert sample["faults"] == ()
    assert all(abs(pha - fgr - 90) <= 3 for fgr, pha in zip(means(sample["fgr"]), means(sample["pha"]), strict=True))


def test_a_sample_can_be_had_again(videomatte):
    data = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    data[0, 2]
    again = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    for name in ("fgr", "pha", "bgr"):
        assert torch.equal(data[5, 2][name], again[5, 2][name])
    assert data[5, 2]["id"] == again[5, 2]["id"]
    assert len({data[epoch, 2]["id"] for epoch in range(8)}) > 4
    assert {VideoMatte240K(videomatte, seed, 4, 16, NONE)[5, 2]["id"] for seed in (1, 2, 3)} != {data[5, 2]["id"]}


def test_a_clip_without_pha_is_left_out_and_told(videomatte):
    shutil.rmtree(videomatte / "train" / "pha" / "0002")
    data = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    assert [clip.name for clip in data.clips] == ["0001", "0003"]
    assert any("0002" in line and "pha" in line for line in data.check().missing)


def test_frames_without_pha_are_left_out_and_told(videomatte):
    (videomatte / "train" / "pha" / "0002" / "00003.jpg").unlink()
    data = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    clip = data.clips[1]
    assert clip.length == 11
    assert all(a.stem == b.stem for a, b in zip(clip.fgr, clip.pha, strict=True))
    assert any("00003.jpg" in line for line in data.check().missing)


def test_a_clip_of_two_sizes_is_told_and_replaced(videomatte, make_picture):
    for t in range(12):
        make_picture(videomatte / "train" / "pha" / "0001" / f"{t:05d}.jpg", 20 * t, (20, 20), "L")
    data = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    assert any("0001" in line and "40x30" in line and "20x20" in line for line in data.check().missing)
    sample = data[0, 0]  # of clip 0001
    assert "/0001 " not in sample["id"]
    assert sample["faults"]
    assert "0001" in sample["faults"][0]


def test_one_corrupt_jpeg_costs_its_samples_only(videomatte, break_file):
    break_file(videomatte / "train" / "fgr" / "0001" / "00005.jpg")
    data = VideoMatte240K(videomatte, 1, 4, 16, NONE)
    faults = [data[epoch, index]["faults"] for epoch in range(4) for index in range(len(data))]
    told = [line for group in faults for line in group]
    assert 0 < len(told) < len(faults) / 2
    assert all("00005.jpg" in line for line in told)


def test_a_corrupt_video_is_told(videomatte_videos, break_file):
    break_file(videomatte_videos / "train" / "pha" / "0001.mp4")
    data = VideoMatte240K(videomatte_videos, 1, 8, 16, NONE)
    assert [clip.name for clip in data.clips] == ["0002"]
    assert any("0001" in line for line in data.check().missing)


def test_a_shorter_pha_video_is_told(videomatte_videos, make_video):
    make_video(videomatte_videos / "train" / "pha" / "0001.mp4", [9] * 21)
    data = VideoMatte240K(videomatte_videos, 1, 8, 16, NONE)
    assert data.clips[0].length == 21
    assert any("40 frames" in line and "21" in line for line in data.check().missing)


@pytest.mark.parametrize("made", [(), ("train",), ("train/fgr", "train/pha")])
def test_a_folder_without_data_says_what_is_missing(tmp_path, made):
    for folder in made:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    data = VideoMatte240K(tmp_path, 1, 4, 16, NONE)
    result = data.check()
    assert not result.usable
    assert result.missing
    assert "not usable" in str(result)


def test_a_clip_shorter_than_a_sample_is_played_to_and_fro(videomatte):
    data = VideoMatte240K(videomatte, 1, 40, 16, NONE)
    assert len(data) == 3
    sample = data[0, 0]
    times = [(value - 10) / 5 for value in means(sample["fgr"])]
    assert max(abs(a - b) for a, b in pairwise(times)) <= 5.5


@pytest.fixture
def imagematte(tmp_path, make_picture):
    for k in range(6):
        make_picture(tmp_path / "IM" / "train" / "fgr" / f"a{k}.jpg", 20 * k)
        make_picture(tmp_path / "IM" / "train" / "pha" / f"a{k}.png", 40 * k, mode="L")
    for part, suffix in (("fgr", "jpg"), ("pha", "jpg")):
        make_picture(tmp_path / "IM" / "valid" / part / f"v.{suffix}", 99, mode="L")
    return tmp_path / "IM"


def test_pictures_of_the_published_layout(imagematte):
    data = ImageMatte(imagematte, 1, 5, 16, NONE)
    assert len(data) == 6
    assert data.check().missing == ()
    assert "research" in data.check().licence
    for k in range(6):
        sample = data[k]
        assert sample["fgr"].shape == (5, 3, 16, 16)
        assert means(sample["fgr"]) == pytest.approx([20 * k] * 5, abs=2)
        assert means(sample["pha"]) == [40 * k] * 5
    assert len(ImageMatte(imagematte, 1, 5, 16, NONE, "valid")) == 1


def test_pairs_without_folders_for_splits(imagematte, make_picture):
    flat = imagematte / "train"
    for k in range(6, 40):
        make_picture(flat / "fgr" / f"a{k:02d}.jpg", 9)
        make_picture(flat / "pha" / f"a{k:02d}.png", 9, mode="L")
    train, valid = (ImageMatte(flat, 1, 2, 8, NONE, split) for split in ("train", "valid"))
    assert len(train) + len(valid) == 40
    assert len(valid) == 2
    assert not {a for a, _ in train.pairs} & {a for a, _ in valid.pairs}


def test_pairs_with_faults(imagematte, make_picture, break_file):
    (imagematte / "train" / "pha" / "a1.png").unlink()
    (imagematte / "train" / "fgr" / "a2.jpg").unlink()
    make_picture(imagematte / "train" / "pha" / "a3.png", 9, (17, 17), "L")
    break_file(imagematte / "train" / "fgr" / "a4.jpg")
    data = ImageMatte(imagematte, 1, 2, 16, NONE)
    assert len(data) == 4
    told = "\n".join(data.check().missing)
    for name in ("a1", "a2", "a3", "a4"):
        assert name in told
    for index in range(4):
        sample = data[index]
        assert bool(sample["faults"]) == (index in (1, 2))
        assert sample["id"].split()[0] in ("ImageMatte/a0", "ImageMatte/a5")


def test_no_pairs_at_all(tmp_path):
    assert "fgr" in str(ImageMatte(tmp_path, 1, 2, 16, NONE).check())


@pytest.fixture
def places(tmp_path, make_picture, make_video):
    for k in range(3):
        make_picture(tmp_path / "images" / f"{k}.jpg", 200)
        for t in range(9):
            make_picture(tmp_path / "videos" / f"{k:04d}" / f"{t:04d}.jpg", 10 * t)
    make_video(tmp_path / "videos" / "filmed.mp4", [10 * t for t in range(20)])
    return tmp_path


def test_backgrounds_are_half_pictures_half_clips(places, videomatte):
    backgrounds = Backgrounds(places / "images", places / "videos")
    assert backgrounds.check().samples == 3 + 4
    data = VideoMatte240K(videomatte, 1, 4, 16, backgrounds)
    names = [data[epoch, index]["id"].split(" over ")[1] for epoch in range(20) for index in range(9)]
    still = sum(name.endswith(".jpg") for name in names)
    assert still == pytest.approx(90, abs=24)
    assert set(names) == {"0.jpg", "1.jpg", "2.jpg", "0000", "0001", "0002", "filmed.mp4"}


def test_a_clip_behind_runs_and_a_picture_stands(places, videomatte):
    still = VideoMatte240K(videomatte, 1, 4, 16, Backgrounds(places / "images"))
    bgr = still[0]["bgr"]
    assert bgr.shape == (4, 3, 16, 16)
    assert means(bgr) == pytest.approx([200] * 4, abs=2)
    moving = VideoMatte240K(videomatte, 1, 4, 16, Backgrounds(None, places / "videos"))
    assert any(len({round(v) for v in means(moving[k]["bgr"])}) > 1 for k in range(9))


def test_without_backgrounds_places_are_rendered(videomatte):
    data = VideoMatte240K(videomatte, 1, 4, 32, NONE)
    assert "Rendered" in str(NONE.check())
    samples = [data[k] for k in range(3)]
    assert all(sample["id"].endswith("over rendered") for sample in samples)
    assert not torch.equal(samples[0]["bgr"], samples[1]["bgr"])


def test_backgrounds_in_splits_and_missing_ones(places, make_picture):
    make_picture(places / "split" / "train" / "a.jpg", 1)
    make_picture(places / "split" / "valid" / "b.jpg", 1)
    assert [p.name for p in Backgrounds(places / "split", None, "valid").images] == ["b.jpg"]
    assert [p.name for p in Backgrounds(places / "split", None, "test").images] == ["a.jpg"]
    told = str(Backgrounds(places / "nowhere", places / "split" / "train").check())
    assert "nowhere does not exist" in told
    assert "contains no clips" in told


def test_a_broken_background_is_replaced(places, videomatte, break_file):
    break_file(places / "images" / "1.jpg")
    data = VideoMatte240K(videomatte, 1, 4, 16, Backgrounds(places / "images"))
    samples = [data[epoch, k] for epoch in range(3) for k in range(9)]
    assert any(sample["faults"] for sample in samples)
    assert all("1.jpg" in line for sample in samples for line in sample["faults"])
    for name in ("0.jpg", "2.jpg"):
        break_file(places / "images" / name)
    with pytest.raises(StudioError, match="in a row"):
        data[0]
