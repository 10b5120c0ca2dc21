"""Keeps libav's messages away from Python.

PyAV drops them unless somebody sets a log level; then they go through Python's logging. A thread of a codec that has
a message to give waits for Python's lock, for a mere debug message in PyAV before 17.1. The thread that closes the
codec holds that lock and waits for the codec's threads: neither ever continues.
"""

import av.logging


def silence_libav() -> None:
    """Sets PyAV back to its silence where an older torchvision has set the level, as it does at its import. Any other
    level is somebody's wish and stays."""
    if av.logging.get_level() == av.logging.ERROR:
        av.logging.set_level(None)
