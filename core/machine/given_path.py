"""Paths as users enter them. URLs are refused here, before Path would turn https:// into https:/."""

import os
import re
from pathlib import Path

from ..errors import StudioError, boundary

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CUT_URL = re.compile(r"(https?|ftps?|sftp|rtsp|rtmps?|s3|gs|file):[/\\]+")  # a URL after conversion to a Path


def given_path(path: str | os.PathLike) -> Path:
    """A user's input as a Path. Raises StudioError for a URL, and for nothing, which Path would take for the current
    folder."""
    text = os.fspath(path)
    if "\0" in str(text):
        raise StudioError(f"The path {text!r} contains a NUL, which no file name can: check the path.")
    if not text:
        raise StudioError("A path is empty. Give the path of a file or folder; the current folder is `.`.")
    cut = None
    if isinstance(path, Path):
        with boundary(f"The path {path} cannot be looked up", "check its length and its links"):
            cut = None if path.exists() else _CUT_URL.match(text)
    if cut:
        text = f"{cut[1]}://{text[cut.end() :]}".replace("\\", "/")
    if _URL.match(text):
        raise StudioError(
            f"{text} is a URL. Only the input of a clip may be one, and only http or https: download the file and give "
            "its path."
        )
    return Path(path)
