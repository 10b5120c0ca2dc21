"""Makes argparse's options from the rows of the table of options, and converts their texts."""

import argparse
import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

from ..clips.option_form import Option


class Frames(NamedTuple):
    """A time given as a number of frames from the clip's first one."""

    number: int


def add_rows(group: argparse._ArgumentGroup | argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Adds an option for each row; parsed, it has the row's name."""
    for option in options:
        assert option.flag
        names = [option.short, option.flag] if option.short else [option.flag]
        settings: dict[str, Any] = {"dest": option.name, "help": option.help.replace("%", "%%")}
        if option.kind == "flag":
            settings["action"] = "store_true"
        else:
            settings["default"] = option.default
            if option.metavar:
                settings["metavar"] = option.metavar
            if option.kind == "choice":
                settings["choices"] = option.choices
            if option.kind == "threshold":
                settings |= {"nargs": "?", "const": True}
            if option.kind in _PARSERS:
                settings["type"] = _PARSERS[option.kind](option)
        group.add_argument(*names, **settings)


def at_least(smallest: int):
    """A type for argparse: a whole number of at least `smallest`.

    Args:
        smallest: The lowest accepted number.

    Returns:
        A function that converts a text, or raises argparse.ArgumentTypeError.

    Example:
        >>> from rvm_studio import core
        >>> core.at_least(1)("12")
        12
    """

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return number

    return parse


def parse_time(text: str) -> Fraction | Frames:
    """ "12.5", "1:02.5" or "00:01:02.5" -> seconds, exactly; "250f" -> Frames(250)."""
    if found := re.fullmatch(r"(\d{1,12})f", text, re.ASCII):
        return Frames(int(found[1]))
    found = re.fullmatch(r"(?:(?:(\d{1,6}):)?([0-5]?\d):)?(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})", text, re.ASCII)
    seconds = Fraction(found[3]) if found else Fraction(-1)
    if found is None or (found[2] is not None and seconds >= 60):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; use seconds such as 12.5, 1:02.5 or 00:01:02.5, or frames such as 250f"
        )
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + seconds


def _number(text: str) -> float:
    """The number, or NaN for other texts, so that every comparison fails."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _between(option: Option) -> Callable[[str], float]:
    low, high = option.low, option.high
    assert low is not None
    assert high is not None

    def parse(text: str) -> float:
        if not low <= _number(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number between {low:g} and {high:g}")
        return float(text)

    return parse


def _frame_rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate; use 25, 23.976 or 30000/1001")
    return rate


def _quality(text: str) -> float:
    if not 0 <= _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a quality; use a number such as 0 (best), 2 or 18")
    return float(text)


def _bitrate(text: str) -> int:
    found = re.fullmatch(r"(\d{1,10}(?:\.\d{1,6})?)([kM]?)", text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a bitrate; use bits per second such as 8M, 800k or 8000000")
    return round(float(found[1]) * {"": 1, "k": 1000, "M": 1_000_000}[found[2]])


def _ratio(option: Option) -> Callable[[str], str | float]:
    def parse(text: str) -> str | float:
        if text in option.choices:
            return text
        if not 0 < _number(text) <= 1:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a ratio; use {', '.join(option.choices)}, or a number above 0 and at most 1"
            )
        return float(text)

    return parse


def _threshold(text: str) -> float:
    if not 0 < _number(text) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a threshold between 0 and 2; put --scene-cut after the inputs to use the default"
        )
    return float(text)


_PARSERS: dict[str, Callable[[Option], Callable[[str], Any]]] = {
    "number": _between,
    "count": lambda option: at_least(int(option.low or 0)),
    "seconds": lambda option: parse_time,
    "rate": lambda option: _frame_rate,
    "quality": lambda option: _quality,
    "bitrate": lambda option: _bitrate,
    "ratio": _ratio,
    "threshold": lambda option: _threshold,
}
"""kind -> the function of a row that gives argparse's type."""
