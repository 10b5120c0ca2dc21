"""Suggests the command that the user probably meant."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ..clips.outputs import is_still
from ..clips.spool import is_spooled
from ..machine.given_path import given_path
from ..machine.install_advice import shell_command
from ..video.output_formats import FORMATS
from ..video.picture_sequence import PICTURE_SUFFIXES, VIDEO_SUFFIXES

_WRITES = ("-o", "--output", "--alpha", "--foreground")


def missing_command(arguments: Sequence[str], commands: Collection[str]) -> str | None:
    """A hint if the first word is a clip instead of a command, else None. Raises StudioError for a URL that cannot be
    matted."""
    word = next((text for text in arguments if not text.startswith("-")), None)
    if word is None or word in commands:
        return None
    if word and is_spooled(word):
        return f"{word!r} is not a command. To matte it: {matte_command(arguments)}"
    path = given_path(word)
    is_pattern = any(sign in word for sign in "*?%")
    if not (path.exists() or is_pattern or path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES):
        return None
    return f"{word!r} is not a command. To matte it: {matte_command(arguments)}"


def matte_command(arguments: Sequence[str]) -> str:
    """The command that mattes the clips in `arguments`.

    If they have no output option, the last of several inputs becomes the output if it does not exist and has a suitable
    suffix; otherwise an example output is added.
    """
    *first, last = arguments
    if not any(text.split("=")[0] in _WRITES for text in arguments):
        named = all(not text.startswith("-") for text in arguments) and first and _may_be_written(last)
        example = "cut.png" if is_still(last) else "cut.mov"
        arguments = [*first, "-o", last] if named else [*arguments, "-o", example]
    return shell_command("rvm-studio", "matte", *arguments)


def _may_be_written(text: str) -> bool:
    return Path(text).suffix.lower() in {row.suffix for row in FORMATS} and not Path(text).exists()
