"""How an input of a node is written down: in ComfyUI's form, with its tooltip first."""

from typing import Any


def entry(kind: str | list[str], tooltip: str, **options: Any) -> tuple[str | list[str], dict[str, Any]]:
    """A socket or widget. kind: ComfyUI's type ("IMAGE", "FLOAT" ...) or the choices of a list; options: default, min,
    max, step ..."""
    return kind, {**options, "tooltip": tooltip}
