"""Keeps libav's messages out of Python's logging, where they could cause a deadlock.

PyAV drops the messages unless a log level is set; then it passes them to Python's logging. To log, a codec's thread
waits for Python's lock (in PyAV before 17.1 even for debug messages). The thread that closes the codec holds that lock
and waits for the codec's threads.
"""

import av.logging


def silence_libav() -> None:
    """Turns PyAV's logging off again if it has the level that older torchvision sets at import. Any other level was set
    on purpose and is kept."""
    if av.logging.get_level() == av.logging.ERROR:
        av.logging.set_level(None)
