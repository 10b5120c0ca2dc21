"""Declares a node's input in ComfyUI's form."""

from typing import Any


def entry(kind: str | list[str], tooltip: str, **options: Any) -> tuple[str | list[str], dict[str, Any]]:
    """A socket or widget. kind: ComfyUI's type ("IMAGE", "FLOAT", ...) or a list of choices. options: default, min,
    max, step, ..."""
    return kind, {**options, "tooltip": tooltip}
