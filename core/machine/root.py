"""The folders and the package name of the core."""

from pathlib import Path

CORE = Path(__file__).resolve().parent.parent
"""The folder of the core's source files."""

PACKAGE = CORE.parent
"""The package's folder; in a checkout, its root."""

ASSETS = PACKAGE / "assets"
"""The folder of bundled files: the sample clip, the starter weights."""

SAMPLE = ASSETS / "sample.mp4"

NAME = __name__.rsplit(".", 2)[0]
"""The core's package name: `rvm_studio.core`, or another one inside ComfyUI. All logger names begin with it."""
