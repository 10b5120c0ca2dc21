"""Where the core lies and what it is called, for modules that ask."""

from pathlib import Path

CORE = Path(__file__).resolve().parent.parent
"""The folder of all the core's sources."""

PACKAGE = CORE.parent
"""The package's folder: of a checkout its root."""

ASSETS = PACKAGE / "assets"
"""The files that come with the package: the sample clip, the starter weights."""

SAMPLE = ASSETS / "sample.mp4"

NAME = __name__.rsplit(".", 2)[0]
"""The core's name as a package: `rvm_studio.core`, or another one inside ComfyUI. The loggers' names begin with it."""
