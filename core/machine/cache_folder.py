"""The folder for weights and compiled networks."""

import os
import sys
from pathlib import Path


def models_dir() -> Path:
    """The folder of downloaded weights: `RVM_MODELS_DIR`, else rvm-studio/models in the user's cache folder.

    Returns:
        The folder, which may not exist yet.

    Example:
        >>> from rvm_studio import core
        >>> weights = sorted(core.models_dir().glob("*.safetensors"))
    """
    # Not platformdirs: its releases disagree on macOS (newer ones follow XDG_CACHE_HOME), which would lose the folder.
    if chosen := os.environ.get("RVM_MODELS_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rvm-studio" / "models"
