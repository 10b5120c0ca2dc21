"""Files that a graph names by text. ComfyUI is a server, and a graph may come from anybody: only files of ComfyUI's
input folder are read, and an error says nothing about any other file.
"""

import os
from pathlib import Path

from ..core import StudioError

MARK = " [input]"  # ComfyUI's own widgets mark a file of the input folder so


def background(text: str) -> str:
    """The node's text for a background -> "blur", a colour, or the complete path of a file in ComfyUI's input folder.

    Raises StudioError for anything else. The text is the same whether or not there is such a file elsewhere."""
    from ..core import parse_color

    if text == "blur":
        return text
    try:
        parse_color(text)
    except StudioError:
        found = input_file(text)
        if found is None:
            raise StudioError(
                f"The background {text[:200]!r} is neither a colour, nor blur, nor a file in ComfyUI's input folder. "
                "Use white or #00b140, put the file into the input folder, or connect background_image or "
                "background_video."
            ) from None
        return str(found)
    return text


def input_file(name: str) -> Path | None:
    """The file of this name in ComfyUI's input folder or a folder in it; None if there is none, or if the name, or a
    link, leads out of the folder."""
    import folder_paths

    if not name or "\0" in name:
        return None
    folder = os.path.abspath(folder_paths.get_input_directory())
    path = os.path.normpath(os.path.join(folder, name.removesuffix(MARK)))
    # Once by the name alone: on Windows, a look at \\server\share would send the user's credentials there.
    if not _is_below(path, folder):
        return None
    try:
        path, folder = os.path.realpath(path, strict=True), os.path.realpath(folder)
    except (OSError, ValueError):
        return None
    return Path(path) if _is_below(path, folder) and os.path.isfile(path) else None


def _is_below(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    try:
        return path != folder and os.path.commonpath((path, folder)) == folder
    except ValueError:  # two drives
        return False
