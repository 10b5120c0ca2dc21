"""Exceptions with messages for users, and the wrapper that makes them of any other exception."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LONGEST_CAUSE = 300  # characters


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


class ForeignError(StudioError):
    """What `boundary` makes of an exception of a library or the system, which is its `__cause__`."""


@contextmanager
def boundary(what: str, advice: str, *passing: type[Exception]) -> Iterator[None]:
    """Turns any exception of a library or the system into a StudioError: "`what` (the cause): `advice`."

    Every place where files, weights, caches or another program's values come in has one, around everything, because no
    list of the exceptions that a damaged file can raise is ever complete. A missing memory passes, so that the caller
    can do with less; so does a wish to stop.

    Args:
        what: What cannot be done, with the file's name.
        advice: What the user can do.
        passing: Exceptions that the caller handles itself.

    Raises:
        ForeignError: A StudioError, if the block raised anything else.

    Example:
        >>> from rvm_studio import core
        >>> with core.boundary("clip.mp4 cannot be read", "copy it again"):
        ...     raise ValueError("bad header")
        Traceback (most recent call last):
        rvm_studio.core.errors.ForeignError: clip.mp4 cannot be read (ValueError: bad header): copy it again.
    """
    try:
        yield
    except (StudioError, MemoryError, *passing):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error).lower():  # PyTorch's
            raise
        raise ForeignError(f"{what} ({cause(error)}): {advice}.") from error


def cause(error: BaseException) -> str:
    """One line about an exception: what the system says, or the exception's name and the first line of its text."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().split("\n")[0][:_LONGEST_CAUSE]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
