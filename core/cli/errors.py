"""How the command line tells people what it has to say on standard error: one clear line each."""

import json
import logging
import os
import sys
import traceback

from tqdm import tqdm

from ..errors import StudioError
from ..machine.root import NAME


class NoteHandler(logging.Handler):
    """Log records as lines for people: warnings are notes. A progress bar is moved out of the way."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "note: " if record.levelno >= logging.WARNING else ""
        tqdm.write(f"{prefix}{record.getMessage()}", file=sys.stderr)


def show_notes(quiet: bool) -> None:
    """Sends the package's log to standard error, all or (quiet) only what is worse than a warning."""
    log = logging.getLogger(NAME)
    if not any(isinstance(handler, NoteHandler) for handler in log.handlers):
        log.addHandler(NoteHandler())
    log.setLevel(logging.ERROR if quiet else logging.INFO)


def report_failure(error: Exception, as_json: bool, source: str | None = None) -> None:
    """One line for what went wrong, as an event on standard output too where JSON is wanted. With RVM_DEBUG set the
    traceback comes before it."""
    if isinstance(error, StudioError):
        message = error.worded("--")
    else:
        message = (
            f"this should not have happened ({type(error).__name__}: {error}). Please report it with the output of "
            "`rvm-studio info` and of the same command with RVM_DEBUG=1 set."
        )
    if os.environ.get("RVM_DEBUG"):
        traceback.print_exception(error)
    print(f"rvm-studio: {message}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps({"event": "error", "input": source, "message": message}), flush=True)
