"""The data that a run trains on: folders named in a TOML file or by options, and the data sets made from them."""

import argparse
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from ..core import StudioError
from .datasets.matting_sets import Backgrounds, ImageMatte, VideoMatte240K
from .datasets.samples import CheckResult, Joined
from .datasets.segmentation_sets import CocoPanoptic, SuperviselyPersons, YouTubeVis
from .datasets.synthetic import SyntheticMatting, SyntheticSegmentation

_HELP = {
    "videomatte": "VideoMatte240K, frames or videos (stages 1 to 3)",
    "videomatte_hd": "VideoMatte240K in HD, for the high-resolution passes (default: that of --videomatte)",
    "imagematte": "pictures with alpha, in folders fgr and pha (stage 4)",
    "background_images": "pictures without persons",
    "background_videos": "clips without persons, each a folder of frames or a video file",
    "coco": "COCO 2017 with panoptic masks",
    "supervisely": "Supervisely persons",
    "youtubevis": "YouTubeVIS 2021",
}


@dataclass(frozen=True)
class DataConfig:
    """The folders of the data sets. Without any matting data, a run uses synthetic persons."""

    videomatte: Path | None = None
    videomatte_hd: Path | None = None
    imagematte: Path | None = None
    background_images: Path | None = None
    background_videos: Path | None = None
    coco: Path | None = None
    supervisely: Path | None = None
    youtubevis: Path | None = None

    @property
    def synthetic(self) -> bool:
        return not (self.videomatte or self.videomatte_hd or self.imagematte)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data", "without matting data, the run uses synthetic persons")
    group.add_argument(
        "--data", type=Path, metavar="FILE", help="a TOML file with lines name = 'folder', named like these options"
    )
    for name, text in _HELP.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FOLDER", help=text)


def config_from_options(options: argparse.Namespace) -> DataConfig:
    """The data named in the file and by the options, which take precedence."""
    named = _read_toml(options.data) if options.data else {}
    named |= {field.name: given for field in fields(DataConfig) if (given := getattr(options, field.name))}
    return DataConfig(**named)


def _read_toml(path: Path) -> dict[str, Path]:
    """Reads the folders from a TOML file. Relative folders are relative to the file's folder."""
    if sys.version_info < (3, 11):
        raise StudioError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} cannot read {path}. "
            "Use Python 3.11 or later, or name the folders with options."
        )
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(
            f"{path} cannot be read as TOML ({error}). Expected lines such as videomatte = 'D:/data/VideoMatte240K'."
        ) from error
    known = {field.name for field in fields(DataConfig)}
    for name, value in content.items():
        if name not in known:
            raise StudioError(
                f"{path} contains {name!r}, which is not a data set. Expected one of: {', '.join(sorted(known))}."
            )
        if not isinstance(value, str):
            raise StudioError(f"{path}: {name} is {value!r}. Expected a folder in quotes.")
    return {name: path.parent / Path(value).expanduser() for name, value in content.items()}


def check_data(config: DataConfig) -> list[CheckResult]:
    """Checks every folder that is named. The results can be printed for the user."""
    backgrounds = _backgrounds(config, "train")
    results = []
    for folder in dict.fromkeys((config.videomatte, config.videomatte_hd)):
        if folder:
            results += [
                VideoMatte240K(folder, 0, 15, 64, backgrounds, split).check() for split in ("train", "valid", "test")
            ]
    if config.imagematte:
        results += [ImageMatte(config.imagematte, 0, 1, 64, backgrounds, split).check() for split in ("train", "valid")]
    if config.background_images or config.background_videos:
        results.append(backgrounds.check())
    if config.coco:
        results.append(CocoPanoptic(config.coco, 0, 64).check())
    if config.supervisely:
        results.append(SuperviselyPersons(config.supervisely, 0, 64).check())
    if config.youtubevis:
        results.append(YouTubeVis(config.youtubevis, 0, 15, 64).check())
    return results or [SyntheticMatting(0, 1, 64).check()]


def matting_data(
    config: DataConfig, kind: str, frames: int, size: int, seed: int, split: str = "train", high: bool = False
):
    """The matting data set of a stage's pass. kind: Stage.data, "video" or "image"; high: for the high-resolution pass.

    Raises StudioError if matting data is named, but none of this kind, or if it is unusable.
    """
    if config.synthetic:
        return SyntheticMatting(seed, frames, size, split=split, still=kind == "image")
    backgrounds = _backgrounds(config, split)
    if kind == "image":
        if config.imagematte is None:
            raise StudioError(
                "This stage trains on pictures with alpha, but no folder with such pictures is named. "
                "Give --imagematte, or leave the stage out."
            )
        return _usable(ImageMatte(config.imagematte, seed, frames, size, backgrounds, split))
    folder = (config.videomatte_hd or config.videomatte) if high else (config.videomatte or config.videomatte_hd)
    if folder is None:
        raise StudioError(
            "This stage trains on videos with alpha, but no folder with such videos is named. "
            "Give --videomatte, or leave the stage out."
        )
    return _usable(VideoMatte240K(folder, seed, frames, size, backgrounds, split))


def segmentation_data(config: DataConfig, kind: str, frames: int, size: int, seed: int):
    """The segmentation data set of kind "video" or "image" (with frames = 1), or None if none is named."""
    if config.synthetic and not (config.coco or config.supervisely or config.youtubevis):
        return SyntheticSegmentation(seed, frames if kind == "video" else 1, size)
    if kind == "video":
        return _usable(YouTubeVis(config.youtubevis, seed, frames, size)) if config.youtubevis else None
    parts = []
    if config.coco:
        parts.append(_usable(CocoPanoptic(config.coco, seed, size)))
    if config.supervisely:
        parts.append(_usable(SuperviselyPersons(config.supervisely, seed, size)))
    return Joined(parts) if parts else None


def licences(config: DataConfig) -> dict[str, str]:
    """Name -> licence of every data set that is used, to be recorded with the run."""
    return {result.name.split(" (")[0]: result.licence for result in check_data(config)}


def _backgrounds(config: DataConfig, split: str) -> Backgrounds:
    return Backgrounds(config.background_images, config.background_videos, split)


def _usable(data):
    result = data.check() if not len(data) else None
    if result is not None:
        raise StudioError(str(result))
    return data
