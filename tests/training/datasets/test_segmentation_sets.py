"""COCO panoptic, Supervisely and YouTubeVIS on tiny trees of their layouts, whole and with faults."""

# T frames, H, W

import base64
import io
import json
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rvm_studio.core.errors import StudioError
from rvm_studio.training.datasets.samples import UnreadableSampleError
from rvm_studio.training.datasets.segmentation_sets import (
    CocoPanoptic,
    SuperviselyPersons,
    YouTubeVis,
    decode_runs,
)

PERSON, SKY, TIE, BACKPACK = 1, 187, 32, 27


def area(sample) -> list[float]:
    """The share of each frame that is foreground."""
    return (sample["seg"].float() / 255).mean((1, 2, 3)).tolist()


@pytest.fixture
def coco(tmp_path, make_picture):
    """Five pictures of 40x20: segments of a quarter each, ids beyond 255 and 65535."""
    categories = [
        (PERSON, SKY, SKY, SKY),
        (PERSON, TIE, SKY, SKY),
        (SKY, SKY, SKY, SKY),  # nobody
        (PERSON, BACKPACK, TIE, SKY),
        (PERSON, PERSON, SKY, BACKPACK),
    ]
    ids = (7, 300, 70000, 16000000)
    entries = []
    for k, kinds in enumerate(categories):
        make_picture(tmp_path / "train2017" / f"{k:012d}.jpg", 30 * k, (40, 20))
        mask = np.zeros((20, 40, 3), np.uint8)
        for quarter, number in enumerate(ids):
            mask[:, quarter * 10 : quarter * 10 + 10] = (number % 256, number // 256 % 256, number // 65536)
        (tmp_path / "panoptic_train2017").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "panoptic_train2017" / f"{k:012d}.png")
        segments = [{"id": n, "category_id": kind} for n, kind in zip(ids, kinds, strict=True)]
        entries.append({"file_name": f"{k:012d}.png", "image_id": k, "segments_info": segments})
    (tmp_path / "annotations").mkdir()
    labels = {"annotations": entries, "images": [], "categories": []}
    (tmp_path / "annotations" / "panoptic_train2017.json").write_text(json.dumps(labels))
    return tmp_path


def test_coco_masks_persons_backpacks_and_ties(coco):
    data = CocoPanoptic(coco, 1, 40)
    assert len(data) == 4  # not the one without a person
    assert data.check().missing == ()
    assert "CC BY" in data.check().licence
    shares = [area(data[k])[0] for k in range(4)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 0.75], abs=0.01)
    sample = data[1]
    assert sample["img"].shape == (1, 3, 40, 40)
    assert sample["seg"].shape == (1, 1, 40, 40)
    assert (sample["seg"][..., :18] == 255).all()
    assert (sample["seg"][..., 22:] == 0).all()
    assert sample["id"] == "COCO panoptic/000000000001.jpg"


def test_coco_masks_inside_the_annotations(coco):
    (coco / "panoptic_train2017").rename(coco / "annotations" / "panoptic_train2017")
    assert len(CocoPanoptic(coco, 1, 40)) == 4


@pytest.mark.parametrize("part", ["train2017", "panoptic_train2017", "annotations/panoptic_train2017.json"])
def test_coco_says_which_part_is_missing(coco, part):
    (coco / part).rename(coco / "elsewhere")
    result = CocoPanoptic(coco, 1, 40).check()
    assert not result.usable
    assert part.split("/")[-1] in str(result)


def test_coco_with_faults(coco, break_file, make_picture):
    (coco / "train2017" / "000000000000.jpg").unlink()
    make_picture(coco / "train2017" / "000000000001.jpg", 9, (41, 20))
    break_file(coco / "train2017" / "000000000003.jpg")
    data = CocoPanoptic(coco, 1, 40)
    assert len(data) == 3
    assert "000000000000.jpg" in str(data.check())
    told = [data[k]["faults"] for k in range(3)]
    assert "41x20" in told[0][0]
    assert "000000000003.jpg" in told[1][0]
    assert told[2] == ()
    assert {data[k]["id"] for k in range(3)} == {"COCO panoptic/000000000004.jpg"}


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_a_wrong_annotation_file_is_an_error(coco, text):
    (coco / "annotations" / "panoptic_train2017.json").write_text(text)
    with pytest.raises(StudioError, match=r"panoptic_train2017\.json"):
        CocoPanoptic(coco, 1, 40)


def packed(mask: np.ndarray, mode: str) -> str:
    """A bitmap as Supervisely packs it."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if mode == "RGBA":
        image = Image.merge("RGBA", (image, image, image, image))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "PNG")
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


@pytest.fixture
def supervisely(tmp_path, make_picture):
    """A project of two data sets; pictures of 40x20."""
    square = np.ones((10, 10), bool)
    square[:, 5:] = False
    objects = {
        "a.png": [
            {"classTitle": "person_bmp", "bitmap": {"data": packed(square, "1"), "origin": [20, 4]}, "points": {}}
        ],
        "b.png": [{"classTitle": "person_bmp", "bitmap": {"data": packed(square, "RGBA"), "origin": [0, 0]}}],
        "c.png": [
            {
                "classTitle": "person_poly",
                "bitmap": None,
                "points": {
                    "exterior": [[0, 0], [19, 0], [19, 19], [0, 19]],
                    "interior": [[[5, 5], [14, 5], [14, 14], [5, 14]]],
                },
            },
            {"classTitle": "neutral", "points": {"exterior": [[20, 0], [39, 0], [39, 19]], "interior": []}},
        ],
    }
    for number, (name, things) in enumerate(objects.items()):
        part = tmp_path / "persons" / ("ds1" if number < 2 else "ds2")
        make_picture(part / "img" / name, 50, (40, 20))
        (part / "ann").mkdir(exist_ok=True)
        label = {"size": {"width": 40, "height": 20}, "objects": things, "tags": []}
        stem = name if number else name.removesuffix(".png")  # both ways of naming are about
        (part / "ann" / f"{stem}.json").write_text(json.dumps(label))
    (tmp_path / "persons" / "meta.json").write_text("{}")
    return tmp_path / "persons"


def test_supervisely_projects(supervisely):
    data = SuperviselyPersons(supervisely, 1, 40)
    assert len(data) == 3
    assert data.check().missing == ()
    assert "academic" in data.check().licence
    shares = [area(data[k])[0] for k in range(3)]
    assert shares == pytest.approx([50 / 800, 50 / 800, (400 - 100) / 800], abs=0.012)
    seg = data[0]["seg"][0, 0]  # rows 4..13, columns 20..24 of 20 x 40, stretched to 40 x 40
    assert (seg[9:27, 20:25] == 255).all()
    assert (seg[:, 27:] == 0).all()


def test_supervisely_pictures_with_masks(tmp_path, make_picture):
    for k in range(3):
        make_picture(tmp_path / "img" / f"{k}.jpg", 9, (40, 20))
        make_picture(tmp_path / "seg" / f"{k}.png", 255, (40, 20), "L")
    make_picture(tmp_path / "img" / "lonely.jpg", 9)
    data = SuperviselyPersons(tmp_path, 1, 16)
    assert len(data) == 3
    assert area(data[0]) == [1.0]
    assert "lonely.jpg" in str(data.check())


@pytest.mark.parametrize("fault", ["json", "base64", "size", "jpeg", "field"])
def test_supervisely_with_faults(supervisely, break_file, fault):
    label = supervisely / "ds1" / "ann" / "b.png.json"
    content = json.loads(label.read_text())
    if fault == "json":
        label.write_text("{")
    elif fault == "jpeg":
        break_file(supervisely / "ds1" / "img" / "b.png")
    else:
        if fault == "base64":
            content["objects"][0]["bitmap"]["data"] = "AAAA"
        elif fault == "size":
            content["size"]["width"] = 41
        else:
            del content["objects"][0]["bitmap"]["origin"]
        label.write_text(json.dumps(content))
    data = SuperviselyPersons(supervisely, 1, 16)
    sample = data[1]
    assert len(sample["faults"]) >= 1
    assert "b.png" in sample["faults"][0]
    assert sample["id"] != "Supervisely persons/b"


def test_supervisely_without_anything(tmp_path):
    assert "img" in str(SuperviselyPersons(tmp_path, 1, 16).check())


def runs(mask: np.ndarray) -> dict:
    """COCO's run lengths, by counting one after the other."""
    flat = mask.T.ravel().tolist()
    counts, value = [0], False
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_runs_are_read_down_the_columns(height, width, random):
    mask = np.array([[random.random() < 0.5 for _ in range(width)] for _ in range(height)])
    assert (decode_runs(runs(mask), (height, width), "x") == mask).all()


def compressed(counts: list[int]) -> str:
    """The encoder of COCO's format: differences in groups of five bits, lowest first."""
    signs = []
    for k, count in enumerate(counts):
        value = count - counts[k - 2] if k > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = not (value == 0 and not bits & 16) and not (value == -1 and bits & 16)
            signs.append(chr(bits + (32 if more else 0) + 48))
    return "".join(signs)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30))
def test_compressed_runs(counts):
    total = sum(counts)
    code = {"size": [1, total], "counts": compressed(counts)}
    if total:
        plain = {"size": [1, total], "counts": counts}
        assert (decode_runs(code, (1, total), "x") == decode_runs(plain, (1, total), "x")).all()


def test_runs_of_another_size_are_told():
    with pytest.raises(UnreadableSampleError, match="clip"):
        decode_runs({"size": [4, 5], "counts": [20]}, (5, 4), "clip")
    with pytest.raises(UnreadableSampleError, match="clip"):
        decode_runs({"size": [4, 5], "counts": [19]}, (4, 5), "clip")


@pytest.fixture
def youtubevis(tmp_path, make_picture):
    """Clip "both": two persons of a quarter each, one only in even frames, and a dog; "dog": no person; "gone"."""
    root = tmp_path / "yt" / "train"
    videos, annotations = [], []
    quarters = []
    for k in range(4):
        mask = np.zeros((20, 40), bool)
        mask[:, 10 * k : 10 * k + 10] = True
        quarters.append(runs(mask))
    for number, name in enumerate(("both", "dog", "gone")):
        files = [f"{name}/{5 * t:05d}.jpg" for t in range(8)]
        videos.append({"id": number + 1, "file_names": files, "width": 40, "height": 20, "length": 8})
        if name != "gone":
            for t, file in enumerate(files):
                make_picture(root / "JPEGImages" / file, 20 * t, (40, 20))

    def tracked(video: int, category: int, masks: list) -> None:
        entry = {"id": len(annotations), "video_id": video, "category_id": category, "segmentations": masks}
        annotations.append(entry)

    tracked(1, 26, [quarters[0]] * 8)
    tracked(1, 26, [quarters[1] if t % 2 == 0 else None for t in range(8)])
    tracked(1, 10, [quarters[3]] * 8)
    tracked(2, 10, [quarters[3]] * 8)
    tracked(3, 26, [quarters[3]] * 8)
    categories = [{"id": 10, "name": "dog"}, {"id": 26, "name": "person"}]
    labels = {"videos": videos, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(labels))
    return tmp_path / "yt"


def test_youtubevis_clips_of_persons(youtubevis):
    data = YouTubeVis(youtubevis, 1, 4, 40)
    assert len(data) == 2  # 8 frames by 4
    result = data.check()
    assert "gone" in result.missing[0]
    assert "research" in result.licence
    for address in [(epoch, k) for epoch in range(5) for k in range(2)]:
        sample = data[address]
        assert sample["img"].shape == (4, 3, 40, 40)
        assert sample["seg"].shape == (4, 1, 40, 40)
        times = (sample["img"].float().mean((1, 2, 3)) / 20).round().int().tolist()
        expected = [0.5 if t % 2 == 0 else 0.25 for t in times]
        assert area(sample) == pytest.approx(expected, abs=0.01)
        assert sample["id"].startswith("YouTubeVIS 2021/both @")


def test_youtubevis_numbers_persons_by_name(youtubevis):
    """The 2019 edition has them as 1."""
    path = youtubevis / "train" / "instances.json"
    labels = json.loads(path.read_text().replace('"category_id": 26', '"category_id": 1'))
    labels["categories"] = [{"id": 10, "name": "dog"}, {"id": 1, "name": "person"}]
    path.write_text(json.dumps(labels))
    assert len(YouTubeVis(youtubevis, 1, 4, 40)) == 2


def test_youtubevis_direct_folder_and_missing_parts(youtubevis):
    assert len(YouTubeVis(youtubevis / "train", 1, 4, 16)) == 2
    (youtubevis / "train" / "instances.json").unlink()
    result = YouTubeVis(youtubevis, 1, 4, 16).check()
    assert not result.usable
    assert "instances.json" in str(result)


def test_youtubevis_with_a_corrupt_jpeg_and_a_wrong_mask(youtubevis, break_file):
    break_file(youtubevis / "train" / "JPEGImages" / "both" / "00020.jpg")
    data = YouTubeVis(youtubevis, 1, 4, 16)
    samples = []
    for epoch in range(6):
        for index in range(2):
            try:
                samples.append(data[epoch, index])
            except StudioError:  # only two samples, so it may find none in its place
                continue
    assert samples
    told = [line for sample in samples for line in sample["faults"]]
    assert told
    assert all("00020.jpg" in line for line in told)


def test_samples_of_one_address_are_equal(coco, youtubevis):
    for make in (lambda: CocoPanoptic(coco, 1, 16), lambda: YouTubeVis(youtubevis, 1, 4, 16)):
        a, b = make()[3, 1], make()[3, 1]
        assert torch.equal(a["img"], b["img"])
        assert torch.equal(a["seg"], b["seg"])
