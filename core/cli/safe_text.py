"""Text for the terminal: the name of a file may contain escape codes, which would move the cursor or hide a line."""

import re

# Control characters, halves of surrogate pairs (bytes that are not UTF-8), and marks that turn text around.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t\n]")


def safe_text(text: str) -> str:
    r"""The text with every control character, except tabs and line breaks, as an escape such as \x1b."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def safe_name(name: str) -> str:
    """The same for a name, which has no tabs and line breaks either."""
    return _BREAKS.sub(lambda found: ascii(found[0])[1:-1], safe_text(name))
