"""Where weights and compiled networks are kept."""

import os
import sys
from pathlib import Path


def models_dir() -> Path:
    """Where downloaded weights live: `RVM_MODELS_DIR`, else rvm-studio/models in the user's cache folder.

    Not by platformdirs: its releases disagree on macOS (newer ones follow XDG_CACHE_HOME), which would lose the folder.
    """
    if chosen := os.environ.get("RVM_MODELS_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rvm-studio" / "models"
