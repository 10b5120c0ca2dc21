"""The output files of a clip: their names, and what each of them shows."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import StudioError, boundary
from ..machine.given_path import given_path
from ..video.output_formats import FORMATS, format_for
from ..video.partial_output import NUMBER

if TYPE_CHECKING:
    from .options import Output

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
_SHEET = "_sheet"
_NUMBERED = {row.suffix for row in FORMATS if not row.container}

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


@boundary("The outputs cannot be looked up", "check their length and their links")
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
    suffix: str = "",
    below: AnyPath = "",
    still: bool | None = None,
) -> OutputPaths:
    """The files to write for a source: the given names, or named after the source in a given folder (any name without a
    suffix is a folder). format: the suffix in a folder; None: mov, for a single picture png. several: there are several
    sources, which cannot share a file name. codec: the one chosen for the first file. suffix: text after the name, in a
    folder. below: the folder inside the given folder. still: whether the source is a single picture; None: as the file
    says.

    Raises StudioError for names without a known format, a codec that the first file cannot hold, names that contradict
    each other, and if there is no output.
    """
    still = is_still(source) if still is None else still
    usual = "png" if still else "mp4"
    wanted = [] if output is None else [output] if isinstance(output, str | os.PathLike) else output
    if any(sign in suffix for sign in "/\\%"):
        raise StudioError(f"The suffix {suffix!r} cannot be part of a file name: leave out / \\ and %.")

    def place(path: AnyPath, ending: str, kind: str) -> Path:
        if not _is_folder(path):
            return _file(path, several, suffix)
        folder, name = given_path(path) / below, f"{_name_after(source)}{suffix}{ending}"
        return _in_folder(folder, name, kind.lstrip("."), still or ending == _SHEET)

    paths = OutputPaths(
        tuple(place(path, "", format or ("png" if still else "mov")) for path in wanted),
        place(alpha, "_alpha", usual) if alpha else None,
        place(foreground, "_foreground", usual) if foreground else None,
        place(preview, _SHEET, "png") if preview else None,
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
    from ..video.animation_times import is_single_picture  # which brings PyAV

    return is_single_picture(Path(source))


def _is_folder(wanted: AnyPath) -> bool:
    path = given_path(wanted)
    if path.name.lower() in {row.suffix for row in FORMATS}:
        raise StudioError(
            f"The output {path} is a suffix without a name. Give a name such as cut{path.name}, or a folder and the "
            f"format {path.name[1:]}."
        )
    return os.fspath(wanted).endswith(("/", "\\")) or path.is_dir() or not path.suffix


def _file(wanted: AnyPath, several: bool, suffix: str) -> Path:
    if several:
        raise StudioError(
            f"Several inputs cannot all become {wanted}. Give a folder, and a format if it is not to be mov."
        )
    if suffix:
        raise StudioError(f"The suffix {suffix!r} is for names in a folder, but {wanted} is a file: leave one out.")
    return given_path(wanted)


def _name_after(source: AnyPath) -> str:
    clip = Path(source)
    name = clip.resolve().name if clip.is_dir() else clip.stem
    if not clip.exists():  # a glob or pattern
        name = re.sub(r"[*?\[\]]", "", NUMBER.sub("", name)).strip(" _-.")
    return name or clip.parent.name or "matte"


def _in_folder(folder: Path, name: str, kind: str, single: bool) -> Path:
    """The file of this name. A % in it is a sign like any other."""
    if f".{kind.lower()}" in _NUMBERED and NUMBER.search(name):  # would be taken for the pattern of a sequence
        return folder / (f"{name.replace('%', '_')}.{kind}" if single else f"{name}/%05d.{kind}")
    return folder / f"{name}.{kind}"
