"""Where the program starts. Until a command handles Ctrl-C itself, it ends the process at once, with one line."""

from typing import NoReturn

from .stop_signals import end_on_interrupt

# Nothing heavy is imported here: a Ctrl-C before the next line would end in a traceback.


def program() -> NoReturn:
    """Runs the command line and ends the process at once, which saves a third of a second of cleaning up.

    All files are closed by then, and no thread is working. Only for a process of its own: it never returns.

    Example:
        >>> from rvm_studio import core
        >>> core.program()  # doctest: +SKIP
    """
    with end_on_interrupt():
        import contextlib
        import os
        import sys

        from .main import main

        exit_code = main()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader has ended
                stream.flush()
        os._exit(exit_code)
