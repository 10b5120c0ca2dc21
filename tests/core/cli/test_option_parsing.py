"""Texts of the command line, and what argparse makes of them."""

import argparse
from fractions import Fraction

import pytest
from rvm_studio.core.cli.option_parsing import Frames, add_rows, at_least, parse_time
from rvm_studio.core.clips.option_table import OPTIONS, options_of


@pytest.mark.parametrize(("smallest", "text", "number"), [(0, "0", 0), (1, "1", 1), (1, " 12 ", 12), (-3, "-3", -3)])
def test_a_number_that_is_large_enough(smallest, text, number):
    assert at_least(smallest)(text) == number


@pytest.mark.parametrize(("smallest", "text"), [(0, "-1"), (1, "0"), (1, "1.5"), (1, ""), (1, "all"), (5, "4")])
def test_a_number_that_is_not(smallest, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a whole number of at least {smallest}"):
        at_least(smallest)(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", Fraction(0)),
        ("12.5", Fraction(25, 2)),
        (".25", Fraction(1, 4)),
        ("90", Fraction(90)),
        ("1:02.5", Fraction(125, 2)),
        ("00:01:02.5", Fraction(125, 2)),
        ("100:00:00", Fraction(360000)),
        ("250f", Frames(250)),
    ],
)
def test_times(text, time):
    assert parse_time(text) == time


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:2:3:4", "1h", "f", "-3f", "1:00:61", "nan", "1e3", "1.2.3", "٣"])
def test_no_times(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time; use seconds such as"):
        parse_time(text)


def test_every_range_is_kept():
    for option in OPTIONS:
        if option.kind == "number" and option.flag:
            parser = argparse.ArgumentParser(exit_on_error=False)
            add_rows(parser, [option])
            for value in (option.low, option.high):
                assert list(vars(parser.parse_args([f"{option.flag}={value}"])).values()) == [value]
            for value in (option.low - 0.01, option.high + 0.01, "nan", "x"):
                with pytest.raises(argparse.ArgumentError, match="is not a number between"):
                    parser.parse_args([f"{option.flag}={value}"])


def test_a_help_text_may_hold_any_sign():
    parser = argparse.ArgumentParser()
    add_rows(parser, options_of("source"))
    assert parser.format_help()


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    add_rows(made, options_of("outputs"))
    return made


@pytest.mark.parametrize(
    ("text", "rate"), [("8M", 8_000_000), ("800k", 800_000), ("1.5M", 1_500_000), ("96000", 96_000)]
)
def test_bitrates(parser, text, rate):
    assert parser.parse_args(["--bitrate", text]).bitrate == rate


@pytest.mark.parametrize("text", ["8m", "8 M", "8Mbit", "-8M", "", "fast", "1e6"])
def test_no_bitrates(parser, text):
    with pytest.raises(argparse.ArgumentError, match="is not a bitrate; use bits per second such as 8M"):
        parser.parse_args([f"--bitrate={text}"])
