"""Which pictures a path means: one picture, a folder, a glob or a numbered pattern; their order and their numbers."""

import glob
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import StudioError

# what libav decodes to integer RGB or YUV, one picture a file; .gif and .apng may move and are read as videos
_COMMON_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_RARE_SUFFIXES = (".dpx", ".tga", ".ppm", ".pgm", ".pnm", ".pbm", ".jp2", ".jxl", ".avif")
PICTURE_SUFFIXES = frozenset((*_COMMON_SUFFIXES, *_RARE_SUFFIXES))
# what a folder's other entries must end in to be taken for clips
VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .mkv .webm .avi .mts .m2ts .ts .mpg .mpeg .wmv .flv .3gp .mxf .ogv".split())  # noqa: SIM905
_PATTERN = re.compile(r"%(0?)(\d*)d")


@dataclass(frozen=True)
class Picture:
    path: Path
    number: int  # from the file's name where the names are numbered, else its place in the order


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def find_pictures(path: Path) -> list[Picture] | None:
    """Pictures of a folder, glob ("shots/*.png") or pattern ("shot_%05d.png"), in natural order; None for other paths.

    A name that exists is taken as it stands, whatever signs are in it. Raises StudioError if nothing is found.
    """
    if path.is_dir():
        found = [entry for entry in path.iterdir() if _is_visible_picture(entry)]
        if not found:
            raise StudioError(
                f"The folder {path} holds no pictures ({len(list(path.iterdir()))} other entries). Expected files such "
                "as .png, .jpg or .tif: give a folder of pictures or a video file."
            )
        return _numbered(found)
    if path.exists():
        return None
    if _PATTERN.search(path.name):
        return _match_pattern(path)
    if any(sign in str(path) for sign in "*?["):
        matches = [Path(name) for name in glob.glob(str(path))]
        found = [entry for entry in matches if _is_visible_picture(entry)]
        if not found:
            raise StudioError(
                f"No picture matches {path} ({len(matches)} other files do). Expected files such as .png, .jpg or "
                ".tif: check the folder and the ending."
            )
        return _numbered(found)
    return None


def _is_visible_picture(path: Path) -> bool:
    return is_picture(path) and not path.name.startswith(".") and path.is_file()


def _match_pattern(path: Path) -> list[Picture]:
    """printf's rule: %05d has at least five digits filled up with zeros, %d has no leading zeros."""
    match = _PATTERN.search(path.name)
    assert match is not None
    width = int(match[2] or 1)
    digits = rf"(\d{{{width}}}|[1-9]\d{{{width},}})"
    name_rule = re.compile(re.escape(path.name[: match.start()]) + digits + re.escape(path.name[match.end() :]))
    if not path.parent.is_dir():
        raise StudioError(f"The folder {path.parent} of the pattern {path.name} does not exist. Check the path.")
    found = []
    for entry in path.parent.iterdir():
        hit = name_rule.fullmatch(entry.name)
        if hit:
            found.append(Picture(entry, int(hit[1])))
    if not found:
        raise StudioError(
            f"No file in {path.parent} matches the pattern {path.name}. Expected names such as "
            f"{path.name[: match.start()]}{1:0{width}d}{path.name[match.end() :]}: check the name and the digits."
        )
    return sorted(found, key=lambda picture: picture.number)


def _natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Splits digits off, so that shot_2 comes before shot_10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part)) if part.isdigit() else (0, part) for part in parts]


def _numbered(paths: list[Path]) -> list[Picture]:
    """In natural order. The last number in the names counts if it alone tells the files apart, and rises."""
    paths = sorted(paths, key=lambda path: (_natural_key(path), path.name))
    numbers = [re.findall(r"\d+", path.stem) for path in paths]
    if all(numbers):
        last = [int(digits[-1]) for digits in numbers]
        if all(a < b for a, b in itertools.pairwise(last)):
            return [Picture(path, number) for path, number in zip(paths, last, strict=True)]
    return [Picture(path, index) for index, path in enumerate(paths)]
