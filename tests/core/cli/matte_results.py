"""What `rvm-studio matte` leaves: files, frames and the line of an error."""

import os
from pathlib import Path

import numpy as np
import pytest
from rvm_studio.core.video.reader import open_reader

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def files() -> list[str]:
    """Every file below the current folder, except the hidden files that claim outputs."""
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file() and path.suffix != ".claim")


def frames_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def the_error(ran, code=1) -> str:
    """The one line on standard error of a command that failed."""
    assert ran.code == code
    (line,) = ran.err.splitlines()
    assert line.startswith("rvm-studio")
    return line
