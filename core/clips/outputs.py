"""The output files of a clip: their names, and what each of them shows."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import StudioError
from ..machine.given_path import given_path
from ..video.output_formats import format_for
from ..video.picture_sequence import is_picture

if TYPE_CHECKING:
    from .options import Output

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

AnyPath = str | os.PathLike[str]


class OutputPaths(NamedTuple):
    """The files of one clip. output: the cut-outs or composites. preview: the contact sheet."""

    output: tuple[Path, ...]
    alpha: Path | None
    foreground: Path | None
    preview: Path | None

    def files(self) -> Iterator[Path]:
        """All but the contact sheet."""
        yield from self.output
        yield from (path for path in (self.alpha, self.foreground) if path)


def place_outputs(
    source: AnyPath,
    output: AnyPath | Sequence[AnyPath] | None,
    alpha: AnyPath | None = None,
    foreground: AnyPath | None = None,
    preview: AnyPath | None = None,
    *,
    format: str | None = None,
    several: bool = False,
    codec: str | None = None,
) -> OutputPaths:
    """The files to write for a source: the given names, or named after the source in a given folder (any name without a
    suffix is a folder). format: the suffix in a folder; None: mov, for a single picture png. several: there are several
    sources, which cannot share a file name. codec: the one chosen for the first file.

    Raises StudioError for names without a known format, a codec that the first file cannot hold, names that contradict
    each other, and if there is no output.
    """
    still = is_still(source)
    usual = "png" if still else "mp4"
    wanted = [] if output is None else [output] if isinstance(output, str | os.PathLike) else output
    paths = OutputPaths(
        tuple(_place(path, source, several, "", format or ("png" if still else "mov")) for path in wanted),
        _place(alpha, source, several, "_alpha", usual) if alpha else None,
        _place(foreground, source, several, "_foreground", usual) if foreground else None,
        _place(preview, source, several, "_sheet", "png") if preview else None,
    )
    for path in paths.output:
        if format and path.suffix.lower() != f".{format.lower().lstrip('.')}":
            raise StudioError(f"{path} and the format {format} contradict each other: leave one out.")
    for path in paths.files():
        format_for(path)  # raises for an unknown suffix
    if codec is not None and (first := next(paths.files(), None)):
        format_for(first).codec_named(codec)
    if not any(paths.files()):
        raise StudioError("There is nothing to write: name an output, an alpha or a foreground.")
    if paths.preview and paths.preview.suffix.lower() not in SHEET_SUFFIXES:
        raise StudioError(f"The contact sheet {paths.preview} is a picture: name it {' or '.join(SHEET_SUFFIXES)}.")
    return paths


def outputs_for(paths: OutputPaths, over_background: bool, codec: str | None = None) -> "list[Output]":
    """What each file shows: an output with transparency (in its format and in the codec, if one is chosen) shows the
    cut-out person, unless a background is given; any other output shows the person over the background."""
    from .options import Output  # which brings torch

    outputs = [
        Output(path, "composite" if is_composite(path, over_background, codec) else "matte") for path in paths.output
    ]
    if paths.alpha:
        outputs.append(Output(paths.alpha, "alpha"))
    if paths.foreground:
        outputs.append(Output(paths.foreground, "foreground"))
    return outputs


def is_composite(path: Path, over_background: bool, codec: str | None = None) -> bool:
    """Whether this output shows the person over a background."""
    return over_background or not format_for(path).holds("rgba", codec)


def is_still(source: AnyPath) -> bool:
    """Whether the source is a single picture."""
    return is_picture(Path(source)) and Path(source).is_file()


def _place(wanted: AnyPath, source: AnyPath, several: bool, ending: str, suffix: str) -> Path:
    """The file to write for a source: the given name, or a file named after the source in the given folder."""
    path = given_path(wanted)
    if os.fspath(wanted).endswith(("/", "\\")) or path.is_dir() or not path.suffix:
        clip = Path(source)
        name = clip.resolve().name if clip.is_dir() else clip.stem
        name = re.sub(r"%\d*d", "", name)  # in an output's name it would mean a sequence
        if not clip.exists():  # a glob or pattern
            name = re.sub(r"[*?\[\]]", "", name).strip(" _-.")
        name = name or clip.parent.name or "matte"
        return path / f"{name}{ending}.{suffix.lstrip('.')}"
    if several:
        raise StudioError(
            f"Several inputs cannot all become {wanted}. Give a folder, and a format if it is not to be mov."
        )
    return path
