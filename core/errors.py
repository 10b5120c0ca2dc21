"""The one exception a user is meant to read."""


class StudioError(Exception):
    """Something a user can act on: says what was found, what was expected and what to do.

    The command line, nodes and filter print its text alone, without a traceback.
    """


class DownloadError(StudioError):
    """A server could not be reached or did not give the file: something else may do in its place."""
