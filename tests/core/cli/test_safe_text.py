"""Names of files cannot drive the terminal."""

import io
import sys

import pytest
from rvm_studio.core.cli import errors
from rvm_studio.core.cli.progress import Progress
from rvm_studio.core.cli.safe_text import safe_name, safe_text
from rvm_studio.core.errors import StudioError

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\r\x9b1mc\u202egpj.mp4"


@pytest.mark.parametrize("plain", ["clip.mp4", "Grüße 日本語\u3000.mov", "👩‍👩‍👧.png", "a\tb\nc"])
def test_plain_text_stays(plain):
    assert safe_text(plain) == plain


def test_every_control_character_becomes_visible():
    every = "".join(map(chr, [*range(32), *range(127, 160), 0xDC80, 0xDCFF, *range(0x202A, 0x202F)]))
    shown = safe_name(f"x{every}y")
    assert shown.isascii()
    assert shown.isprintable()
    assert safe_name(HOSTILE) == r"a\x1b[2J\x1b]0;title\x07b\r\x9b1mc\u202egpj.mp4"


def test_errors_and_progress_are_safe(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    errors.report_failure(StudioError(f"{HOSTILE} does not exist."), as_json=False)
    progress = Progress("plain", HOSTILE)
    progress(1, 1)
    with Progress("bar", HOSTILE) as bar:
        bar(1, 2)
    lines = shown.getvalue()
    assert r"\x1b[2J" in lines
    assert "\x1b[2J" not in lines
    assert "\x1b]0" not in lines
    assert "\u202e" not in lines
