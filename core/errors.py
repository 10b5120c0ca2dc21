"""The exceptions a user is meant to read."""

from collections.abc import Sequence
from pathlib import Path


class StudioError(Exception):
    """Something a user can act on: says what was found, what was expected and what to do.

    The command line, nodes and filter print its text alone, without a traceback.
    use: settings that work instead, without dashes, such as "engine auto"; `or_else`: another thing to do. They follow
    the message as one sentence, in which the command line spells settings as its options (`worded("--")`).

        StudioError("The engine graph is for graphics cards.", use=("engine auto",), or_else="buy one")
        # The engine graph is for graphics cards. Use engine auto, or buy one.
    """

    def __init__(self, message: str, *, use: Sequence[str] = (), or_else: str = ""):
        super().__init__(message)
        self.message, self.use, self.or_else = message, tuple(use), or_else

    def __str__(self) -> str:
        return self.worded()

    def worded(self, prefix: str = "") -> str:
        """The whole text; `prefix` is put before each setting's name."""
        if not self.use:
            return self.message
        ways = [f"Use {' or '.join(prefix + setting for setting in self.use)}", *filter(None, [self.or_else])]
        return f"{self.message} {', or '.join(ways)}."


class DownloadError(StudioError):
    """Weights that no server gave: something else may do in their place.

    message: why, in one sentence. name, file_name: of the weights in the catalogue. folder: where the file would be
    found. choices: what the user can do. They are worded for Python; other doors put their own words in their place
    before they show the error.
    """

    def __init__(self, message: str, *, name: str, file_name: str, folder: Path, choices: Sequence[str]):
        super().__init__(message)
        self.name, self.file_name, self.folder, self.choices = name, file_name, folder, tuple(choices)

    def worded(self, prefix: str = "") -> str:
        """The message, then the choices, numbered, a line each."""
        return "\n".join([self.message, *(f"  {number}. {text}" for number, text in enumerate(self.choices, 1))])
