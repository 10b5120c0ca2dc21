"""Segmentation data on the disk: COCO panoptic, Supervisely persons, YouTubeVIS 2021."""

# T frames, S side of the square pictures, H, W

import base64
import binascii
import io
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...core import StudioError
from ..recipe import COCO_FOREGROUND, YOUTUBEVIS_PERSON
from .pictures import (
    PICTURES,
    by,
    draw_frames,
    find,
    folders,
    load_picture,
    load_sequence,
    picture_size,
    some,
    squared,
)
from .samples import CheckResult, FileDataset, UnreadableSampleError
from .synthesis.randomness import Dice

COCO_LICENCE = "annotations CC BY 4.0 (COCO consortium); pictures under their owners' Flickr licences"
SUPERVISELY_LICENCE = "Supervisely person data set: for academic use"
YOUTUBEVIS_LICENCE = "YouTube-VIS 2021: annotations CC BY 4.0; videos belong to their owners, for research use"
_PERSON = COCO_FOREGROUND[0]


class CocoPanoptic(FileDataset):
    """The pictures of COCO 2017 that show a person, with panoptic masks; persons, backpacks and ties are foreground.

    train2017/000000000009.jpg, panoptic_train2017/000000000009.png (or in annotations/, where its archive unpacks to),
    annotations/panoptic_train2017.json.
    """

    name = "COCO panoptic"

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        super().__init__(seed)
        self.size = size
        self.images = Path(folder) / "train2017"
        masks = [Path(folder) / "panoptic_train2017", Path(folder) / "annotations" / "panoptic_train2017"]
        self.masks = next((path for path in masks if path.is_dir()), masks[0])
        self.labels = Path(folder) / "annotations" / "panoptic_train2017.json"
        self.missing = [f"{path} is missing. {hint}" for path, hint in (
            (self.images, "Unpack the archive with the pictures there."),
            (self.masks, "Unpack panoptic_train2017.zip, which is in the archive with the annotations."),
            (self.labels, "Unpack the panoptic annotations there."),
        ) if not path.exists()]  # fmt: skip
        self.items: list[tuple[str, str, tuple[int, ...]]] = []  # picture, mask, ids of foreground segments
        if not self.missing:
            self._read_labels()

    def _read_labels(self) -> None:
        labels = _read_json(self.labels)
        present = {path.name for path in find(self.images, PICTURES)}
        drawn = {path.name for path in find(self.masks, PICTURES)}
        lacking = []
        for entry in _list(labels, "annotations", self.labels):
            segments = entry["segments_info"]
            if not any(s["category_id"] == _PERSON for s in segments):
                continue
            mask = entry["file_name"]
            image = Path(mask).stem + ".jpg"
            if image not in present or mask not in drawn:
                lacking.append(image if image not in present else mask)
                continue
            self.items.append((image, mask, tuple(s["id"] for s in segments if s["category_id"] in COCO_FOREGROUND)))
        if lacking:
            self.missing.append(
                f"{len(lacking)} files named in {self.labels.name} are missing ({some(lacking)}). They are not used."
            )
        if not self.items:
            self.missing.append(f"{self.images} contains none of the pictures with a person in {self.labels}.")

    def __len__(self) -> int:
        return len(self.items)

    def check(self) -> CheckResult:
        return CheckResult(self.name, len(self), tuple(self.missing), COCO_LICENCE)

    def load(self, index: int, dice: Dice) -> dict:
        image, mask, segments = self.items[index]
        img = load_picture(self.images / image, self.size)
        seg = _coco_mask(self.masks / mask, segments, picture_size(self.images / image), self.size)
        return {"img": img[None], "seg": seg[None], "id": f"{self.name}/{image}"}


def _coco_mask(path: Path, segments: tuple[int, ...], like: tuple[int, int], size: int) -> Tensor:
    """[1, S, S] uint8. The segment of a pixel is R + 256 G + 65536 B (COCO's panoptic format)."""
    try:
        with Image.open(path) as image:
            if image.size != like:
                raise UnreadableSampleError(f"{path} is {by(image.size)}, its picture {by(like)}.")
            rgb = np.asarray(image.convert("RGB"), np.int32)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableSampleError(f"{path} cannot be read ({error}).") from error
    ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
    return _squared_mask(np.isin(ids, segments), size)


class SuperviselyPersons(FileDataset):
    """Supervisely's persons, in either of the two layouts in which they are distributed.

    A project: meta.json, ds1/img/NAME.png, ds1/ann/NAME.png.json (or NAME.json), ds2/...; or pictures and masks:
    img/NAME.jpg, seg/NAME.png (white is a person).
    """

    name = "Supervisely persons"

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        super().__init__(seed)
        self.size = size
        self.missing: list[str] = []
        self.items: list[tuple[Path, Path]] = []  # picture, annotation or mask
        folder = Path(folder)
        parts = [part for part in (folder, *folders(folder)) if (part / "img").is_dir()]
        if not parts:
            self.missing.append(
                f"There is no folder img in {folder} or one of its folders. "
                "Expected img and seg, or a project with ds1/img and ds1/ann."
            )
        for part in parts:
            self._find_pairs(part)

    def _find_pairs(self, part: Path) -> None:
        masks = {path.stem: path for path in find(part / "seg", PICTURES)}
        labels = {path.name[: -len(".json")]: path for path in find(part / "ann", frozenset((".json",)))}
        lacking = []
        for image in find(part / "img", PICTURES):
            found = masks.get(image.stem) or labels.get(image.name) or labels.get(image.stem)
            if found is None:
                lacking.append(image.name)
            else:
                self.items.append((image, found))
        if lacking:
            self.missing.append(
                f"{len(lacking)} pictures in {part / 'img'} have neither a mask nor an annotation ({some(lacking)}). "
                "They are not used."
            )

    def __len__(self) -> int:
        return len(self.items)

    def check(self) -> CheckResult:
        return CheckResult(self.name, len(self), tuple(self.missing), SUPERVISELY_LICENCE)

    def load(self, index: int, dice: Dice) -> dict:
        image, label = self.items[index]
        like = picture_size(image)
        if label.suffix.lower() == ".json":
            seg = _squared_mask(_supervisely_mask(label, like), self.size)
        else:
            seg = load_picture(label, self.size, gray=True, like=like)
        return {
            "img": load_picture(image, self.size)[None],
            "seg": seg[None],
            "id": f"{self.name}/{image.stem}",
        }


def _supervisely_mask(path: Path, like: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: bitmaps (base64 of a deflated PNG at an origin) and polygons of all persons; no neutral objects."""
    try:
        label = json.loads(path.read_text(encoding="utf-8"))
        size = (label["size"]["width"], label["size"]["height"])
        if size != like:
            raise UnreadableSampleError(f"{path} is for a picture of {by(size)}, but its picture is {by(like)}.")
        mask = np.zeros((size[1], size[0]), bool)
        for thing in label["objects"]:
            if not thing.get("classTitle", "").startswith("person"):
                continue
            if thing.get("bitmap"):
                _stamp(mask, thing["bitmap"])
            else:
                _fill(mask, thing["points"])
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, zlib.error, binascii.Error) as error:
        raise UnreadableSampleError(
            f"{path} cannot be read as an annotation ({type(error).__name__}: {error})."
        ) from error
    return mask


def _stamp(mask: np.ndarray, bitmap: dict) -> None:
    image = Image.open(io.BytesIO(zlib.decompress(base64.b64decode(bitmap["data"]))))
    shape = np.asarray(image.getchannel("A") if "A" in image.getbands() else image.convert("L")) > 0
    x, y = bitmap["origin"]
    part = mask[y : y + shape.shape[0], x : x + shape.shape[1]]
    part |= shape[: part.shape[0], : part.shape[1]]


def _fill(mask: np.ndarray, points: dict) -> None:
    image = Image.new("1", mask.shape[::-1])
    draw = ImageDraw.Draw(image)
    draw.polygon([tuple(point) for point in points["exterior"]], fill=1)
    for hole in points["interior"]:
        draw.polygon([tuple(point) for point in hole], fill=0)
    mask |= np.asarray(image)


class YouTubeVis(FileDataset):
    """The clips of YouTubeVIS 2021 that show persons: train/JPEGImages/CLIP/00000.jpg and train/instances.json.

    `folder` contains train, or JPEGImages itself. A sample is T frames; an epoch uses every frame once.
    """

    name = "YouTubeVIS 2021"

    def __init__(self, folder: Path, seed: int, frames: int, size: int) -> None:
        super().__init__(seed)
        self.frames, self.size = frames, size
        root = Path(folder) / "train" if (Path(folder) / "train").is_dir() else Path(folder)
        self.images, self.labels = root / "JPEGImages", root / "instances.json"
        self.missing = [
            f"{path} is missing. Unpack the data set's train.zip."
            for path in (self.images, self.labels)
            if not path.exists()
        ]
        self.clips: list[
            tuple[list[str], list[list[dict]]]
        ] = []  # for each clip: its files, and for each frame the masks of the persons
        if not self.missing:
            self._read_labels()
        self._items = [
            (k, start)
            for k, (files, _) in enumerate(self.clips)
            for start in range(0, max(1, len(files) - frames + 1), frames)
        ]

    def _read_labels(self) -> None:
        labels = _read_json(self.labels)
        person = next((c["id"] for c in labels.get("categories", []) if c.get("name") == "person"), YOUTUBEVIS_PERSON)
        masks: dict[int, list[list[dict]]] = {}
        lengths = {video["id"]: len(video["file_names"]) for video in _list(labels, "videos", self.labels)}
        for entry in _list(labels, "annotations", self.labels):
            if entry["category_id"] != person:
                continue
            own = masks.setdefault(entry["video_id"], [[] for _ in range(lengths[entry["video_id"]])])
            for frame, mask in zip(own, entry["segmentations"], strict=True):
                if mask:
                    frame.append(mask)
        lacking = []
        for video in labels["videos"]:
            if video["id"] not in masks:
                continue
            if (self.images / video["file_names"][0]).is_file():
                self.clips.append((video["file_names"], masks[video["id"]]))
            else:
                lacking.append(str(Path(video["file_names"][0]).parent))
        if lacking:
            self.missing.append(
                f"{len(lacking)} clips named in {self.labels.name} are missing ({some(lacking)}). They are not used."
            )
        if not self.clips:
            self.missing.append(f"{self.images} contains none of the clips with a person in {self.labels}.")

    def __len__(self) -> int:
        return len(self._items)

    def check(self) -> CheckResult:
        return CheckResult(f"{self.name} ({len(self.clips)} clips)", len(self), tuple(self.missing), YOUTUBEVIS_LICENCE)

    def load(self, index: int, dice: Dice) -> dict:
        number, start = self._items[index]
        files, masks = self.clips[number]
        places, words = draw_frames(dice, start, len(files), self.frames)
        img = load_sequence([self.images / files[k] for k in places], self.size)
        seg = []
        for k in places:
            width, height = picture_size(self.images / files[k])
            mask = np.zeros((height, width), bool)
            for code in masks[k]:
                mask |= decode_runs(code, (height, width), str(self.images / files[k]))
            seg.append(_squared_mask(mask, self.size))
        return {"img": img, "seg": torch.stack(seg), "id": f"{self.name}/{Path(files[0]).parent} {words}"}


def decode_runs(code: dict, shape: tuple[int, int], name: str) -> np.ndarray:
    """[H, W] bool from COCO's run lengths: {"size": [H, W], "counts": background, foreground, ... down the columns}.

    Counts given as a string are compressed: each character minus 48 holds 5 bits of a number, lowest bits first, and
    from the third number on, each is the difference from the number two before it. Raises UnreadableSampleError.
    """
    counts = code["counts"]
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if tuple(code["size"]) != shape or sum(counts) != shape[0] * shape[1]:
        raise UnreadableSampleError(
            f"{name} is {shape[1]}x{shape[0]}, but its mask {code['size'][1]}x{code['size'][0]}, {sum(counts)} pixels."
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(shape[::-1]).T


def _uncompressed(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _squared_mask(mask: np.ndarray, size: int) -> Tensor:
    """[H, W] bool -> [1, S, S] uint8, antialiased like the picture."""
    return squared(mask.astype(np.uint8) * 255, size)


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(f"{path} cannot be read as JSON ({error}). Unpack its archive again.") from error


def _list(labels: dict, key: str, path: Path) -> list[dict]:
    if not isinstance(labels, dict) or not isinstance(labels.get(key), list):
        raise StudioError(f"{path} has no list {key!r}. Expected the data set's annotation file. Check the path.")
    return labels[key]
