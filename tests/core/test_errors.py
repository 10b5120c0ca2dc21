"""The texts of errors, in Python's words and in those of the command line."""

from pathlib import Path

import pytest
from rvm_studio.core.errors import DownloadError, StudioError


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
