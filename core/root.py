"""Where the core lies and what it is called, for modules that ask: this one stays at the top when others move into
folders below."""

from pathlib import Path

CORE = Path(__file__).resolve().parent
"""The folder of all the core's sources."""

PACKAGE = CORE.parent
"""The package's folder: of a checkout its root."""

ASSETS = PACKAGE / "assets"
"""The files that come with the package: the sample clip, the starter weights."""

NAME = __name__.rpartition(".")[0]
"""The core's name as a package: `rvm_studio.core`, or another one inside ComfyUI. The loggers' names begin with it."""
