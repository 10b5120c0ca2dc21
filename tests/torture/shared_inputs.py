"""Files that were handed on as failing, in ../shared/cases beside the checkout; none where that folder is missing."""

import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from . import measure
from .inputs import Input
from .still_inputs import by_pillow

_ROOT = Path(__file__).resolve().parent.parent.parent
_REFERENCE = Path(os.environ.get("RVM_REFERENCE") or _ROOT.parent / "shared" / "reference")
CASES = _REFERENCE.parent / "cases"
_SOUND = ((2, 48000),)


def _default_track(path: Path) -> list[np.ndarray]:
    return list(measure.frames(path, (320, 180), stream="1"))


def _animation(path: Path) -> list[np.ndarray]:
    image, found = Image.open(path), []
    for k in range(image.n_frames):  # type: ignore
        image.seek(k)
        found.append(np.asarray(image.convert("RGBA"))[..., :3])
    return found


def inputs() -> list[Input]:
    clip = {"size": (320, 180), "frames": 36, "rate": Fraction(24), "tracks": _SOUND}
    rows = [
        ("icc_srgb.png", "stills", "PNG with a profile, of which libav died", {"out": "cut.png", "frames": 1, "reference": by_pillow, "difference": 0.6}),
        ("grid.heic", "stills", "HEIC of four tiles", {"out": "cut.png", "frames": 1, "size": (640, 360), "reference": _heif}),
        ("anim.webp", "animations and sequences", "animated WebP as it is written here", {"reference": _animation, "difference": 3, "rate": Fraction(1000, 42)}),
        ("ts10h.ts", "times", "a transport stream of ten hours' time, with sound", {**clip, "probed": "begin"}),
        ("cat2.ts", "times", "two transport streams joined, with sound", {**clip, "frames": 72, "probed": "begin"}),
        ("obs24000.mkv", "times", "a recording of 24000/1001 frames a second in milliseconds", {**clip, "rate": Fraction(24000, 1001), "probed": "begin"}),
        ("timecode.mov", "interlaced, timecode and other streams", "timecode in ProRes", {"size": (96, 54), "frames": 8, "rate": Fraction(24), "timecode": "01:00:00:00"}),
        ("h264b.avi", "containers and codecs", "H.264 with B-frames and MP3 in AVI", clip),
        ("sound_longer_than_picture.mkv", "sound", "sound longer than the picture", {**clip, "rate": Fraction(60), "probed": "begin"}),
        ("two_video.mp4", "interlaced, timecode and other streams", "a preview as the first track", {**clip, "reference": _default_track}),
        ("sar.mkv", "shape and orientation", "pixels of 4:3, with sound", {**clip, "size": (240, 180), "sar": Fraction(4, 3), "out": "cut.mkv", "probed": "begin"}),
        ("unknown_codec.mp4", "damaged and wrong", "a codec without a decoder", {"size": None, "frames": 0, "code": 1, "says": ("codec",)}),
    ]  # fmt: skip
    return [_case(*row) for row in rows if (CASES / row[0]).is_file()]


def _heif(path: Path) -> list[np.ndarray]:
    import pillow_heif

    return [np.asarray(pillow_heif.open_heif(path).to_pillow().convert("RGB"))]


def _case(name: str, group: str, about: str, expect: dict) -> Input:
    path = CASES / name

    def make(folder: Path) -> Path:
        return Path(shutil.copyfile(path, folder / name))

    expect = dict(expect)
    if "size" not in expect:
        image = Image.open(path)
        expect["size"] = image.size
        expect.setdefault("frames", getattr(image, "n_frames", 1))
    return Input(f"case: {name}", group, about, make, **expect)
