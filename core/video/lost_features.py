"""What a video has that its frames, as they are read, do not show: a note for each."""

import av
from av.sidedata.sidedata import SideDataContainer, Type

_STATIC = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
_DYNAMIC = ("DYNAMIC_HDR_PLUS", "DOVI_RPU_BUFFER", "DOVI_METADATA", "DYNAMIC_HDR_VIVID")
_NAMES_SIDE_DATA = {"png", "apng"}  # see orientation.py


def what_is_lost(frame: av.VideoFrame, stream: av.VideoStream) -> list[str]:
    """One line for each feature of the first frame, or of its stream, that no output has."""
    notes = []
    has_alpha = any(component.is_alpha for component in frame.format.components)
    is_webm_alpha = any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())
    if has_alpha or is_webm_alpha:
        notes.append("the video's own transparency is not used: its hidden colours are matted too")
    if stream.codec_context.name in _NAMES_SIDE_DATA:
        return notes
    try:
        data = SideDataContainer(frame)  # pyright: ignore[reportCallIssue]
        kinds = {name for name in (*_STATIC, *_DYNAMIC) if _has(data, name)}
    except ValueError:  # a kind that PyAV does not know; then it returns none at all
        return notes
    if kinds & set(_DYNAMIC):
        notes.append("the dynamic HDR metadata (HDR10+, Dolby Vision) is not kept")
    if kinds & set(_STATIC):
        notes.append("the HDR mastering metadata (brightness of the display, light levels) is not kept")
    return notes


def _has(data: SideDataContainer, name: str) -> bool:
    kind = getattr(Type, name, None)
    return kind is not None and data.get(kind) is not None
