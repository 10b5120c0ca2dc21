"""What the outputs of all jobs of a run may be called: no output takes the name of an input or of another output."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import StudioError, boundary
from ..video.output_formats import format_for
from ..video.partial_output import partial_path, pattern_of
from ..video.picture_sequence import find_pictures


class JobNames(NamedTuple):
    """The files of one job. files: the outputs. sheet: the contact sheet. background: a file, if it is one."""

    source: Path
    files: tuple[Path, ...]
    sheet: Path | None
    background: Path | None


@boundary("The names of inputs and outputs cannot be compared", "check the paths and their links")
def refuse_overlap(jobs: Iterable[JobNames]) -> None:
    """Raises StudioError if an output of any job is an input or background of any job, lies among the pictures of an
    input, or is also the output of another; before anything is opened. The temporary names of one job are no input of
    another."""
    jobs = list(jobs)
    read: dict[Path, str] = {}
    folders: set[Path] = set()
    for job in jobs:
        pictures = [picture.path.resolve() for picture in find_pictures(job.source) or []]
        folders |= {path.parent for path in pictures}
        read |= dict.fromkeys(pictures, "a picture of the input")
    for job in jobs:
        if job.background is not None:
            read[job.background.resolve()] = "the background"
    for job in jobs:
        read[job.source.resolve()] = "the input" if len(jobs) == 1 else f"the input {job.source}"
    files = {place: what for path, what in read.items() if (place := _on_disk(path))}
    written: dict[Path | tuple[int, int], JobNames] = {}
    for job in jobs:
        for path in [*job.files, *([job.sheet] if job.sheet else [])]:
            place = path.resolve()
            places = [place, *filter(None, [_on_disk(path)])]  # which names share that differ in case only, and links
            what = read.get(place) or files.get(places[-1])  # pyright: ignore[reportArgumentType, reportCallIssue]
            if what is not None:
                raise StudioError(f"The output {path} is {what}. Choose another name; the input is never overwritten.")
            if path != job.sheet and not format_for(path).container and pattern_of(place).parent in folders:
                raise StudioError(
                    f"The output {path} would lie among the pictures of the input. Choose another folder."
                )
            other = next((written[name] for name in places if name in written), None)
            if other is job:
                raise StudioError(
                    f"The output {path} is already the name of another output. Choose another name; the input is never "
                    "overwritten."
                )
            if other is not None:
                raise StudioError(
                    f"{other.source} and {job.source} would both be written to {path}. Use different output folders."
                )
            written |= dict.fromkeys(places, job)
    for job in jobs:
        for path in job.files:
            what = read.get(partial_path(path).resolve())
            if what is not None and partial_path(path).resolve() != job.source.resolve() and len(jobs) > 1:
                raise StudioError(
                    f"The unfinished output {path} would be called like {what}. Choose another name or folder."
                )


def _on_disk(path: Path) -> tuple[int, int] | None:
    """What all names of one file share."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
