"""Exceptions with messages for users."""

from collections.abc import Sequence
from pathlib import Path


class StudioError(Exception):
    """An error that a user can fix: the message says what was found, what was expected and what to do.

    The command line, the nodes and the filter print only its text, without a traceback. `use` and `or_else` follow the
    message as one sentence, in which the command line spells settings as its options (`worded("--")`).

    Args:
        message: One or more sentences.
        use: Settings that work instead, without dashes, such as "engine auto".
        or_else: Another solution.

    Example:
        >>> import rvm_studio
        >>> print(rvm_studio.StudioError("The engine graph is for GPUs.", use=("engine auto",), or_else="use a GPU"))
        The engine graph is for GPUs. Use engine auto, or use a GPU.
    """

    def __init__(self, message: str, *, use: Sequence[str] = (), or_else: str = ""):
        super().__init__(message)
        self.message, self.use, self.or_else = message, tuple(use), or_else

    def __str__(self) -> str:
        return self.worded()

    def worded(self, prefix: str = "") -> str:
        """The complete text, with `prefix` before the name of each setting in `use`."""
        if not self.use:
            return self.message
        ways = [f"Use {' or '.join(prefix + setting for setting in self.use)}", *filter(None, [self.or_else])]
        return f"{self.message} {', or '.join(ways)}."


class DownloadError(StudioError):
    """Weights could not be downloaded; the user has other choices.

    Args:
        message: The reason, in one sentence.
        name: The name of the weights in the catalogue.
        file_name: The name of the published file.
        folder: The folder in which the file would be found.
        choices: What the user can do, worded for Python. The command line, nodes and filter replace these before they
            show the error.

    Example:
        >>> from pathlib import Path
        >>> from rvm_studio import core
        >>> reason, choices = "The server is down.", ("try again", "use other weights")
        >>> print(core.DownloadError(reason, name="a", file_name="a.pth", folder=Path(), choices=choices))
        The server is down.
          1. try again
          2. use other weights
    """

    def __init__(self, message: str, *, name: str, file_name: str, folder: Path, choices: Sequence[str]):
        super().__init__(message)
        self.name, self.file_name, self.folder, self.choices = name, file_name, folder, tuple(choices)

    def worded(self, prefix: str = "") -> str:
        """The message, then the numbered choices, one per line."""
        return "\n".join([self.message, *(f"  {number}. {text}" for number, text in enumerate(self.choices, 1))])
