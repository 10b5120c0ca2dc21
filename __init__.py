"""RVM Studio: video matting for creators. For ComfyUI, this folder is a node pack.

    import rvm_studio
    rvm_studio.matte("clip.mp4", "cut.mov")

`matte` mattes a whole clip in one call; `load`, `Session` and `open_reader` are its parts, for your own frames.
Everything else is in `rvm_studio.core`. Importing this package has no side effects and does not import torch: names are
loaded on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import (
        ClipOptions,
        ClipReport,
        EdgeOptions,
        MattingNetwork,
        Session,
        StudioError,
        load,
        matte,
        open_reader,
        tune_process,
    )

__version__ = "0.2.0"

__all__ = [
    "ClipOptions",
    "ClipReport",
    "EdgeOptions",
    "MattingNetwork",
    "Session",
    "StudioError",
    "load",
    "matte",
    "open_reader",
    "tune_process",
]

WEB_DIRECTORY = "./web"  # the nodes' help pages
_FOR_COMFYUI = ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS")


def __getattr__(name: str) -> Any:
    # No relative imports at module level: test tools run this file on its own, where they would fail.
    if name in _FOR_COMFYUI:
        from . import rvm_nodes

        return getattr(rvm_nodes, name)
    if name in __all__:
        from . import core

        return getattr(core, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
