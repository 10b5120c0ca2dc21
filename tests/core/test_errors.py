"""The texts of errors, in Python's words and in those of the command line."""

from pathlib import Path

import pytest
from rvm_studio.core.errors import DownloadError, StudioError, boundary


@pytest.mark.parametrize(
    ("use", "or_else", "plain", "options"),
    [
        ((), "", "No.", "No."),
        ((), "wait", "No.", "No."),
        (("engine auto",), "", "No. Use engine auto.", "No. Use --engine auto."),
        (("a 1", "b"), "", "No. Use a 1 or b.", "No. Use --a 1 or --b."),
        (("a", "b"), "wait", "No. Use a or b, or wait.", "No. Use --a or --b, or wait."),
    ],
)
def test_settings_follow_the_message(use, or_else, plain, options):
    error = StudioError("No.", use=use, or_else=or_else)
    assert str(error) == error.worded() == plain
    assert error.worded("--") == options
    assert (error.message, error.use, error.or_else) == ("No.", tuple(use), or_else)


def test_arguments_are_the_message_alone():
    assert StudioError("No.", use=["a"]).args == ("No.",)
    assert repr(StudioError("No.")) == "StudioError('No.')"


def test_choices_are_numbered_lines():
    error = DownloadError("Gone.", name="a", file_name="a.pth", folder=Path("x"), choices=["wait", "stop"])
    assert str(error) == error.worded("--") == "Gone.\n  1. wait\n  2. stop"
    assert (error.name, error.file_name, error.folder) == ("a", "a.pth", Path("x"))


def test_choices_can_be_replaced_before_they_are_shown():
    error = DownloadError("Gone.", name="a", file_name="a.pth", folder=Path("x"), choices=["wait", "stop"])
    error.choices = ("type this",)
    assert str(error) == "Gone.\n  1. type this"
    assert isinstance(error, StudioError)


@pytest.mark.parametrize("foreign", [ValueError("bad\nsecond line"), KeyError("x"), AssertionError(), RecursionError()])
def test_a_boundary_makes_one_sentence_of_any_exception(foreign):
    with pytest.raises(StudioError) as caught, boundary("clip.mp4 cannot be read", "copy it again"):
        raise foreign
    assert str(caught.value).startswith(f"clip.mp4 cannot be read ({type(foreign).__name__}")
    assert str(caught.value).endswith("): copy it again.")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is foreign


def test_a_boundary_names_what_the_system_says():
    with pytest.raises(StudioError, match=r"^x \(No space left on device\): y\.$"), boundary("x", "y"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "passing",
    [
        StudioError("ours"),
        MemoryError(),
        KeyboardInterrupt(),
        SystemExit(1),
        RuntimeError("CUDA out of memory"),
        EOFError(),
    ],
)
def test_what_passes_a_boundary(passing):
    with pytest.raises(type(passing)) as caught, boundary("x", "y", EOFError):
        raise passing
    assert caught.value is passing
