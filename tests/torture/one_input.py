"""One input of the suite, from its maker to the comparison."""

from pathlib import Path
from typing import NamedTuple

from .compare import faults
from .inputs import Input
from .stand_in import Ran, run_command

NOT_MADE = "not made"


class MakerError(Exception):
    """An input could not be made."""


class Attempt(NamedTuple):
    """An input after the command. given: what the command got; out: the output's path."""

    given: Path | str
    out: Path
    ran: Ran
    is_source_kept: bool


def result_of(item: Input, folder: Path) -> list[str]:
    """Makes the input, runs the command, and returns what is wrong. folder: an empty one, which is made."""
    try:
        done = attempt(item, folder)
    except MakerError as error:
        return [f"{NOT_MADE}: {error}"]
    found = faults(item, done.given, done.out, done.ran)
    return found if done.is_source_kept else [*found, "the input's folder has changed"]


def attempt(item: Input, folder: Path) -> Attempt:
    """Makes the input and runs the command. Raises MakerError."""
    parts = [folder / name for name in ("in", "out", "messages")]
    for part in parts:
        part.mkdir(parents=True)
    source, result, messages = parts
    try:
        given = item.make(source)
    except Exception as error:
        raise MakerError(repr(error)[:500]) from error
    # as it would be typed in its folder: a name that begins with a dash is no option
    text = str(Path(given).relative_to(source)) if Path(given).name.startswith("-") else str(given)
    before = _contents(source)
    ran = run_command(["matte", "-o", str(result / item.out), *item.options, "--", text], source, messages)
    return Attempt(given, result / item.out, ran, _contents(source) == before)


def _contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*")}
