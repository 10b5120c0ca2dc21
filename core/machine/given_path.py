"""Paths as people give them. A URL is refused here, while it is still whole: Path would make https:/... of it."""

import os
import re
from pathlib import Path

from ..errors import StudioError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CUT_URL = re.compile(r"(https?|ftps?|sftp|rtsp|rtmps?|s3|gs|file):[/\\]+")  # what a Path has made of one


def given_path(path: str | os.PathLike) -> Path:
    """The Path of what a user gave. Raises StudioError for a URL."""
    text = os.fspath(path)
    cut = _CUT_URL.match(text) if isinstance(path, Path) and not path.exists() else None
    if cut:
        text = f"{cut[1]}://{text[cut.end() :]}".replace("\\", "/")
    if _URL.match(text):
        raise StudioError(f"{text} is a URL. URLs are not supported yet: download the file and give its path.")
    return Path(path)
