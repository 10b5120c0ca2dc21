"""What the programs that receive a matte want: a table of data. docs/formats.md names the sources."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import StudioError
from ..video.output_formats import format_for
from .outputs import AnyPath

if TYPE_CHECKING:
    from .options import ClipOptions, Output

# Rates of cinema, television, screens and the web; editors make sequences of these.
_RATES = "10 12 15 24000/1001 24 25 30000/1001 30 48 50 60000/1001 60 100 120000/1001 120"
STANDARD_RATES = tuple(Fraction(rate) for rate in _RATES.split())


@dataclass(frozen=True)
class Program:
    """One program.

    title: its name in sentences. suffix: of the files it takes. quality: of lossy files; None: the format's own.
    constant_rate: it counts frames at one rate, so that a variable one drifts against the sound.
    """

    name: str
    title: str
    suffix: str
    constant_rate: bool
    quality: float | None = None


PROGRAMS = {
    program.name: program
    for program in (
        Program("premiere", "Premiere Pro", "mov", constant_rate=True),
        Program("resolve", "DaVinci Resolve", "mov", constant_rate=True),
        Program("fcp", "Final Cut Pro", "mov", constant_rate=True),
        Program("ae", "After Effects", "mov", constant_rate=True),
        Program("web", "web browsers", "webm", constant_rate=False, quality=24),
        Program("obs", "OBS Studio", "webm", constant_rate=False, quality=15),
    )
}


def program_named(name: str) -> Program:
    """The program of this name. Raises StudioError."""
    if name not in PROGRAMS:
        raise StudioError(f"Unknown program {name!r}. Use {', '.join(PROGRAMS)}.")
    return PROGRAMS[name]


def format_for_program(name: str | None, format: str | None, still: bool) -> str | None:
    """The format of files that are named after their source: the given one, or that of the program; single pictures
    stay pictures. Raises StudioError if the two differ."""
    if name is None or still:
        return format
    program = program_named(name)
    if format is not None and format.lower().lstrip(".") != program.suffix:
        raise StudioError(
            f"The format {format} is not the one for {program.title}, which is {program.suffix}: leave one out."
        )
    return program.suffix


def standard_rate(frame_rate: Fraction) -> Fraction:
    """The standard rate nearest to a clip's average rate, if it is within 3 %; else a whole number, or the rate.

    >>> standard_rate(Fraction("29.87"))
    Fraction(30000, 1001)
    """
    nearest = min(STANDARD_RATES, key=lambda rate: abs(rate - frame_rate))
    if abs(nearest - frame_rate) <= nearest * Fraction(3, 100):
        return nearest
    return Fraction(max(1, round(frame_rate))) if frame_rate >= 1 else frame_rate


def fit_to_program(
    name: str, source: AnyPath, outputs: "Sequence[Output]", options: "ClipOptions"
) -> "tuple[ClipOptions, str]":
    """The options with what the program wants where they leave it open, and a note that says what was chosen. source:
    the clip, which is opened."""
    from ..video.reader import open_reader

    program = program_named(name)
    with open_reader(source, options.frame_rate) as reader:
        info = reader.info
    if options.quality is None and options.bitrate is None and options.codec is None:
        options = replace(options, quality=program.quality)
    rate = None if info.kind == "video" else info.frame_rate
    if program.constant_rate and info.kind == "video":
        rate = standard_rate(info.frame_rate) if options.cfr is None else options.cfr
        options = replace(options, cfr=rate)
    first = outputs[0]
    parts = [f"{options.codec or format_for(first.path).name} ({first.path.suffix})"]
    if first.kind == "matte":
        parts.append("premultiplied alpha" if options.premultiplied else "straight alpha")
    if options.quality is not None:
        parts.append(f"quality {options.quality:g}")
    if info.kind != "still":
        parts.append("the source's frame times" if rate is None else f"{float(rate):.6g} frames per second")
        parts.append("beginning at 0 s")
    return options, f"for {program.title}: {', '.join(parts)}"
