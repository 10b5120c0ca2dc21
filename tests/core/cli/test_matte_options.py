"""The options of `matte`: what each text becomes, what is refused, and that the help is complete."""

import argparse
import re
import shlex
from fractions import Fraction

import pytest
from rvm_studio.core.cli.matte_options import EPILOG, add_options
from rvm_studio.core.clips.matte_file import WARM_UP
from rvm_studio.core.video.hardware_decoding import HWACCELS


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="matte", add_help=False)
    add_options(parser)
    return parser


@pytest.fixture
def parse(parser):
    return lambda *options: parser.parse_args(["clip.mp4", *options])


@pytest.fixture
def refused(parse, capsys):
    """The line that refuses these options."""

    def refuse(*options: str) -> str:
        with pytest.raises(SystemExit) as caught:
            parse(*options)
        assert caught.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return refuse


def test_defaults(parse):
    arguments = parse()
    assert (arguments.downsample_ratio, arguments.warm_up, arguments.hwaccel) == ("auto", WARM_UP, "none")
    for name in (
        "output",
        "format",
        "alpha",
        "foreground",
        "background",
        "quality",
        "preview",
        "frame_rate",
        "scene_cut",
    ):
        assert getattr(arguments, name) is None
    for name in ("premultiplied", "resume", "overwrite", "json", "quiet"):
        assert getattr(arguments, name) is False


@pytest.mark.parametrize(
    ("text", "rate"), [("25", Fraction(25)), ("23.976", Fraction(2997, 125)), ("30000/1001", Fraction(30000, 1001))]
)
def test_a_frame_rate_is_exact(parse, text, rate):
    assert parse("--fps", text).frame_rate == rate


@pytest.mark.parametrize("text", ["0", "-25", "1/0", "fast", "", "nan"])
def test_no_frame_rate(refused, text):
    assert f"{text!r} is not a frame rate; use 25, 23.976 or 30000/1001" in refused(f"--fps={text}")


@pytest.mark.parametrize(("text", "quality"), [("0", 0.0), ("2", 2.0), ("18.5", 18.5)])
def test_a_quality_is_a_number_from_zero_on(parse, text, quality):
    assert parse("--quality", text).quality == quality


@pytest.mark.parametrize("text", ["-0.1", "inf", "nan", "best"])
def test_no_quality(refused, text):
    assert f"{text!r} is not a quality" in refused(f"--quality={text}")


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("auto", "auto"), ("portrait", "portrait"), ("full_body", "full_body"), ("1", 1.0), ("1e-3", 0.001)],
)
def test_a_ratio_is_a_word_or_a_number_up_to_one(parse, text, ratio):
    assert parse("--downsample", text).downsample_ratio == ratio


@pytest.mark.parametrize("text", ["0", "1.0001", "-1", "nan", "half"])
def test_no_ratio(refused, text):
    assert f"{text!r} is not a ratio; use auto, portrait, full_body, or a number above 0" in refused(
        f"--downsample={text}"
    )


def test_a_scene_cut_needs_no_threshold(parse):
    assert parse("--scene-cut").scene_cut is True
    assert parse("--scene-cut", "1.9").scene_cut == 1.9


@pytest.mark.parametrize("text", ["0", "2", "nan", "clip.mp4"])
def test_no_threshold(refused, text):
    assert f"{text!r} is not a threshold between 0 and 2" in refused(f"--scene-cut={text}")


@pytest.mark.parametrize(("option", "least"), [("--warm-up", 0), ("--chunk", 1), ("--threads", 1)])
def test_counts(parse, refused, option, least):
    name = option[2:].replace("-", "_")
    assert getattr(parse(option, str(least)), name) == least
    assert f"is not a whole number of at least {least}" in refused(f"{option}={least - 1}")


def test_every_device_that_can_be_given_is_in_the_help(parser):
    help_of = {action.dest: action.help for action in parser._actions}
    assert all(re.search(rf"\b{device}\b", help_of["hwaccel"]) for device in HWACCELS)
    assert all(help_of.values())


def test_the_examples_of_the_help_are_valid(parser):
    examples = [line.split("  ")[1] for line in EPILOG.splitlines() if line.startswith("  rvm-studio matte")]
    assert len(examples) == 8
    for example in examples:
        program, command, *options = shlex.split(example)
        assert (program, command) == ("rvm-studio", "matte")
        assert parser.parse_args(options).output
