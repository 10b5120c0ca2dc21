"""Finds the pictures that a path denotes (a file, folder, glob or numbered pattern), with their order and numbers."""

import glob
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import StudioError

# .gif and .apng are clips as a rule, and never the pictures of a sequence
_COMMON_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_PHONE_SUFFIXES = (".heic", ".heif", ".hif", ".avif")
_RARE_SUFFIXES = (".jfif", ".jpe", ".exr", ".dpx", ".tga", ".ppm", ".pgm", ".pnm", ".pbm", ".jp2", ".jxl")
PICTURE_SUFFIXES = frozenset((*_COMMON_SUFFIXES, *_PHONE_SUFFIXES, *_RARE_SUFFIXES))
# suffixes of files in a folder that count as clips
VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .mkv .webm .avi .mts .m2ts .ts .mpg .mpeg .wmv .flv .3gp .mxf .ogv".split())  # noqa: SIM905
_PATTERN = re.compile(r"%(0?)(\d*)d")


@dataclass(frozen=True)
class Picture:
    path: Path
    number: int  # from the file name where the names are numbered, else its index


def is_picture(path: Path) -> bool:
    """Whether the suffix is that of a still picture, in any case; the file need not exist.

    Args:
        path: A file name.

    Returns:
        True for .png, .jpg, .tif and so on; False for videos, .gif and .apng.

    Example:
        >>> from rvm_studio import core
        >>> from pathlib import Path
        >>> core.is_picture(Path("portrait.JPG")), core.is_picture(Path("clip.mp4"))
        (True, False)
    """
    return path.suffix.lower() in PICTURE_SUFFIXES


def find_pictures(path: Path) -> list[Picture] | None:
    """Pictures of a folder, glob ("shots/*.png") or pattern ("shot_%05d.png"), in natural order; None for other paths.

    The name of an existing file is never interpreted as a glob or pattern. Raises StudioError if nothing is found.
    """
    if path.is_dir():
        found = [entry for entry in path.iterdir() if _is_visible_picture(entry)]
        if not found:
            raise StudioError(
                f"The folder {path} contains no pictures ({len(list(path.iterdir()))} other entries). Expected files "
                "such as .png, .jpg or .tif: give a folder of pictures or a video file."
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
                ".tif: check the folder and the suffix."
            )
        return _numbered(found)
    return None


def gap_note(pictures: list[Picture]) -> str | None:
    """What to say about missing numbers of a sequence that otherwise counts by one; None if there are none."""
    steps = [b.number - a.number for a, b in itertools.pairwise(pictures)]
    if not steps or steps.count(1) <= len(steps) / 2:
        return None  # other steps, or unrelated numbers
    missing = sum(steps) - len(steps)
    if not missing:
        return None
    before = pictures[next(place for place, step in enumerate(steps) if step != 1)]
    numbers = "1 number is" if missing == 1 else f"{missing} numbers are"
    return f"{numbers} missing in the sequence, from {before.path.name} on: its pictures follow without a pause"


def _is_visible_picture(path: Path) -> bool:
    return is_picture(path) and not path.name.startswith(".") and path.is_file()


def _match_pattern(path: Path) -> list[Picture]:
    """printf's rule: %05d is padded with zeros to at least five digits, %d has no leading zeros."""
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
    """A sort key with the digits as numbers, so that shot_2 comes before shot_10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part)) if part.isdigit() else (0, part) for part in parts]


def _numbered(paths: list[Path]) -> list[Picture]:
    """The pictures in natural order, numbered by the last number in their names if that is strictly increasing."""
    paths = sorted(paths, key=lambda path: (_natural_key(path), path.name))
    numbers = [re.findall(r"\d+", path.stem) for path in paths]
    if all(numbers):
        last = [int(digits[-1]) for digits in numbers]
        if all(a < b for a, b in itertools.pairwise(last)):
            return [Picture(path, number) for path, number in zip(paths, last, strict=True)]
    return [Picture(path, index) for index, path in enumerate(paths)]
