"""Messages of the command line on standard error, one line each."""

import json
import logging
import os
import sys
import traceback

from tqdm import tqdm

from ..errors import StudioError
from ..machine.root import NAME
from .safe_text import safe_text


class NoteHandler(logging.Handler):
    """Prints log records as lines on standard error, warnings with "note: ", above a progress bar.

    Example:
        >>> import logging
        >>> from rvm_studio import core
        >>> logging.getLogger("rvm_studio").addHandler(core.NoteHandler())  # doctest: +SKIP
    """

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "note: " if record.levelno >= logging.WARNING else ""
        tqdm.write(safe_text(f"{prefix}{record.getMessage()}"), file=sys.stderr)


def show_notes(quiet: bool) -> None:
    """Prints the package's log on standard error; with `quiet`, only errors."""
    log = logging.getLogger(NAME)
    if not any(isinstance(handler, NoteHandler) for handler in log.handlers):
        log.addHandler(NoteHandler())
    log.setLevel(logging.ERROR if quiet else logging.INFO)


def failure_text(error: Exception) -> str:
    """One line about an error. If RVM_DEBUG is set, its traceback is printed first."""
    if os.environ.get("RVM_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, StudioError):
        return error.worded("--")
    return (
        f"internal error ({type(error).__name__}: {error}). Please report it with the output of `rvm-studio info` "
        "and of the same command with RVM_DEBUG=1 set."
    )


def report_failure(error: Exception, as_json: bool, source: str | None = None) -> None:
    """Prints one line about an error, and with `as_json` also an event on standard output. If RVM_DEBUG is set, the
    traceback is printed first."""
    message = failure_text(error)
    print(f"rvm-studio: {safe_text(message)}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps({"event": "error", "input": source, "message": message}), flush=True)
